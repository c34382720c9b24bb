"""A DICOM file opened, and numbers taken from it that may be missing or misspelt."""

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.dataelem import RawDataElement
from pydicom.dataset import FileDataset
from pydicom.multival import MultiValue

from ctseg.errors import UnreadableFile
from ctseg.reading.files import ContentError, check_regular, unopened
from ctseg.reading.signatures import SNIFFED, is_dicom

Numbers = tuple[float, ...]

# Group 2 (file meta) or 8 (identification), little endian: how a file begins that left out the preamble.
_FIRST_GROUPS = (b"\x02\0", b"\x08\0")


@contextmanager
def open_dicom(file: Path, tags: Sequence[str] | None) -> Iterator[tuple[FileDataset, int]]:
    """The `tags` of a DICOM file (None: all), read up to its pixels unless these are among them, and where that was.

    A file without the preamble is taken too. Raises UnreadableFile for one that is no DICOM, and turns into it
    what pydicom raises on a damaged one, while it is read and while its elements are used.
    """
    check_regular(file)
    try:
        with without_warnings(), file.open("rb") as stream:
            start = stream.read(SNIFFED)
            if not is_dicom(start) and not start.startswith(_FIRST_GROUPS):
                raise UnreadableFile(file, "is no DICOM file" if start else "is empty")
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
    except Exception as error:  # pydicom and its codecs raise classes of their own without a common root
        raise UnreadableFile(file, f"is cut off or damaged ({error})") from error


def numbers(dataset: FileDataset, tag: str, count: int) -> Numbers | None:
    """The `count` finite numbers of a tag; None where they are not there or no numbers."""
    found = _plainly_written(dataset, tag)
    if found is None:
        try:
            value = dataset.get(tag)
            found = tuple(float(v) for v in (value if isinstance(value, MultiValue) else [value]))
        except (TypeError, ValueError):
            return None
    return found if len(found) == count and all(map(math.isfinite, found)) else None


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


def number(dataset: FileDataset, tag: str) -> float | None:
    """The one finite number of a tag, or None."""
    found = numbers(dataset, tag, 1)
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
