"""A phantom's slice as a DICOM object of the CT Image Storage class (DICOM PS3.3, A.3)."""

import hashlib

from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

from ctseg import __version__
from ctseg.phantom.phantom import HU, Phantom

_INTERCEPT = -1024


def to_dicom(phantom: Phantom, index: int, hu: HU) -> FileDataset:
    """A slice's HU (H, W) as a data set ready to be saved; name, ID and comments say that it is synthetic.

    Whatever identifies it is derived from the phantom's own values, so the same slice gives the same bytes.
    """
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = _uid(f"slice {index} of {phantom}")
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = _uid("ctseg.phantom")
    meta.ImplementationVersionName = f"CTSEG {__version__}"[:16]
    slice_ = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    _name(slice_, phantom)
    _place(slice_, phantom, index)
    _describe_pixels(slice_, hu)
    return slice_


def _name(slice_: FileDataset, phantom: Phantom) -> None:
    """Whose study, which series: the modules of patient, study, series and equipment."""
    slice_.SpecificCharacterSet = "ISO_IR 100"
    slice_.PatientName = "PHANTOM^SYNTHETIC"
    slice_.PatientID = f"PHANTOM-{phantom.seed}"
    slice_.PatientBirthDate = slice_.PatientSex = ""
    slice_.PatientComments = slice_.ImageComments = "Synthetic: drawn by ctseg.phantom. Not a person."
    slice_.QualityControlImage = "YES"
    slice_.StudyInstanceUID = _uid(f"study of {phantom}")
    slice_.StudyDate = slice_.StudyTime = slice_.StudyID = ""
    slice_.AccessionNumber = slice_.ReferringPhysicianName = ""
    slice_.StudyDescription = "Synthetic chest"
    slice_.Modality = "CT"
    slice_.SeriesInstanceUID = _uid(f"series of {phantom}")
    slice_.SeriesNumber = 1
    slice_.SeriesDescription = "Synthetic chest CT"
    slice_.BodyPartExamined = "CHEST"
    slice_.PatientPosition = "HFS"
    slice_.Manufacturer = "ctseg"
    slice_.ManufacturerModelName = "phantom"
    slice_.SoftwareVersions = __version__


def _place(slice_: FileDataset, phantom: Phantom, index: int) -> None:
    """Where the slice lies: the modules of frame of reference, image and image plane."""
    origin, (_, y, x) = phantom.origin_mm(index), phantom.spacing_mm
    slice_.SOPClassUID = slice_.file_meta.MediaStorageSOPClassUID
    slice_.SOPInstanceUID = slice_.file_meta.MediaStorageSOPInstanceUID
    slice_.FrameOfReferenceUID = _uid(f"frame of {phantom}")
    slice_.PositionReferenceIndicator = ""
    slice_.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    slice_.AcquisitionNumber = 1
    # Scanners count from the head down.
    slice_.InstanceNumber = len(phantom) - index
    slice_.ImagePositionPatient = list(origin)
    slice_.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    slice_.SliceLocation = origin[2]
    slice_.SliceThickness = phantom.thickness_mm
    slice_.PixelSpacing = [y, x]
    slice_.KVP = 120


def _describe_pixels(slice_: FileDataset, hu: HU) -> None:
    """What the pixels are, and the pixels: 12 bits, unsigned."""
    slice_.SamplesPerPixel = 1
    slice_.PhotometricInterpretation = "MONOCHROME2"
    slice_.Rows, slice_.Columns = hu.shape
    slice_.BitsAllocated, slice_.BitsStored, slice_.HighBit = 16, 12, 11
    slice_.PixelRepresentation = 0
    slice_.RescaleIntercept, slice_.RescaleSlope, slice_.RescaleType = _INTERCEPT, 1, "HU"
    slice_.WindowCenter, slice_.WindowWidth = [-600, 40], [1500, 400]
    slice_.BurnedInAnnotation, slice_.LossyImageCompression = "NO", "00"
    slice_.PixelData = (hu - _INTERCEPT).astype("<u2").tobytes()


def _uid(of: str) -> UID:
    """A UID that stands for a text: 2.25 and 128 bits of its hash (DICOM PS3.5, B.2)."""
    return UID(f"2.25.{int.from_bytes(hashlib.sha256(of.encode()).digest()[:16])}")
