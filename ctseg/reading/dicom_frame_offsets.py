"""Where each frame of a multi-frame DICOM file is in its PixelData, so that it can be read alone."""

from collections.abc import Sequence
from itertools import pairwise
from typing import BinaryIO

import numpy as np
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.encaps import parse_basic_offsets, parse_fragments

from ctseg.reading.dicom_pixel_data import UNDEFINED, PixelHeader, Span, find_value
from ctseg.reading.files import ContentError
from ctseg.reading.jpeg_header import END_OF_IMAGE

SPAN_TAGS = ("ExtendedOffsetTable", "ExtendedOffsetTableLengths")

_ITEM_HEAD = 8
# The length of an end-of-image marker with its padding, at most.
_PADDED_END = 10


def frame_spans(stream: BinaryIO, dataset: Dataset, pixels: PixelHeader, count: int) -> Sequence[Span]:
    """The span of each of `count` frames, from the `SPAN_TAGS` of a file and from the file itself.

    Frames follow one another; if encapsulated, each is one or more fragments, and a table may give the starts (PS3.5,
    A.4, and PS3.3, C.7.6.3.1.8). Raises ContentError if the starts are unclear. Missing data are noticed in reading.
    """
    pixels.check()
    frames = [Span(number * pixels.size, pixels.size) for number in range(count)]
    if pixels.offset is None:
        return frames
    value, length = find_value(stream, pixels)
    if length == UNDEFINED:
        return _encapsulated(stream, dataset, pixels, value, count)
    if not pixels.fills(length, count):
        raise ContentError(f"it holds {length} bytes of pixels, but {count} frames need {count * pixels.size}")
    return frames


def _encapsulated(stream: BinaryIO, dataset: Dataset, pixels: PixelHeader, value: int, count: int) -> Sequence[Span]:
    stream.seek(value)
    offsets = parse_basic_offsets(stream)
    first = stream.tell()
    end_of_file = stream.seek(0, 2) - first
    starts, sizes = (_long_numbers(dataset, tag) for tag in SPAN_TAGS)
    if len(starts) == len(sizes) == count:
        ends = [start + size + _ITEM_HEAD for start, size in zip(starts, sizes, strict=True)]
    else:
        stream.seek(first)
        starts = offsets if len(offsets) == count else _fragmented(stream, pixels, first, count)
        ends = [*starts[1:], end_of_file]
    return [
        Span(first - value + min(start, end_of_file), max(0, min(end, end_of_file) - start))
        for start, end in zip(starts, ends, strict=True)
    ]


def _long_numbers(dataset: Dataset, tag: str) -> list[int]:
    stored = dataset.get(tag) or b""
    return [int(number) for number in np.frombuffer(stored, "<u8", len(stored) // 8)]


def _fragmented(stream: BinaryIO, pixels: PixelHeader, first: int, count: int) -> list[int]:
    """The starts of frames without a table: each fragment, or each one after the end of a JPEG."""
    fragments, offsets = parse_fragments(stream)
    starts = offsets
    if fragments > count and pixels.syntax != uid.RLELossless:
        starts = [offsets[0], *(offset for _, offset in pairwise(offsets) if _ends_before(stream, offset))]
    if len(starts) != count:
        raise ContentError(
            f"it holds {fragments} fragments of pixels, which do not make up {count} frames: it may be cut off"
        )
    return [start - first for start in starts]


def _ends_before(stream: BinaryIO, offset: int) -> bool:
    stream.seek(offset - _PADDED_END)
    return END_OF_IMAGE in stream.read(_PADDED_END)
