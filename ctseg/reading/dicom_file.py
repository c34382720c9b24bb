"""Open a DICOM file: read its header, and find where its pixels begin."""

import os
import re
import warnings
import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader, BytesIO, FileIO
from pathlib import Path
from typing import BinaryIO

from pydicom import dcmread, uid
from pydicom.dataset import Dataset
from pydicom.filereader import data_element_generator
from pydicom.tag import BaseTag

from ctseg.errors import UnreadableFile
from ctseg.reading.dicom_values import tag_of, text
from ctseg.reading.files import LARGEST_FILE, ContentError, Stamp, check_regular, refusing, stamp_of
from ctseg.reading.signatures import FIRST_GROUPS, is_dicom

_PIECE = 2**20

_META_AT, _META_GROUP = 132, 2
# PixelData as floats, doubles or integers.
_PIXELS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
_PLAIN_START, _PIXEL_START = re.compile(rb"\x08\0..[A-Z]{2}", re.DOTALL), re.compile(rb"\xe0\x7f[\x08\x09\x10]\0")
# Few headers are longer.
_USUAL_HEADER = 16384
# Transfer syntaxes with explicit VR and little endian after the file meta; all others need special handling.
_PLAIN_SYNTAXES = frozenset(uid.AllTransferSyntaxes) - {
    uid.ImplicitVRLittleEndian,
    uid.DeflatedExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
}


@dataclass(frozen=True, slots=True)
class Opened:
    """An open DICOM file: the elements that were asked for, the file meta, and the offset up to which it was read."""

    dataset: Dataset
    meta: Dataset
    is_little: bool
    end: int
    stream: "_Stream"

    @property
    def stamp(self) -> Stamp:
        """The state of the file when it was opened."""
        return self.stream.stamp

    @property
    def syntax(self) -> uid.UID:
        """The transfer syntax; where the file does not say, the default one (PS3.5, 10.1), or that of its elements."""
        default = uid.ImplicitVRLittleEndian if self.is_little else uid.ExplicitVRBigEndian
        return uid.UID(text(self.meta, "TransferSyntaxUID") or default)


class _Stream(BufferedReader):
    """A stream that does not trust the lengths in a file: it reads no more than there is, and limits inflation."""

    def __init__(self, file: Path) -> None:
        super().__init__(FileIO(os.fspath(file)))
        self.stamp = stamp_of(os.fstat(self.fileno()))

    def read(self, size: int | None = -1, /) -> bytes:
        """Read; pydicom reads all the rest of a deflated data set, and inflates it in one go."""
        if size is None or size < 0:
            rest = super().read()
            _check_inflated(rest)
            return rest
        return super().read(size if size < _PIECE else min(size, self.stamp[0]))


def _check_inflated(deflated: bytes) -> None:
    """Raise ContentError for a data set (PS3.5, A.5) that inflates to more than any slice takes."""
    inflater, inflated, left = zlib.decompressobj(-zlib.MAX_WBITS), 0, deflated
    while left and not inflater.eof:
        inflated += len(inflater.decompress(left, _PIECE))
        left = inflater.unconsumed_tail
        if inflated > LARGEST_FILE:
            raise ContentError("it is deflated, and too large for one slice")


@contextmanager
def open_dicom(file: Path, tags: Collection[str] | None) -> Iterator[Opened]:
    """Read the `tags` of a DICOM file (None: all), up to its pixels unless `PixelData` is among them.

    The preamble may be missing. Raises UnreadableFile for a file that is not DICOM, and in place of whatever pydicom
    raises on a damaged one, here and in the block, where its elements are decoded.
    """
    check_regular(file)
    damaged = "is cut off or damaged: its header can't be read"  # pydicom's messages quote values, maybe a name
    try:
        with refusing(file, damaged=damaged), without_warnings(), _Stream(file) as stream:
            start = stream.read(_USUAL_HEADER)
            if not is_dicom(start) and not start.startswith(FIRST_GROUPS):
                raise UnreadableFile(file, "does not begin like a DICOM file" if start else "is empty")
            yield (_read_plain(start, stream, tags) if tags is not None else None) or _read(stream, tags)
    except MemoryError as error:
        raise UnreadableFile(file, "needs more memory than is available") from error


def _read(stream: _Stream, tags: Collection[str] | None) -> Opened:
    """Read by pydicom, which tolerates many irregularities."""
    stream.seek(0)
    stops = tags is None or "PixelData" not in tags
    wanted = None if tags is None else list(tags)
    dataset = dcmread(stream, stop_before_pixels=stops, force=True, specific_tags=wanted)
    return Opened(dataset, dataset.file_meta, dataset.original_encoding[1] is not False, stream.tell(), stream)


def _read_plain(start: bytes, stream: _Stream, tags: Collection[str]) -> Opened | None:
    """The same in a third of the time, by pydicom's reader of elements alone; None for a file that needs more.

    The rest of pydicom's work is to find out how a file is encoded. Nearly all files leave no doubt: they have a
    preamble, a common transfer syntax, and elements with explicit VR up to the pixels.
    """
    if not is_dicom(start) or "PixelData" in tags:
        return None
    header = BytesIO(start)
    header.seek(_META_AT)
    try:
        meta = _elements(header, lambda tag, *_: tag >> 16 != _META_GROUP)
        if text(meta, "TransferSyntaxUID") not in _PLAIN_SYNTAXES or not _PLAIN_START.match(start, header.tell()):
            return None
        dataset = _elements(header, lambda tag, *_: tag in _PIXELS, [int(tag_of(tag)) for tag in tags])
    except Exception:  # noqa: BLE001 - `_read` may still manage an odd or damaged file, or tells what is wrong
        return None
    return Opened(dataset, meta, True, header.tell(), stream) if _PIXEL_START.match(start, header.tell()) else None


def _elements(
    header: BinaryIO, stop: Callable[[BaseTag, str | None, int], bool], tags: list[BaseTag | int] | None = None
) -> Dataset:
    elements = data_element_generator(header, False, True, stop_when=stop, specific_tags=tags)
    return Dataset({element.tag: element for element in elements})


@contextmanager
def without_warnings() -> Iterator[None]:
    """Ignore the warnings of pydicom and highdicom about irregularities that they tolerate.

    Filters are shared by all threads; a race can at worst leave this one behind, which affects only these two.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="pydicom|highdicom")
        yield
