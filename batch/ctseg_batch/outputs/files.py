"""Files written whole or not at all, and kept for good; and what to say where OUT can't be written."""

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ctseg.errors import CallError
from ctseg.replacing import UNFINISHED, moved_to

# What some file systems answer that can't sync a folder.
_NO_SYNC = (errno.EINVAL, errno.ENOTSUP)


def write_whole(file: Path, content: bytes) -> None:
    """Write a file and the folders above it; raises CallError, and then leaves nothing half done."""
    try:
        put(file, content)
    except OSError as error:
        raise refused(file, error) from error


def put(file: Path, content: bytes, mark: str = "") -> None:
    """The same, but raises OSError; `mark` is that of `moved_to`."""
    with moved_to(file, mark) as part:
        try:
            part.write_bytes(content)
        except FileNotFoundError:
            file.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(content)


@contextmanager
def writing(file: Path) -> Iterator[BinaryIO]:
    """As `write_whole`, bit by bit: the file is in its place when the block ends, and not if it ends with an error."""
    try:
        with moved_to(file) as part:
            file.parent.mkdir(parents=True, exist_ok=True)
            with part.open("wb") as stream:
                yield stream
    except OSError as error:
        raise refused(file, error) from error


def keep(files: Iterable[Path]) -> None:
    """See to it that files outlast a power failure, those of them that are there; raises OSError.

    All at once, after they were written: the first call takes most of the others' data to the disk along with its own.
    """
    folders = set()
    for file in files:
        try:
            opened = os.open(file, os.O_RDWR)
        except OSError as error:
            if isinstance(error, FileNotFoundError) or is_of_name(error):
                continue
            raise
        _sync(opened)
        folders.add(file.parent)
    if os.name == "posix":  # elsewhere a folder can't be opened, nor need it be
        for folder in folders:
            try:
                _sync(os.open(folder, os.O_RDONLY))
            except OSError as error:
                if error.errno not in _NO_SYNC:
                    raise


def is_of_name(error: OSError) -> bool:
    """Whether the system finds fault with a name, which then no file of that file system can have.

    Some take no more than 255 bytes, no `:` or `?` (exFAT, NTFS), or nothing but UTF-8 (APFS, ZFS).
    """
    return error.errno in (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ)


def _sync(opened: int) -> None:
    """And close it."""
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def clear_leftovers(folders: Iterable[Path], is_at_work: Callable[[str], bool]) -> None:
    """Remove what killed runs left unfinished below the folders, but of those that may be at work, by their marks."""
    for top in folders:
        for folder, _, names in os.walk(top):
            for name in names:
                written = name.removesuffix(UNFINISHED)
                if name.startswith(".") and written != name and not is_at_work(written):
                    Path(folder, name).unlink(missing_ok=True)


def remove(files: Iterable[Path]) -> None:
    """Remove files, those of them that are there; raises CallError."""
    for file in files:
        try:
            file.unlink(missing_ok=True)
        except OSError as error:
            raise refused(file, error) from error


def removed(file: Path) -> CallError:
    """What to say when the output vanished in mid-run."""
    return CallError(f"{file} was removed or renamed while the run wrote to it: the same call does again what is gone")


def refused(file: Path, error: OSError) -> CallError:
    """What to say when the output can't be written: the run can't go on."""
    if isinstance(error, FileNotFoundError):
        return removed(file)
    return CallError(
        f"{file} can't be written: {error.strerror}; what was finished is kept, and the same call goes on from there"
    )
