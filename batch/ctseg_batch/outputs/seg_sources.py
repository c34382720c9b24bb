"""The headers of a series, read once more for the DICOM Segmentation that refers to it."""

# pydicom has annotations here and there only.
# mypy: disable-error-code="no-untyped-call"

import re
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
from pydicom.datadict import dictionary_VR

from ctseg.reading.dicom_file import open_dicom
from ctseg.reading.dicom_grid import common_plane
from ctseg.reading.dicom_header import ENHANCED, SliceHeader, normal_of, patients_of, position_of
from ctseg.reading.dicom_planes import planes_of
from ctseg_batch.outputs.labelled_scan import NO_FRAMES, OutputNotApplicable, OutputUnavailable

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_TIME = re.compile(r"([01]\d|2[0-3])([0-5]\d([0-5]\d(\.\d{1,6})?)?)?")
# What has to be there, if only empty.
_NEEDED = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate",
    "StudyTime", "ReferringPhysicianName",
)  # fmt: skip
_TAGS_OF_A_SLICE = [
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Rows", "Columns",
    "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness",
]  # fmt: skip
_UIDS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID")
_DIGITS = 4  # of a position: DICOM's numbers are 16 characters at most
# When the series came to be, where it does not say when its study did; and what stands in for it if neither is known.
_MOMENTS = ("Study", "Series", "Acquisition", "Content")
_UNKNOWN_DATE, _UNKNOWN_TIME = "19000101", "000000"


def read_sources(slices: Sequence[SliceHeader], step: float | None) -> "list[Dataset]":
    """The headers of slices in order: of the first all, tidied up, of the others what refers to them and places them.

    `step`, from slice to slice, stands for a thickness that is not said. Raises UnreadableFile, NoGrid for slices that
    are not of one plane, OutputUnavailable for those that can't be referred to.
    """
    if len(patients_of(slices)) > 1:
        raise OutputUnavailable("its slices name several patients")
    between = _between(slices)
    if step is None:
        raise OutputUnavailable("it does not say how thick its slices are")
    with open_dicom(slices[0].file, None) as opened:
        first = _tidied(opened.dataset)
        first.SliceThickness = max(slices[0].thickness or 0, 0) or step
        # Not the source's: some say how thick slices are there, and readers build the volume by it.
        first.pop("SpacingBetweenSlices", None)
        if between or len(slices) == 1:
            first.SpacingBetweenSlices = between or step
    sources: list[Dataset] = [first]
    for found in slices[1:]:
        with open_dicom(found.file, _TAGS_OF_A_SLICE) as opened:
            sources.append(opened.dataset)
    for source, found in zip(sources, slices, strict=True):
        if position_of(source) is None:  # it was worked out of the others'
            source.ImagePositionPatient = [round(x, _DIGITS) for x in found.position or ()]
        if source.get("SOPClassUID") in ENHANCED:
            raise OutputNotApplicable(NO_FRAMES)
        missing = [tag for tag in _UIDS if not source.get(tag)]
        if missing:
            raise OutputUnavailable(f"its slices lack {', '.join(missing)}")
        # They are parallel, though not to the last digit.
        source.ImageOrientationPatient = first.ImageOrientationPatient
    _check_uids(sources)
    return sources


def _check_uids(sources: "Sequence[Dataset]") -> None:
    for tag in ("StudyInstanceUID", "FrameOfReferenceUID"):
        if len({source[tag].value for source in sources}) > 1:
            raise OutputUnavailable(f"its slices differ in {tag}")
    if len({source.SOPInstanceUID for source in sources}) < len(sources):
        raise OutputUnavailable("some of its slices have the same SOPInstanceUID")


def _between(slices: Sequence[SliceHeader]) -> float | None:
    """How far apart the planes of a block lie that the slices fit into, in mm; None where there is no such block."""
    positions, across, down, _ = common_plane(slices)
    offsets = positions @ np.array(normal_of((*across, *down)))
    if len(set(np.round(offsets, _DIGITS).tolist())) < len(offsets):
        raise OutputUnavailable("several of its slices lie at the same place")
    planes = planes_of(offsets)
    return None if planes.even is None or planes.are_repeated else round(planes.even[1], _DIGITS)


def _tidied(source: "Dataset") -> "Dataset":
    """A header without elements that can't be understood, and with all that a Segmentation takes over from it."""
    for tag in list(source.keys()):
        try:
            source[tag]
        except Exception:  # noqa: BLE001 - pydicom raises whatever it meets in an element
            del source[tag]
    is_sound = {"DA": _is_date, "TM": _is_time, "CS": lambda value: value in ("M", "F", "O")}
    for name in _NEEDED:
        value, check = source.get(name), is_sound.get(dictionary_VR(name))
        if value is None or (check and not check(str(value))):
            setattr(source, name, "")
    known = next((when for when in _MOMENTS if _is_date(str(source.get(f"{when}Date")))), None)
    time = str(source.get(f"{known}Time"))
    source.ContentDate = source.get(f"{known}Date") if known else _UNKNOWN_DATE
    source.ContentTime = time if known and _is_time(time) else _UNKNOWN_TIME
    return source


def _is_date(value: str) -> bool:
    try:
        return len(value) == len("YYYYMMDD") and bool(datetime.strptime(value, "%Y%m%d"))
    except ValueError:
        return False


def _is_time(value: str) -> bool:
    return _TIME.fullmatch(value) is not None
