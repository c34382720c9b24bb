"""What the header of one DICOM file says of its slice: which series, where it lies, whether it is one at all."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileDataset
from pydicom.multival import MultiValue
from pydicom.uid import UID, CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage

from ctseg.reading.dicom_file import Numbers, number, numbers, open_dicom, whole
from ctseg.reading.dicom_frame import PIXEL_TAGS, Inflated, PixelHeader, pixel_header, rescale_of
from ctseg.reading.dicom_groups import GROUP_TAGS, Frame, frame_headers, has_frames
from ctseg.reading.dicom_spans import SPAN_TAGS, frame_spans
from ctseg.reading.files import ContentError

_TAGS = [
    "ImageType", "SOPClassUID", "SeriesDescription", "SliceThickness", "SeriesInstanceUID", "SeriesNumber",
    "InstanceNumber", "ImagePositionPatient", "ImageOrientationPatient", "SliceLocation",
    "SamplesPerPixel", "NumberOfFrames", "PixelSpacing", *PIXEL_TAGS, *GROUP_TAGS, *SPAN_TAGS,
]  # fmt: skip

_ENHANCED = (EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage)
_CT = (CTImageStorage, *_ENHANCED)
_LOCALIZERS = frozenset({"LOCALIZER", "SCOUT"})
# The plane that a slice lies in, by the axis its normal is closest to.
_PLANES = ("sagittal", "coronal", "axial")

_HEADWARD = 2
_SPANS_A_PLANE = 0.9


@dataclass(frozen=True, slots=True)
class SliceHeader:
    """One slice of a CT series.

    `position` and `orientation`: ImagePositionPatient and ImageOrientationPatient, mm in the patient's axes (left,
    back, head). `pixel_spacing`: between rows, between columns, in mm. What a file does not say is None. `frame` is
    None for the one slice of a file.
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
    frame: Frame | None = None


@dataclass(frozen=True, slots=True)
class Skipped:
    """A readable DICOM file, or a frame of one, that is no slice of an axial CT series, and what it is instead."""

    file: Path
    reason: str


def read_headers(file: Path) -> Sequence[SliceHeader | Skipped]:
    """Read the few tags that place a slice, or each frame of a file with several; raises UnreadableFile."""
    with open_dicom(file, _TAGS) as (dataset, stream):
        sop_class = _sop_class(dataset)
        if sop_class not in _CT:
            return [Skipped(file, f"not a CT image ({sop_class.name})")]
        pixels = pixel_header(dataset, stream.tell())
        if sop_class in _ENHANCED:
            return _enhanced(file, dataset, pixels, stream)
        header = _header(file, dataset, pixels)
        if isinstance(header, SliceHeader) and (frames := whole(dataset, "NumberOfFrames") or 1) > 1:
            raise ContentError(
                f"{frames} frames in one file that is no enhanced CT: convert it to a file a slice first"
            )
        return [header]


def _enhanced(
    file: Path, dataset: FileDataset, pixels: PixelHeader, stream: BinaryIO
) -> Sequence[SliceHeader | Skipped]:
    """The frames of an enhanced CT object: one alone is a slice as any other."""
    headers = list(frame_headers(dataset))
    if not has_frames(dataset):
        return [_header(file, header, replace(pixels, rescale=rescale_of(header))) for header, _ in headers]
    spans = frame_spans(stream, dataset, pixels, len(headers))
    inflated = Inflated(file) if pixels.offset is None else None
    found: list[SliceHeader | Skipped] = []
    for place, ((header, frame), span) in enumerate(zip(headers, spans, strict=True), start=1):
        own = replace(pixels, rescale=rescale_of(header), span=span, inflated=inflated)
        slice_ = _header(file, header, own)
        if isinstance(slice_, SliceHeader):
            if slice_.position is None:
                raise ContentError(f"it does not say where frame {place} lies, ImagePositionPatient is missing")
            slice_ = replace(slice_, number=place, frame=frame)
        found.append(slice_)
    return found


def normal_of(orientation: Numbers) -> npt.NDArray[np.float64]:
    """The unit vector across a slice, towards the head; PS3.3, C.7.6.2.1.1."""
    normal = np.array(_cross(orientation))
    normal /= np.linalg.norm(normal)
    return -normal if normal[_HEADWARD] < 0 else normal


def _sop_class(dataset: FileDataset) -> UID:
    """What a file is; raises ContentError where it does not say."""
    sop_class = UID(dataset.get("SOPClassUID") or dataset.file_meta.get("MediaStorageSOPClassUID") or "")
    if not sop_class:
        raise ContentError("it does not say what it is, SOPClassUID is missing")
    if sop_class.name == sop_class and "SeriesInstanceUID" not in dataset:
        raise ContentError("it ends within its header")  # what looks like an unknown class is half a UID
    return sop_class


def _header(file: Path, dataset: Dataset, pixels: PixelHeader) -> SliceHeader | Skipped:
    """The header of one slice or frame, unless it lies in no axial plane."""
    if _LOCALIZERS.intersection([*_texts(dataset.get("ImageType")), *_texts(dataset.get("FrameType"))]):
        return Skipped(file, "localizer")
    if dataset.get("SamplesPerPixel", 1) != 1:
        raise ContentError("it is a colour picture")
    orientation = _orientation(dataset)
    plane = _PLANES[int(np.abs(normal_of(orientation)).argmax())] if orientation else "axial"
    if plane != "axial":
        return Skipped(file, f"{plane} reformat")
    return _slice_header(file, dataset, orientation, pixels)


def _slice_header(file: Path, dataset: Dataset, orientation: Numbers | None, pixels: PixelHeader) -> SliceHeader:
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


def _orientation(dataset: Dataset) -> Numbers | None:
    """The directions of rows and of columns; None where they are not there, or span no plane."""
    found = numbers(dataset, "ImageOrientationPatient", 6)
    return found if found and math.hypot(*_cross(found)) >= _SPANS_A_PLANE else None


def _cross(orientation: Numbers) -> Numbers:
    """The cross product of the directions of rows and of columns; NumPy takes longer than for all the rest."""
    a, b, c, d, e, f = orientation
    return b * f - c * e, c * d - a * f, a * e - b * d


def _texts(value: Any) -> Iterable[str]:
    return [str(v).upper() for v in (value if isinstance(value, MultiValue) else [value])]
