"""A lock on a folder, so that two runs never write into it at the same time."""

import errno
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctseg.errors import CallError

if TYPE_CHECKING:
    from filelock import AcquireReturnProxy

INSTANT_S = 0.5
"""A lock is tested by taking it for an instant. A run that meets such a test waits so long for it to end."""

# The errors of a file system without locks at present; one that never has any (ENOSYS) gets a marker file instead.
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP)


@contextmanager
def claim(
    folder: Path, lock: str, excludes: Callable[[str], bool] = lambda _: False, wait_s: float = INSTANT_S
) -> Iterator[None]:
    """Hold `folder` by the lock with that name below it, also against other machines if the file system has locks.

    `excludes` says by name which locks beside it must not be held meanwhile. A run takes its own lock first and then
    tests the others, so that of two runs that exclude each other at least one notices. Raises CallError if another run
    still holds the folder after `wait_s`, or if it can't be written. The system releases the lock when the run dies,
    however it dies.
    """
    from filelock import Timeout

    file = folder / lock
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        held = take(file, wait_s)
    except Timeout:
        raise _taken(folder, file) from None
    except OSError as error:
        raise _unwritable(folder, error) from error
    with held:
        for other in file.parent.iterdir():
            if other != file and excludes(other.name) and is_held(other, INSTANT_S):
                raise _taken(folder, other)
        yield


def is_held(lock: Path, wait_s: float = 0.0) -> bool:
    """Whether a lock is still held after `wait_s`; without a wait, it may be held only by a test like this one."""
    from filelock import Timeout

    try:
        with take(lock, wait_s):
            return False
    except Timeout:
        return True


def take(lock: Path, wait_s: float = 0.0) -> "AcquireReturnProxy[Any]":
    """Take a lock; raises filelock's Timeout if it is still held after `wait_s`, OSError if it can't be made.

    Raises CallError if its file system has no locks.
    """
    from filelock import FileLock

    with warnings.catch_warnings():
        # On a file system without locks, filelock warns and uses the existence of a marker file instead.
        warnings.filterwarnings("ignore", "flock not supported")
        try:
            return FileLock(lock, timeout=wait_s).acquire()
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            raise CallError(
                f"{lock} can't be locked: {error.strerror}. Mount its file system with locks (NFS needs lockd, "
                "or local_lock=flock if only one machine writes there), or name another folder"
            ) from error


def _unwritable(folder: Path, error: OSError) -> CallError:
    """The error for a folder that can't be held: it, what it holds, or where it is to be made can't be written."""
    if os.path.islink(folder) and not os.path.exists(folder):  # noqa: PTH110, PTH114 - these never raise
        return CallError(f"{folder} can't be written: it is a link to {folder.readlink()}, which does not exist")
    fault = Path(os.fsdecode(error.filename or folder))
    while not os.path.lexists(fault) and fault != fault.parent:
        fault = fault.parent
    return CallError(f"{fault} can't be written: {error.strerror}")


def _taken(folder: Path, lock: Path) -> CallError:
    told = f"another run is writing to {folder}: wait until it has ended, or name another folder"
    try:
        holder = lock.read_text(errors="replace").split()
    except OSError:
        holder = []
    if len(holder) > 1:  # a marker file outlives its run, which another machine can't see
        process, machine, *_ = holder
        told += f". If process {process} on {machine} is gone, delete {lock}: its file system does not support locks"
    return CallError(told)
