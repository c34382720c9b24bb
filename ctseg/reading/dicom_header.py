"""What the header of one DICOM file says of its slice: which series, where it lies, whether it is one at all."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import FileDataset
from pydicom.multival import MultiValue
from pydicom.uid import UID, CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage

from ctseg.reading.dicom_file import Numbers, number, numbers, open_dicom, whole
from ctseg.reading.dicom_frame import PIXEL_TAGS, PixelHeader, pixel_header
from ctseg.reading.files import ContentError
from ctseg.scan import Side

_TAGS = [
    "ImageType", "SOPClassUID", "SeriesDescription", "SliceThickness", "SeriesInstanceUID", "SeriesNumber",
    "InstanceNumber", "ImagePositionPatient", "ImageOrientationPatient", "SliceLocation",
    "SamplesPerPixel", "NumberOfFrames", "PixelSpacing", *PIXEL_TAGS,
]  # fmt: skip

_CT = (CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage)
_LOCALIZERS = frozenset({"LOCALIZER", "SCOUT"})
# The plane that a slice lies in, by the axis its normal is closest to.
_PLANES = ("sagittal", "coronal", "axial")

_HEADWARD = 2
_SPANS_A_PLANE = 0.9


@dataclass(frozen=True, slots=True)
class SliceHeader:
    """One slice of a CT series.

    `position` and `orientation`: ImagePositionPatient and ImageOrientationPatient, mm in the patient's axes (left,
    back, head). `pixel_spacing`: between rows, between columns, in mm. What a file does not say is None.
    """

    file: Path
    series: str
    series_number: int | None
    description: str
    position: Numbers | None
    orientation: Numbers | None
    location: float | None
    number: int | None
    thickness: float | None
    pixel_spacing: Numbers | None
    pixels: PixelHeader


@dataclass(frozen=True, slots=True)
class Skipped:
    """A readable DICOM file that is no slice of an axial CT series, and what it is instead."""

    file: Path
    reason: str


def read_header(file: Path) -> SliceHeader | Skipped:
    """Read the few tags that place a slice; raises UnreadableFile."""
    with open_dicom(file, _TAGS) as (dataset, end):
        orientation = _orientation(dataset)
        reason = _not_a_slice(dataset, orientation)
        return (
            Skipped(file, reason) if reason else _slice_header(file, dataset, orientation, pixel_header(dataset, end))
        )


def normal_of(orientation: Numbers) -> npt.NDArray[np.float64]:
    """The unit vector across a slice, towards the head; PS3.3, C.7.6.2.1.1."""
    normal = np.array(_cross(orientation))
    normal /= np.linalg.norm(normal)
    return -normal if normal[_HEADWARD] < 0 else normal


def right_of(orientation: Numbers) -> Side:
    """On which side of a slice the patient's right is, whichever way the patient lay and entered the scanner.

    Pixels are shown as they are stored, and the patient's x axis runs to the left; PS3.3, C.7.6.2.1.1.
    """
    along_row, along_column = orientation[0], orientation[3]
    if abs(along_row) >= abs(along_column):
        return "left" if along_row > 0 else "right"
    return "top" if along_column > 0 else "bottom"


def _not_a_slice(dataset: FileDataset, orientation: Numbers | None) -> str | None:
    """What a readable file is instead of a slice of an axial CT series; raises ContentError for odd CT."""
    sop_class = UID(dataset.get("SOPClassUID") or dataset.file_meta.get("MediaStorageSOPClassUID") or "")
    if not sop_class:
        raise ContentError("it does not say what it is, SOPClassUID is missing")
    if sop_class.name == sop_class and "SeriesInstanceUID" not in dataset:
        raise ContentError("it ends within its header")  # what looks like an unknown class is half a UID
    if sop_class not in _CT:
        return f"not a CT image ({sop_class.name})"
    if _LOCALIZERS.intersection(_texts(dataset.get("ImageType"))):
        return "localizer"
    frames = dataset.get("NumberOfFrames") or 1
    if sop_class != CTImageStorage or frames > 1:
        raise ContentError(f"{frames} frames in one file: convert it to a file a slice first")
    if dataset.get("SamplesPerPixel", 1) != 1:
        raise ContentError("it is a colour picture")
    plane = _PLANES[int(np.abs(normal_of(orientation)).argmax())] if orientation else "axial"
    return None if plane == "axial" else f"{plane} reformat"


def _slice_header(file: Path, dataset: FileDataset, orientation: Numbers | None, pixels: PixelHeader) -> SliceHeader:
    if 0 in pixels.shape:
        raise ContentError("it ends before the size of its picture")
    return SliceHeader(
        file=file,
        series=str(dataset.get("SeriesInstanceUID", "")),
        series_number=whole(dataset, "SeriesNumber"),
        description=str(dataset.get("SeriesDescription") or ""),
        position=numbers(dataset, "ImagePositionPatient", 3),
        orientation=orientation,
        location=number(dataset, "SliceLocation"),
        number=whole(dataset, "InstanceNumber"),
        thickness=number(dataset, "SliceThickness"),
        pixel_spacing=numbers(dataset, "PixelSpacing", 2),
        pixels=pixels,
    )


def _orientation(dataset: FileDataset) -> Numbers | None:
    """The directions of rows and of columns; None where they are not there, or span no plane."""
    found = numbers(dataset, "ImageOrientationPatient", 6)
    return found if found and math.hypot(*_cross(found)) >= _SPANS_A_PLANE else None


def _cross(orientation: Numbers) -> Numbers:
    """The cross product of the directions of rows and of columns; NumPy takes longer than for all the rest."""
    a, b, c, d, e, f = orientation
    return b * f - c * e, c * d - a * f, a * e - b * d


def _texts(value: Any) -> Iterable[str]:
    return [str(v).upper() for v in (value if isinstance(value, MultiValue) else [value])]
