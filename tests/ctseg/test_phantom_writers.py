"""The phantom's files, read back by the libraries that others read them with."""

import cv2
import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from ctseg.classes import NORMAL_LUNG
from ctseg.datasets.dataset import read_dataset
from ctseg.phantom import Phantom, write_dataset, write_dicom, write_images, write_nifti

PHANTOM = Phantom(seed=6, slices=6, size=64, spacing=(7.5, 6.0, 5.75), disease=0.2)


@pytest.fixture(scope="module")
def drawn():
    return PHANTOM.volume()


def test_dicom_reads_back(tmp_path, drawn):
    files = write_dicom(PHANTOM, tmp_path / "series")
    slices = [pydicom.dcmread(file) for file in files]
    for index, read in enumerate(slices):
        stored = read.pixel_array.astype(float) * read.RescaleSlope + read.RescaleIntercept
        np.testing.assert_array_equal(stored, drawn[0][index])
        assert tuple(read.ImagePositionPatient) == pytest.approx(PHANTOM.origin_mm(index))
        assert list(read.ImageOrientationPatient) == [1, 0, 0, 0, 1, 0]
        assert list(read.PixelSpacing) == [6.0, 5.75]
        assert read.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
        assert read.SOPClassUID == CTImageStorage
    heights = [read.ImagePositionPatient[2] for read in slices]
    assert np.diff(heights) == pytest.approx([7.5] * 5)
    assert len({read.SeriesInstanceUID for read in slices}) == 1
    assert len({read.SOPInstanceUID for read in slices}) == 6
    assert all(len(read.SOPInstanceUID) <= 64 for read in slices)


# Type 1 and type 2 attributes of the modules that a CT image must have (DICOM PS3.3, A.3-1), for what is written.
TYPE_1 = [
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "Modality",
    "FrameOfReferenceUID",
    "PixelSpacing",
    "ImageOrientationPatient",
    "ImagePositionPatient",
    "ImageType",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "RescaleIntercept",
    "RescaleSlope",
    "PixelData",
]
TYPE_2 = [
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
    "StudyID",
    "AccessionNumber",
    "SeriesNumber",
    "PositionReferenceIndicator",
    "Manufacturer",
    "InstanceNumber",
    "SliceThickness",
    "KVP",
    "AcquisitionNumber",
    "PatientPosition",
]


def test_dicom_has_what_a_ct_image_must_have(tmp_path):
    read = pydicom.dcmread(write_dicom(PHANTOM, tmp_path)[0])
    for keyword in TYPE_1:
        assert read.data_element(keyword) is not None, keyword
        assert not read.data_element(keyword).is_empty, keyword
    for keyword in TYPE_2:
        assert keyword in read, keyword


def test_nobody_takes_it_for_a_person(tmp_path):
    read = pydicom.dcmread(write_dicom(PHANTOM, tmp_path)[0])
    assert read.PatientName == "PHANTOM^SYNTHETIC"
    assert "Not a person" in read.ImageComments
    assert read.QualityControlImage == "YES"


def test_the_same_call_gives_the_same_bytes(tmp_path):
    for place in ("one", "two"):
        write_dicom(PHANTOM, tmp_path / place, truth=tmp_path / place)
        write_nifti(PHANTOM, tmp_path / place / "ct.nii.gz")
    one, two = (sorted((tmp_path / place).iterdir()) for place in ("one", "two"))
    assert [file.name for file in one] == [file.name for file in two]
    assert len(one) == 13
    for left, right in zip(one, two, strict=True):
        assert left.read_bytes() == right.read_bytes(), left.name


def test_another_phantom_is_another_series(tmp_path):
    first = pydicom.dcmread(write_dicom(PHANTOM, tmp_path / "a")[0])
    second = pydicom.dcmread(write_dicom(Phantom(seed=7, slices=1, size=32), tmp_path / "b")[0])
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID", "PatientID"):
        assert first[keyword].value != second[keyword].value


def test_file_names_need_not_follow_the_order(tmp_path, drawn):
    stems = ["f", "a", "e", "b", "d", "c"]
    files = write_images(PHANTOM, tmp_path / "ct", truth=tmp_path / "truth", stems=stems)
    assert [file.stem for file in files] == stems
    for stem, labels in zip(stems, drawn[1], strict=True):
        truth = cv2.imread(str(tmp_path / "truth" / f"{stem}.png"), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(truth, labels)


def test_stems_must_fit(tmp_path):
    for stems in (["a"], ["a"] * 6):
        with pytest.raises(ValueError, match="6 slices"):
            write_images(PHANTOM, tmp_path, stems=stems)


def test_images_show_the_lung_window(tmp_path, drawn):
    files = write_images(PHANTOM, tmp_path / "image", truth=tmp_path / "mask")
    assert [file.name for file in files] == [f"000{index}.png" for index in range(6)]
    for index, file in enumerate(files):
        image = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
        assert image.dtype == np.uint8
        # -1350 HU is black, 150 HU white.
        expected = np.clip((drawn[0][index].astype(float) + 1350) * 255 / 1500, 0, 255)
        assert np.abs(image - expected).max() <= 0.51
        truth = cv2.imread(str(tmp_path / "mask" / file.name), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(truth, drawn[1][index])


def test_nifti_is_ras_and_lies_where_the_series_lies(tmp_path, drawn):
    write_nifti(PHANTOM, tmp_path / "ct.nii.gz", truth=tmp_path / "truth" / "ct.nii.gz")
    image, truth = nibabel.load(tmp_path / "ct.nii.gz"), nibabel.load(tmp_path / "truth" / "ct.nii.gz")
    assert nibabel.aff2axcodes(image.affine) == ("R", "A", "S")
    assert image.header.get_zooms() == (5.75, 6.0, 7.5)
    assert image.header.get_xyzt_units()[0] == "mm"
    assert image.get_data_dtype() == np.int16
    assert truth.get_data_dtype() == np.uint8
    np.testing.assert_allclose(image.affine, truth.affine)
    hu, labels = np.asanyarray(image.dataobj), np.asanyarray(truth.dataobj)
    # A voxel found by its place in the patient: DICOM's x and y point to the left and back, NIfTI's the other way.
    for index, row, column in ((0, 0, 0), (3, 20, 11), (5, 63, 40)):
        left, back, head = PHANTOM.origin_mm(index)
        place = (-(left + column * 5.75), -(back + row * 6.0), head, 1)
        i, j, k = np.rint(np.linalg.solve(image.affine, place)[:3]).astype(int)
        assert hu[i, j, k] == drawn[0][index, row, column]
        assert labels[i, j, k] == drawn[1][index, row, column]
    voxel_ml = abs(np.linalg.det(image.affine)) / 1000
    assert voxel_ml == pytest.approx(7.5 * 6.0 * 5.75 / 1000)
    assert (labels == NORMAL_LUNG.index).sum() == (drawn[1] == NORMAL_LUNG.index).sum()


def test_uncompressed_nifti_too(tmp_path, drawn):
    write_nifti(PHANTOM, tmp_path / "new" / "ct.nii")
    hu = np.asanyarray(nibabel.load(tmp_path / "new" / "ct.nii").dataobj)
    np.testing.assert_array_equal(hu.transpose(2, 1, 0)[:, ::-1, ::-1], drawn[0])


def test_a_written_data_set_is_one_to_train_on(tmp_path, drawn):
    write_dataset([PHANTOM, Phantom(seed=7, slices=2, size=32)], tmp_path / "phantoms")
    dataset = read_dataset(tmp_path / "phantoms")
    assert sorted({item.group for item in dataset.slices}) == ["0", "1"]
    assert len(dataset.slices) == 8
    mask = cv2.imread(str(dataset.slices[3].mask), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(mask, drawn[1][3])
    assert dataset.meaning.allowed(mask, dataset.slices[3].mask).shape == (64, 64)
