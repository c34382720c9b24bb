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
# A conversion to enhanced CT keeps elements here that it can't place. Only the kernel is taken: others, such as
# numbers, are those of the original files.
_GROUPS_OF_KERNEL = (
    "UnassignedSharedConvertedAttributesSequence", "UnassignedPerFrameConvertedAttributesSequence",
    "CTReconstructionSequence",
)  # fmt: skip
_KERNEL = Tag("ConvolutionKernel")

# Dimensions along which frames are stacked.
_IN_SPACE = frozenset(map(Tag, ("ImagePositionPatient", "InStackPositionNumber", "SliceLocation")))


@dataclass(frozen=True, slots=True)
class Frame:
    """What a frame belongs to.

    `concatenation` is the ConcatenationUID of an object that is spread over `parts` files, of which this is number
    `part`; empty if a single file holds all of it. Frames of one `stack` lie one on the other; those at the same place
    differ in `phase`.
    """

    concatenation: str
    part: int
    parts: int
    stack: str
    phase: tuple[int, ...]


def frame_count(dataset: Dataset) -> int:
    """The NumberOfFrames of a file, 1 if it is missing; raises ContentError if it is not a number."""
    count = integer(dataset, "NumberOfFrames")
    if count is None and text(dataset, "NumberOfFrames"):
        raise ContentError("its NumberOfFrames is not a number")
    return count or 1


def has_frames(dataset: Dataset) -> bool:
    """Whether an enhanced object is more than a single slice in a single file."""
    return frame_count(dataset) > 1 or bool(text(dataset, "ConcatenationUID"))


def frame_headers(dataset: Dataset) -> Iterator[tuple[Dataset, Frame]]:
    """For each frame, in the order of the file, a header like that of a single-slice file, and what it belongs to.

    Raises ContentError if the file does not describe each of its frames.
    """
    count = frame_count(dataset)
    frames = dataset.get("PerFrameFunctionalGroupsSequence") or ()
    if len(frames) != count:
        raise ContentError(f"it says that it has {count} frames, but describes {len(frames)}")
    shared = _elements(dataset.get("SharedFunctionalGroupsSequence") or ())
    in_time = _dimensions_but_space(dataset)
    for groups in frames:
        header = Dataset(dict(dataset.items()) | shared | _elements([groups]))
        yield header, _frame(header, in_time)


def _elements(groups: Sequence[Dataset]) -> dict[Any, Any]:
    """The elements of functional groups, flattened."""
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
    return [index for index, of in enumerate(dimensions) if of.get("DimensionIndexPointer") not in _IN_SPACE]


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
