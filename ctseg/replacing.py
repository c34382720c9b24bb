"""A file that is there whole or as it was before: written beside its place as `.<name>.tmp`, then renamed into it."""

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO

from ctseg.errors import CallError

UNFINISHED = ".tmp"
"""What the name of a file ends in that is not whole yet."""

# In bytes; of ext4, XFS, NTFS and APFS alike.
_LONGEST_NAME = 255


def replace_with(file: Path, content: bytes) -> None:
    """Write all of a file at once; raises CallError where that can't be done."""
    try:
        with replacing(file) as stream:
            stream.write(content)
    except OSError as error:
        raise CallError(f"{file} can't be written: {error.strerror}") from error


@contextmanager
def replacing(file: Path) -> Iterator[BinaryIO]:
    """Write beside the place, and rename once all is on the disk; what ends with an error leaves nothing behind."""
    with moved_to(file) as part, part.open("wb") as stream:
        yield stream
        stream.flush()
        os.fsync(stream.fileno())


@contextmanager
def moved_to(file: Path, mark: str = "") -> Iterator[Path]:
    """A place beside the file's to write to: it becomes the file at the end, or goes with an error.

    `mark` tells what is unfinished of one writer from what is of others that write to the same place.
    """
    part = _beside(file, mark)
    try:
        yield part
        part.replace(file)
    except BaseException:
        with contextlib.suppress(OSError):  # with a name that is none there, not even looking for it works
            part.unlink()
        raise


def _beside(file: Path, mark: str) -> Path:
    """Where a file is written to at first; by a digest of its name where that is too long to be made longer."""
    part = f".{file.name}{mark}{UNFINISHED}"
    if len(os.fsencode(part)) > _LONGEST_NAME:
        part = f".{blake2b(os.fsencode(file.name), digest_size=16).hexdigest()}{mark}{UNFINISHED}"
    return file.with_name(part)
