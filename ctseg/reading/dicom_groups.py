"""The frames of an enhanced CT object: what its functional groups say of each (DICOM PS3.3, C.7.6.16)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydicom.dataset import Dataset
from pydicom.tag import Tag

from ctseg.reading.dicom_values import integer, text
from ctseg.reading.files import ContentError

GROUP_TAGS = (
    "ConcatenationUID", "InConcatenationNumber", "InConcatenationTotalNumber",
    "DimensionIndexSequence", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
)  # fmt: skip

_GROUPS = (
    "PixelMeasuresSequence", "PlanePositionSequence", "PlaneOrientationSequence", "PixelValueTransformationSequence",
    "CTImageFrameTypeSequence", "FrameContentSequence",
)  # fmt: skip
# What a conversion can't place it keeps as it was in the files: there are numbers of theirs among it.
_GROUPS_OF_KERNEL = (
    "UnassignedSharedConvertedAttributesSequence", "UnassignedPerFrameConvertedAttributesSequence",
    "CTReconstructionSequence",
)  # fmt: skip
_KERNEL = Tag("ConvolutionKernel")

# Dimensions along which frames lie one on the other.
_IN_SPACE = frozenset(map(Tag, ("ImagePositionPatient", "InStackPositionNumber", "SliceLocation")))


@dataclass(frozen=True, slots=True)
class Frame:
    """What a frame is part of.

    `concatenation` is the ConcatenationUID of an object that is spread over `parts` files, of which this is number
    `part`; empty where a file holds all of it. Frames of one `stack` lie one on the other; where some lie at the
    same place, `phase` tells them apart.
    """

    concatenation: str
    part: int
    parts: int
    stack: str
    phase: tuple[int, ...]


def frame_count(dataset: Dataset) -> int:
    """How many frames a file says that it has; raises ContentError where what it says is no number."""
    count = integer(dataset, "NumberOfFrames")
    if count is None and text(dataset, "NumberOfFrames"):
        raise ContentError("its NumberOfFrames is no number")
    return count or 1


def has_frames(dataset: Dataset) -> bool:
    """Whether an enhanced object holds more than the one slice of a file."""
    return frame_count(dataset) > 1 or bool(text(dataset, "ConcatenationUID"))


def frame_headers(dataset: Dataset) -> Iterator[tuple[Dataset, Frame]]:
    """A header like that of a file with one slice for each frame, in the order of the file, and what it is part of.

    Raises ContentError where the file does not describe each of its frames.
    """
    count = frame_count(dataset)
    frames = dataset.get("PerFrameFunctionalGroupsSequence") or ()
    if len(frames) != count:
        raise ContentError(f"it says that it has {count} frames, and describes {len(frames)}")
    shared = _elements(dataset.get("SharedFunctionalGroupsSequence") or ())
    in_time = _dimensions_but_space(dataset)
    for groups in frames:
        header = Dataset(dict(dataset.items()) | shared | _elements([groups]))
        yield header, _frame(header, in_time)


def _elements(groups: Sequence[Dataset]) -> dict[Any, Any]:
    """The elements of functional groups, laid flat."""
    return {
        tag: element
        for group in groups
        for name in (*_GROUPS, *_GROUPS_OF_KERNEL)
        for item in group.get(name) or ()
        for tag, element in item.items()
        if name in _GROUPS or tag == _KERNEL
    }


def _dimensions_but_space(dataset: Dataset) -> Sequence[int]:
    dimensions = dataset.get("DimensionIndexSequence") or ()
    return [place for place, of in enumerate(dimensions) if of.get("DimensionIndexPointer") not in _IN_SPACE]


def _frame(header: Dataset, in_time: Sequence[int]) -> Frame:
    values = header.get("DimensionIndexValues")
    values = list(values) if isinstance(values, Sequence) else [values or 0]
    return Frame(
        concatenation=text(header, "ConcatenationUID"),
        part=integer(header, "InConcatenationNumber") or 1,
        parts=integer(header, "InConcatenationTotalNumber") or 1,
        stack=text(header, "StackID"),
        phase=(integer(header, "TemporalPositionIndex") or 0, *(values[n] for n in in_time if n < len(values))),
    )
