"""The header of a DICOM file: the series and the position of its slice, or why it has no slice of an axial CT."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.uid import UID, CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage

from ctseg.reading.dicom_file import Opened, open_dicom
from ctseg.reading.dicom_frame_offsets import SPAN_TAGS, frame_spans
from ctseg.reading.dicom_frames import GROUP_TAGS, Frame, frame_count, frame_headers, has_frames
from ctseg.reading.dicom_pixel_data import PIXEL_TAGS, PixelHeader, pixel_header, rescale_of
from ctseg.reading.dicom_values import Numbers, integer, number, numbers, text, texts
from ctseg.reading.files import ContentError
from ctseg.turn import Turn

_TAGS = [
    "ImageType", "SOPClassUID", "SeriesDescription", "SliceThickness", "SeriesInstanceUID", "SeriesNumber",
    "ModalityLUTSequence",
    "SOPInstanceUID", "InstanceNumber", "ImagePositionPatient", "ImageOrientationPatient", "SliceLocation",
    "SamplesPerPixel", "NumberOfFrames", "PixelSpacing", "StudyInstanceUID", "ConvolutionKernel",
    "PatientID", "AcquisitionNumber", "FrameOfReferenceUID",
    *PIXEL_TAGS, *GROUP_TAGS, *SPAN_TAGS,
]  # fmt: skip

ENHANCED = (EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage)
"""The SOP classes of objects whose slices are frames, even if there is only one."""

_CT = (CTImageStorage, *ENHANCED)
_LOCALIZERS = frozenset({"LOCALIZER", "SCOUT"})
# Pixels computed from several slices or scans (ImageType; in an enhanced CT its fourth value, PS3.3, C.8.16.1.4). An
# average is not among them: its HU are those of a thicker slice.
_COMPUTED = re.compile(
    r"(?<![A-Z0-9])(MIP|MINIP|MIN IP|MAXIP|MAX IP|PROJECTION|MAXIMUM|MINIMUM|SUBTRACTION)(?![A-Z0-9])"
)
# A projection by the description of its series, which people write: not `thin slices for MIP`, or `no MIP`.
_CALLED_COMPUTED = re.compile(
    r"(?<!for )(?<!no )(?<!non )(?<!non-)(?<!without )(?<![a-z])(MIP|(MIN|MAX)[-_ ]?IP)s?(?![a-z])(?!.{0,3}source)",
    re.IGNORECASE,
)
# The plane that a slice lies in, by the axis its normal is closest to.
_PLANES = ("sagittal", "coronal", "axial")

_SPANS_A_PLANE = 0.9
# In mm; a value beyond this is not a position, and arithmetic with it could overflow.
_KILOMETRE = 1e6


@dataclass(frozen=True, slots=True)
class SliceHeader:
    """One slice of a CT series.

    `position` and `orientation`: ImagePositionPatient and ImageOrientationPatient, mm in the patient's axes (left,
    back, head). `pixel_spacing`: between rows, between columns, in mm. `kernel`: ConvolutionKernel, its values joined
    by backslashes. `sop_instance`: SOPInstanceUID. `frame_of_reference`: FrameOfReferenceUID. `is_computed`: it is a
    projection (MIP, MinIP) or a subtraction. Values that the file lacks are None, texts empty. `frame` is None for the
    slice of a single-slice file.
    """

    file: Path
    sop_instance: str
    series: str
    series_number: int | None
    description: str
    study: str
    kernel: str
    position: Numbers | None
    orientation: Numbers | None
    location: float | None
    number: int | None
    thickness: float | None
    pixel_spacing: Numbers | None
    is_computed: bool
    patient: str
    acquisition: int | None
    frame_of_reference: str
    pixels: PixelHeader
    frame: Frame | None = None


@dataclass(frozen=True, slots=True)
class Skipped:
    """A readable DICOM file, or a frame of one, that is not a slice of an axial CT series, and what it is instead."""

    reason: str


def read_headers(file: Path) -> Sequence[SliceHeader | Skipped]:
    """Read the header of a file's slice, or of each of its frames; raises UnreadableFile."""
    with open_dicom(file, _TAGS) as opened:
        sop_class = _sop_class(opened)
        if sop_class not in _CT:
            return [Skipped(f"not a CT image ({sop_class.name})")]
        if sop_class in ENHANCED:
            return _enhanced(file, opened)
        header = _header(file, opened.dataset, pixel_header(opened))
        if isinstance(header, SliceHeader) and (frames := frame_count(opened.dataset)) > 1:
            raise ContentError(
                f"{frames} frames in one file that is not an enhanced CT: convert it to one file per slice first"
            )
        return [header]


def _enhanced(file: Path, opened: Opened) -> Sequence[SliceHeader | Skipped]:
    """The frames of an enhanced CT object; a single frame is treated as a slice like any other."""
    pixels, headers = pixel_header(opened), list(frame_headers(opened.dataset))
    if not has_frames(opened.dataset):
        return [_header(file, header, replace(pixels, rescale=rescale_of(header))) for header, _ in headers]
    spans = frame_spans(opened.stream, opened.dataset, pixels, len(headers))
    found: list[SliceHeader | Skipped] = []
    for frame_number, ((header, frame), span) in enumerate(zip(headers, spans, strict=True), start=1):
        own = replace(pixels, rescale=rescale_of(header), span=span)
        slice_ = _header(file, header, own)
        if isinstance(slice_, SliceHeader):
            if slice_.position is None:
                raise ContentError(f"it does not say where frame {frame_number} lies: ImagePositionPatient is missing")
            slice_ = replace(slice_, number=frame_number, frame=frame)
        found.append(slice_)
    return found


def patients_of(slices: Sequence[SliceHeader]) -> set[str]:
    """The patients that slices name."""
    return {one.patient for one in slices if one.patient}


def normal_of(orientation: Numbers) -> tuple[float, float, float]:
    """The unit normal of a slice, towards the head; PS3.3, C.7.6.2.1.1."""
    x, y, z = _cross(orientation)
    length = math.copysign(math.hypot(x, y, z), z)
    return x / length, y / length, z / length


def turn_of(orientation: Numbers) -> Turn:
    """How to turn an axial slice upright, however the patient lay in the scanner.

    The patient's x axis runs to the left, y to the back; PS3.3, C.7.6.2.1.1.
    """
    along_row, along_column = orientation[:2], orientation[3:5]
    transposed = abs(along_row[0]) < abs(along_column[0])
    across, down = (along_column, along_row) if transposed else (along_row, along_column)
    return Turn(transposed, upside_down=down[1] < 0, mirrored=across[0] < 0)


def _sop_class(opened: Opened) -> UID:
    """The SOP class of a file; raises ContentError if it has none."""
    sop_class = UID(text(opened.dataset, "SOPClassUID") or text(opened.meta, "MediaStorageSOPClassUID"))
    if not sop_class:
        raise ContentError("it does not say what it is: SOPClassUID is missing")
    if sop_class not in _CT and sop_class.name == sop_class and "SeriesInstanceUID" not in opened.dataset:
        raise ContentError("it ends within its header")  # this is half a UID, not an unknown class
    return sop_class


def _header(file: Path, dataset: Dataset, pixels: PixelHeader) -> SliceHeader | Skipped:
    """The header of a slice or frame, or why it is skipped."""
    types = _types(dataset)
    if _LOCALIZERS.intersection(types):
        return Skipped("localizer")
    if (integer(dataset, "SamplesPerPixel") or 1) != 1:
        raise ContentError("it is a colour picture")
    if "ModalityLUTSequence" in dataset:
        raise ContentError(
            "its values are defined by a lookup table (Modality LUT), not by RescaleSlope: convert it first"
        )
    orientation = _orientation(dataset)
    plane = _PLANES[_longest(normal_of(orientation))] if orientation else "axial"
    if plane != "axial":
        return Skipped(f"{plane} reformat")
    is_computed = any(map(_COMPUTED.search, types)) or _CALLED_COMPUTED.search(text(dataset, "SeriesDescription"))
    return _slice_header(file, dataset, orientation, pixels, is_computed=bool(is_computed))


def _slice_header(
    file: Path, dataset: Dataset, orientation: Numbers | None, pixels: PixelHeader, *, is_computed: bool
) -> SliceHeader:
    if 0 in pixels.shape:
        raise ContentError("Rows and Columns are missing: it contains no image, or is cut off")
    return SliceHeader(
        file=file,
        sop_instance=text(dataset, "SOPInstanceUID"),
        series=text(dataset, "SeriesInstanceUID"),
        series_number=integer(dataset, "SeriesNumber"),
        description=text(dataset, "SeriesDescription"),
        study=text(dataset, "StudyInstanceUID"),
        kernel=text(dataset, "ConvolutionKernel"),
        position=position_of(dataset),
        orientation=orientation,
        location=number(dataset, "SliceLocation", _KILOMETRE),
        number=integer(dataset, "InstanceNumber"),
        thickness=number(dataset, "SliceThickness"),
        pixel_spacing=numbers(dataset, "PixelSpacing", 2),
        is_computed=is_computed,
        patient=text(dataset, "PatientID"),
        acquisition=integer(dataset, "AcquisitionNumber"),
        frame_of_reference=text(dataset, "FrameOfReferenceUID"),
        pixels=pixels,
    )


def _types(dataset: Dataset) -> list[str]:
    """The values of ImageType and FrameType in capitals, with single spaces between words."""
    values = (value for tag in ("ImageType", "FrameType") for value in texts(dataset, tag))
    return [" ".join(value.upper().replace("_", " ").split()) for value in values]


def position_of(dataset: Dataset) -> Numbers | None:
    """ImagePositionPatient; None if it is missing, or far from any scanner."""
    return numbers(dataset, "ImagePositionPatient", 3, _KILOMETRE)


def _orientation(dataset: Dataset) -> Numbers | None:
    """The directions of rows and columns; None if they are missing, or do not span a plane."""
    found = numbers(dataset, "ImageOrientationPatient", 6, _KILOMETRE)
    return found if found and math.hypot(*_cross(found)) >= _SPANS_A_PLANE else None


def _longest(vector: tuple[float, float, float]) -> int:
    """The axis along which a vector is longest."""
    return max(range(3), key=lambda axis: abs(vector[axis]))


def _cross(orientation: Numbers) -> tuple[float, float, float]:
    """The cross product of the directions of rows and columns; NumPy would take longer than all the rest."""
    a, b, c, d, e, f = orientation
    return b * f - c * e, c * d - a * f, a * e - b * d
