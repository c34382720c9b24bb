"""Where the pixels of a slice are in a DICOM file and how they are stored; and reading their bytes later."""

import struct
import threading
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from pydicom import uid
from pydicom.dataset import Dataset

from ctseg.errors import UnreadableFile
from ctseg.reading.dicom_file import Opened, open_dicom
from ctseg.reading.dicom_values import integer, number, text, word
from ctseg.reading.files import LARGEST_FILE, ContentError, Stamp, check_regular, check_same
from ctseg.reading.picture_header import check_size

PIXEL_TAGS = (
    "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PhotometricInterpretation",
    "PixelPaddingValue", "PixelPaddingRangeLimit",
    "RescaleSlope", "RescaleIntercept", "RescaleType",
)  # fmt: skip

UNDEFINED = 0xFFFFFFFF
"""The length of a value that ends at a delimiter, like encapsulated pixels."""

_PIXEL_DATA = (0x7FE0, 0x0010)
_VRS = (b"OW", b"OB", b"UN")
_LONGEST_HEAD = 12
# Encapsulated pixels begin with a table of offsets, here an empty one (PS3.5, A.4).
_NO_OFFSETS = struct.pack("<HHI", 0xFFFE, 0xE000, 0)
_HU = ("", "HU", "HU_MOD")
_INFLATING = threading.Lock()
_UNSPECIFIED = "US"


@dataclass(frozen=True, slots=True)
class Span:
    """The bytes of a frame within the value of PixelData."""

    start: int
    size: int


@dataclass(frozen=True, slots=True)
class Rescale:
    """The rescale from stored numbers to HU (PS3.3, C.11.1.1.2).

    `slope` and `intercept` are None if the file does not give them; `unit` is that of the result, if given.
    """

    slope: float | None
    intercept: float | None
    unit: str

    @property
    def leads_to_hu(self) -> bool:
        """Whether the file gives a rescale to HU."""
        return None not in (self.slope, self.intercept) and self.unit.upper() in _HU


@dataclass(frozen=True, slots=True)
class PixelHeader:
    """How one slice is stored.

    `offset` is that of the PixelData element; None in a file that is deflated as a whole. `span` is that of a frame;
    None if the file holds a single slice. Numbers that are missing in the file are 0. `padding`: the lowest and the
    highest number that stand for no tissue. `stamp`: the state of the file when its header was read.
    """

    offset: int | None
    syntax: uid.UID
    is_little: bool
    rows: int
    columns: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    is_signed: bool
    photometric: str
    rescale: Rescale
    padding: tuple[int, int] | None = None
    span: Span | None = None
    stamp: Stamp | None = field(default=None, compare=False)  # two files may say the same

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.rows, self.columns

    @property
    def size(self) -> int:
        """The bytes of a slice without compression."""
        return self.rows * self.columns * self.bits_allocated // 8

    def fills(self, size: int, frames: int = 1) -> bool:
        """Whether so many frames take `size` bytes; some writers pad to a block, by less than a row."""
        return 0 <= size - frames * self.size < self.columns * self.bits_allocated // 8

    def without_encoding(self) -> "PixelHeader":
        """The header without what may differ between two files of one slice: transfer syntax, file meta, offsets."""
        return replace(self, offset=None, syntax=uid.UID(""), is_little=True, span=None)

    @property
    def bits_below(self) -> int:
        """How many unused bits lie below those of a number: none by the standard (PS3.5, 8.1.1), some by older ones."""
        below = self.high_bit + 1 - self.bits_stored
        return below if 0 < below <= self.bits_allocated - self.bits_stored else 0

    def check(self) -> None:
        """Raise ContentError for anything but a plain grey slice."""
        needed = {"Rows": self.rows, "Columns": self.columns, "BitsAllocated": self.bits_allocated}
        missing = [tag for tag, value in {**needed, "BitsStored": self.bits_stored}.items() if not value]
        if missing:
            raise ContentError(f"its header lacks {', '.join(missing)}")
        check_size(*self.shape)
        if self.photometric not in ("MONOCHROME1", "MONOCHROME2"):
            raise ContentError(f"it is a colour picture ({self.photometric})")
        if self.bits_allocated not in (8, 16):
            raise ContentError(f"its pixels have {self.bits_allocated} bits, not 8 or 16")
        if self.bits_allocated == 8 and self.syntax == uid.ExplicitVRBigEndian:  # as words, or not (PS3.5, A.3)
            raise ContentError("its 8-bit pixels may be stored as words, upper byte first: convert it first")
        if self.bits_stored > self.bits_allocated:
            raise ContentError(f"its pixels use {self.bits_stored} of {self.bits_allocated} bits")


def pixel_header(opened: Opened) -> PixelHeader:
    """From the `PIXEL_TAGS` of a file that was read up to its PixelData."""
    dataset, syntax = opened.dataset, opened.syntax
    rescale = rescale_of(dataset)
    if rescale.unit.upper() == _UNSPECIFIED:  # frames of enhanced CT would say HU if they were (PS3.3, C.8.15.3.10)
        rescale = replace(rescale, unit="")
    return PixelHeader(
        offset=None if syntax == uid.DeflatedExplicitVRLittleEndian else opened.end,
        syntax=syntax,
        is_little=opened.is_little,
        rows=integer(dataset, "Rows") or 0,
        columns=integer(dataset, "Columns") or 0,
        bits_allocated=integer(dataset, "BitsAllocated") or 0,
        bits_stored=integer(dataset, "BitsStored") or 0,
        high_bit=integer(dataset, "HighBit") or 0,
        is_signed=integer(dataset, "PixelRepresentation") == 1,
        photometric=text(dataset, "PhotometricInterpretation") or "MONOCHROME2",
        rescale=rescale,
        padding=_padding(dataset),
        stamp=opened.stamp,
    )


def rescale_of(dataset: Dataset) -> Rescale:
    """From the last three of `PIXEL_TAGS`."""
    return Rescale(number(dataset, "RescaleSlope"), number(dataset, "RescaleIntercept"), text(dataset, "RescaleType"))


def _padding(dataset: Dataset) -> tuple[int, int] | None:
    """The range from PixelPaddingValue to PixelPaddingRangeLimit (PS3.3, C.7.5.1.1.2); None without padding.

    Their VR should be that of the pixels, but often is not. A value that does not fit into BitsStored is in no pixel.
    """
    words = [word(dataset, keyword) for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit")]
    bits, is_signed = integer(dataset, "BitsStored") or 0, integer(dataset, "PixelRepresentation") == 1
    if words[0] is None or not 0 < bits <= 16:
        return None
    ends = []
    for said in (one for one in words if one is not None):
        kept = said & ((1 << bits) - 1)
        end = kept - (1 << bits) if is_signed and kept >> (bits - 1) else kept
        if said not in (kept, end & 0xFFFF):
            return None
        ends.append(end)
    return min(ends), max(ends)


def read_pixel_data(file: Path, header: PixelHeader) -> bytes:
    """The stored value of PixelData, as if it held this slice alone; if encapsulated, it may be followed by more.

    Raises UnreadableFile and OSError, and ContentError if the pixels are missing: the file is cut off, or was replaced.
    """
    span = header.span
    if header.offset is None:
        if span is None:
            return _inflate(file, header.stamp)
        with _INFLATING:  # else each thread would inflate it
            frames = _inflate_for_all_frames(file, header.stamp)
        return frames[span.start : span.start + span.size]
    left = check_regular(file)[0] - header.offset
    if (size := span.size if span else left) > LARGEST_FILE:
        raise UnreadableFile(file, f"is too large for one slice ({size / LARGEST_FILE:.1f} GiB)")
    with file.open("rb", buffering=0) as stream:
        check_same(file, stream, header.stamp)
        start, length = find_value(stream, header)
        stream.seek(start + span.start if span else start)
        data = stream.read(span.size if span else -1)
    if length != UNDEFINED:
        return data[:length]
    return _NO_OFFSETS + data if span and data else data


def find_value(stream: BinaryIO, header: PixelHeader) -> tuple[int, int]:
    """The offset and the length of the value of PixelData, from its element's header (PS3.5, 7.1).

    Raises ContentError if it is not there.
    """
    assert header.offset is not None
    stream.seek(header.offset)
    head = stream.read(_LONGEST_HEAD)
    order = "<" if header.is_little else ">"
    # Some files are not encoded as their transfer syntax says. Letters here are an explicit VR: as the length of an
    # implicit one they would be an odd number, and lengths are even.
    form, at = (f"{order}HH4xI", _LONGEST_HEAD) if head[4:6] in _VRS else (f"{order}HHI", 8)
    if len(head) < at:
        raise ContentError("its pixels are missing: the file may be cut off")
    *tag, length = struct.unpack_from(form, head)
    if tuple(tag) != _PIXEL_DATA:
        raise ContentError("its pixels are not where they were when its header was read")
    return header.offset + at, length


def release_frames() -> None:
    """Free what is held of a deflated file with several frames."""
    _inflate_for_all_frames.cache_clear()


@lru_cache(maxsize=1)
def _inflate_for_all_frames(file: Path, stamp: Stamp | None) -> bytes:
    return _inflate(file, stamp)


def _inflate(file: Path, stamp: Stamp | None) -> bytes:
    with open_dicom(file, ["PixelData"]) as opened:
        check_same(file, opened.stream, stamp)
        return bytes(opened.dataset.get("PixelData") or b"")
