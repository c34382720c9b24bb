"""Replace a file whole or not at all: it is written beside its place as `.<name>.tmp`, then renamed."""

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO

from ctseg.errors import CallError

_UNFINISHED = ".tmp"

# In bytes; of ext4, XFS, NTFS and APFS alike.
_LONGEST_NAME = 255


def make_room(file: Path) -> None:
    """Make the folder that a file is to be written into; raises CallError."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CallError(f"{file} can't be written: the folder {file.parent} can't be made: {error.strerror}") from error


def replace_with(file: Path, content: bytes) -> None:
    """Write a file; raises CallError if that fails."""
    try:
        with replacing(file) as stream:
            stream.write(content)
    except OSError as error:
        raise CallError(f"{file} can't be written: {error.strerror}") from error


@contextmanager
def replacing(file: Path) -> Iterator[BinaryIO]:
    """A stream to a file beside the place, which is renamed once it is on the disk; an error leaves nothing behind."""
    with moved_to(file) as part, part.open("wb") as stream:
        yield stream
        stream.flush()
        os.fsync(stream.fileno())


@contextmanager
def moved_to(file: Path, mark: str = "") -> Iterator[Path]:
    """A path beside the file to write to: it becomes the file at the end, or is removed after an error.

    `mark` distinguishes the unfinished files of several writers.
    """
    part = _beside(file, mark)
    try:
        yield part
        part.replace(file)
    except BaseException:
        with contextlib.suppress(OSError):  # if the file system refuses the name, unlinking fails too
            part.unlink()
        raise


def unfinished_name(name: str) -> str:
    """The name of a file while it is not complete."""
    return f".{name}{_UNFINISHED}"


def finished_name(name: str) -> str | None:
    """The name that a file will have, by its name while it is not complete; None for any other."""
    inner = name[1:].removesuffix(_UNFINISHED)
    return inner if unfinished_name(inner) == name else None


def _beside(file: Path, mark: str) -> Path:
    """Where a file is written first; if its name is too long to be lengthened, under a digest of the name."""
    part = unfinished_name(f"{file.name}{mark}")
    if len(os.fsencode(part)) > _LONGEST_NAME:
        part = unfinished_name(f"{blake2b(os.fsencode(file.name), digest_size=16).hexdigest()}{mark}")
    return file.with_name(part)
