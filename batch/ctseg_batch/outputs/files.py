"""Write files whole or not at all and sync them to the disk; the messages for an OUT that can't be written."""

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ctseg.errors import CallError
from ctseg.process.replacing import finished_name, moved_to

# The errors of file systems that can't sync a folder.
_NO_SYNC = (errno.EINVAL, errno.ENOTSUP)

GO_ON = "finished scans are kept, and the same call (without --overwrite) does the others"
"""What to do where OUT could no longer be written."""

_AGAIN = "once it can, the same call writes it"


def put(file: Path, content: bytes, mark: str = "") -> None:
    """Write a file, making its folders, or leave nothing half written and raise OSError; `mark` as in `moved_to`."""
    with moved_to(file, mark) as part:
        try:
            part.write_bytes(content)
        except FileNotFoundError:
            file.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(content)


@contextmanager
def writing(file: Path) -> Iterator[BinaryIO]:
    """The same as a stream: the file is in its place when the block ends, unless with an error. Raises CallError."""
    try:
        with moved_to(file) as part:
            file.parent.mkdir(parents=True, exist_ok=True)
            with part.open("wb") as stream:
                yield stream
    except OSError as error:
        raise write_error(file, error, _AGAIN) from error


def sync(files: Iterable[Path]) -> None:
    """Sync files to the disk, so that they survive a power failure; missing ones are left out. Raises OSError.

    Best called once for many files: the first sync also takes most of the others' data to the disk.
    """
    folders = set()
    for file in files:
        try:
            opened = os.open(file, os.O_RDWR)
        except OSError as error:
            if isinstance(error, FileNotFoundError) or is_bad_name(error):
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


def is_bad_name(error: OSError) -> bool:
    """Whether a file system refused the name of a file, which then no file there can have.

    Some take no more than 255 bytes, no `:` or `?` (exFAT, NTFS), or nothing but UTF-8 (APFS, ZFS).
    """
    return error.errno in (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ)


def _sync(opened: int) -> None:
    """Sync a file or folder, and close it."""
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def remove_leftovers(folders: Iterable[Path], is_at_work: Callable[[str], bool]) -> None:
    """Remove the unfinished files of killed runs below the folders, not those of runs at work, told by their marks."""
    for top in folders:
        for folder, _, names in os.walk(top):
            for name in names:
                written = finished_name(name)
                if written is not None and not is_at_work(written):
                    Path(folder, name).unlink(missing_ok=True)


def remove(files: Iterable[Path]) -> None:
    """Remove files, those of them that are there; raises CallError."""
    for file in files:
        try:
            file.unlink(missing_ok=True)
        except OSError as error:
            raise write_error(file, error, _AGAIN) from error


def vanished_error(file: Path) -> CallError:
    """The error for an output that vanished during the run."""
    return CallError(
        f"{file} was removed or renamed while the run was writing to it: the same call redoes what is gone"
    )


def write_error(file: Path, error: OSError, advice: str = GO_ON) -> CallError:
    """The error for an output that can't be written, with which the run ends."""
    if isinstance(error, FileNotFoundError):
        return vanished_error(file)
    return CallError(f"{file} can't be written: {error.strerror}; {advice}")
