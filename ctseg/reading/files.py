"""Files opened without surprises: regular ones only, and every failure says which file and why."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from ctseg.errors import UnreadableFile

LARGEST_FILE = 2**30
"""Bytes that the file of one slice may have."""

Stamp = tuple[int, int]
"""Tells one state of a file from another: its size and time of change."""

_NOT_A_FILE = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class ContentError(ValueError):
    """What is wrong with a file's content, in words for people; the reader adds which file it is."""


@contextmanager
def refusing(file: Path, refused: str = "can't be used", damaged: str | None = None) -> Iterator[None]:
    """Turn into an UnreadableFile what the system says against opening `file`, and a ContentError, `refused` before it.

    Whatever else libraries raise, but want of memory, means that the file is `damaged`, if that is given.
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


def check_regular(file: Path) -> int:
    """The size of `file` in bytes; raises UnreadableFile for a lost one, or a pipe that would block."""
    return stat_regular(file).st_size


def stat_regular(file: Path) -> os.stat_result:
    """What the system says of `file`; raises UnreadableFile as `check_regular` does."""
    with refusing(file):
        found = file.stat()
    if not stat.S_ISREG(found.st_mode):
        what = _NOT_A_FILE.get(stat.S_IFMT(found.st_mode), "something else")
        raise UnreadableFile(file, f"is {what}, not a file")
    return found


def stamp_of(found: os.stat_result) -> Stamp:
    """From what the system says of a file."""
    return found.st_size, found.st_mtime_ns


def check_same(file: Path, opened: IO[Any], stamp: Stamp | None) -> None:
    """Raise UnreadableFile for a file that is another one, now that it is open, than when its header was read.

    By the open file: on a network share, what its path tells may be seconds old.
    """
    if stamp and stamp_of(os.fstat(opened.fileno())) != stamp:
        raise UnreadableFile(file, "has changed since its header was read: call again")


def read_start(file: Path, count: int) -> bytes:
    """The first `count` bytes, or fewer where there are no more; raises UnreadableFile."""
    check_regular(file)
    with refusing(file), file.open("rb", buffering=0) as stream:
        return stream.read(count)


def read_bytes(file: Path) -> bytes:
    """All of a file that holds one slice; raises UnreadableFile, also for one that is larger than any slice."""
    size = check_regular(file)
    if size > LARGEST_FILE:
        raise UnreadableFile(file, f"is too large for one slice ({size / LARGEST_FILE:.1f} GiB)")
    with refusing(file):
        return file.read_bytes()


def beside(file: Path, name: str) -> Path:
    """The file called `name` in the folder of `file`; raises ContentError for a name that leads anywhere else."""
    if name.split()[:1] == ["LIST"] or "%" in name:
        raise ContentError("its voxels are in several files: save it as one")
    if not name or name in (".", "..") or set(name) & set("/\\:\0"):
        raise ContentError(f"its voxels are in {name!r}: only a file beside it is read")
    return file.with_name(name)
