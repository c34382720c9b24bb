"""A DICOM file opened, and numbers taken from it that may be missing or misspelt."""

import math
import os
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BufferedReader, FileIO
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.dataelem import RawDataElement
from pydicom.dataset import FileDataset
from pydicom.multival import MultiValue

from ctseg.errors import UnreadableFile
from ctseg.reading.files import LARGEST_FILE, ContentError, check_regular, unopened
from ctseg.reading.signatures import SNIFFED, is_dicom

Numbers = tuple[float, ...]

_PIECE = 2**20

# Group 2 (file meta) or 8 (identification), little endian: how a file begins that left out the preamble.
_FIRST_GROUPS = (b"\x02\0", b"\x08\0")


class _Stream(BufferedReader):
    """A file that gives no more than it holds, and refuses what inflates without end: lengths in it may be lies."""

    def __init__(self, file: Path) -> None:
        super().__init__(FileIO(os.fspath(file)))
        self._size = os.fstat(self.fileno()).st_size

    def read(self, size: int | None = -1, /) -> bytes:
        """As ever; pydicom asks for all that is left where the data set is deflated, and inflates it at once."""
        if size is None or size < 0:
            rest = super().read()
            _check_inflated(rest)
            return rest
        return super().read(size if size < _PIECE else min(size, self._size))


def _check_inflated(deflated: bytes) -> None:
    """Raise ContentError for a data set (PS3.5, A.5) that inflates to more than any slice takes."""
    inflater, inflated, left = zlib.decompressobj(-zlib.MAX_WBITS), 0, deflated
    while left and not inflater.eof:
        inflated += len(inflater.decompress(left, _PIECE))
        left = inflater.unconsumed_tail
        if inflated > LARGEST_FILE:
            raise ContentError("it is deflated, and too large for one slice")


@contextmanager
def open_dicom(file: Path, tags: Sequence[str] | None) -> Iterator[tuple[FileDataset, int]]:
    """The `tags` of a DICOM file (None: all), read up to its pixels unless these are among them, and where that was.

    A file without the preamble is taken too. Raises UnreadableFile for one that is no DICOM, and turns into it
    what pydicom raises on a damaged one, while it is read and while its elements are used.
    """
    check_regular(file)
    try:
        with without_warnings(), _Stream(file) as stream:
            start = stream.read(SNIFFED)
            if not is_dicom(start) and not start.startswith(_FIRST_GROUPS):
                raise UnreadableFile(file, "does not begin like a DICOM file" if start else "is empty")
            stream.seek(0)
            stops = tags is None or "PixelData" not in tags
            wanted = None if tags is None else list(tags)
            dataset = dcmread(stream, stop_before_pixels=stops, force=True, specific_tags=wanted)
            yield dataset, stream.tell()
    except UnreadableFile:
        raise
    except OSError as error:
        raise unopened(file, error) from error
    except ContentError as error:
        raise UnreadableFile(file, f"can't be used: {error}") from error
    except MemoryError as error:
        raise UnreadableFile(file, "needs more memory than there is") from error
    except Exception as error:  # pydicom raises classes of its own without a common root, and quotes values: a name?
        raise UnreadableFile(file, "is cut off or damaged: its header can't be read") from error


def numbers(dataset: FileDataset, tag: str, count: int, below: float = math.inf) -> Numbers | None:
    """The `count` numbers of a tag, finite and `below` a size; None where they are not there or no such numbers."""
    found = _plainly_written(dataset, tag)
    if found is None:
        try:
            value = dataset.get(tag)
            found = tuple(float(v) for v in (value if isinstance(value, MultiValue) else [value]))
        except (TypeError, ValueError):
            return None
    return found if len(found) == count and all(abs(v) < below for v in found) else None


def _plainly_written(dataset: FileDataset, tag: str) -> Numbers | None:
    """The numbers of an element that was not decoded yet and has nothing odd about it."""
    raw: Any = dataset.get_item(tag)
    if not isinstance(raw, RawDataElement) or not raw.value:
        return None
    read = _READ_AS.get(raw.VR or "")
    try:
        return tuple(read(part) for part in raw.value.split(b"\\")) if read else None
    except ValueError:
        return None


_READ_AS: Mapping[str, Callable[[bytes], float]] = {"DS": float, "IS": int}


def number(dataset: FileDataset, tag: str, below: float = math.inf) -> float | None:
    """The one number of a tag, finite and `below` a size, or None."""
    found = numbers(dataset, tag, 1, below)
    return found[0] if found else None


def whole(dataset: FileDataset, tag: str) -> int | None:
    """The whole number of a tag, or None."""
    found = number(dataset, tag)
    return None if found is None else int(found)


@contextmanager
def without_warnings() -> Iterator[None]:
    """Without the warnings of pydicom and highdicom about each irregularity that they get over.

    Filters are shared by all threads; what a race may leave behind is this one, for these two alone.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="pydicom|highdicom")
        yield
