"""Open files safely: regular ones only, and every error names the file and the reason."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from ctseg.errors import UnreadableFile

LARGEST_FILE = 2**30
"""The largest size of a file with one slice, in bytes."""

Stamp = tuple[int, int]
"""The state of a file: its size and its time of change."""

_NOT_A_FILE = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class ContentError(ValueError):
    """A fault in a file's content, in words for people; the reader adds the file's name."""


@contextmanager
def refusing(file: Path, refused: str = "can't be used", damaged: str | None = None) -> Iterator[None]:
    """Turn errors in the block into an UnreadableFile for `file`: OSError, and ContentError with `refused` before it.

    If `damaged` is given, it is the reason for any other error of a library, except MemoryError.
    """
    try:
        yield
    except (UnreadableFile, MemoryError):
        raise
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else error
        raise UnreadableFile(file, f"can't be opened: {reason}") from error
    except ContentError as error:
        raise UnreadableFile(file, f"{refused}: {error}") from error
    except Exception as error:  # most have classes of their own without a common root
        if damaged is None:
            raise
        raise UnreadableFile(file, damaged) from error


def check_regular(file: Path) -> Stamp:
    """The state of `file`; raises UnreadableFile if it is missing, or a pipe that would block."""
    with refusing(file):
        found = file.stat()
    if not stat.S_ISREG(found.st_mode):
        what = _NOT_A_FILE.get(stat.S_IFMT(found.st_mode), "something else")
        raise UnreadableFile(file, f"is {what}, not a file")
    return stamp_of(found)


def stamp_of(found: os.stat_result) -> Stamp:
    """The stamp from an `os.stat`."""
    return found.st_size, found.st_mtime_ns


def check_same(file: Path, opened: IO[Any], stamp: Stamp | None) -> None:
    """Raise UnreadableFile if an opened file is not in the state in which its header was read.

    The open file is asked, not the path, whose state may be seconds old on a network share.
    """
    if stamp and stamp_of(os.fstat(opened.fileno())) != stamp:
        raise UnreadableFile(file, "has changed since its header was read: run again")


def read_start(file: Path, count: int) -> bytes:
    """The first `count` bytes, or all if there are fewer; raises UnreadableFile."""
    check_regular(file)
    with refusing(file), file.open("rb", buffering=0) as stream:
        return stream.read(count)


def read_bytes(file: Path) -> bytes:
    """The content of a file with one slice; raises UnreadableFile, also for a file larger than any slice."""
    size, _ = check_regular(file)
    if size > LARGEST_FILE:
        raise UnreadableFile(file, f"is too large for one slice ({size / LARGEST_FILE:.1f} GiB)")
    with refusing(file):
        return file.read_bytes()


def beside(file: Path, name: str) -> Path:
    """The file `name` in the folder of `file`; raises ContentError for a name that leads elsewhere."""
    name = name.removeprefix("./")
    if name.split()[:1] == ["LIST"] or "%" in name:
        raise ContentError("its voxels are in several files: save it as one")
    if not name or name in (".", "..") or set(name) & set("/\\:\0"):
        raise ContentError(f"its voxels are in {name!r}: only files beside it are read")
    return file.with_name(name)
