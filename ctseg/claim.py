"""A folder held by one run alone, so that two never write into it at once."""

import errno
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctseg.errors import CallError

if TYPE_CHECKING:
    from filelock import AcquireReturnProxy

# A lock is looked at by taking it, for an instant. Who meets another that looks waits so many seconds for him to end.
_INSTANT = 0.5
# What a file system says that has no locks at this time; one that never has any (ENOSYS) gets a marker in their stead.
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP)


@contextmanager
def claim(folder: Path, lock: str, excludes: Callable[[str], bool] = lambda _: False) -> Iterator[None]:
    """Hold `folder` by the lock of that name below it, also against other machines where the file system knows locks.

    `excludes` says by its name which lock beside it may not be held by anybody meanwhile. Each takes its own first and
    looks at the others then, so that of two that exclude each other, one sees the other. Raises CallError where another
    run holds the folder, or where it can't be written. The system lets go of a lock when a run dies, however it dies.
    """
    from filelock import Timeout

    file = folder / lock
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        held = take(file, _INSTANT)
    except Timeout:
        raise _taken(folder, file) from None
    except OSError as error:
        raise CallError(f"{folder} can't be written: {error.strerror}") from error
    with held:
        for other in file.parent.iterdir():
            if other != file and excludes(other.name) and is_held(other, _INSTANT):
                raise _taken(folder, other)
        yield


def is_held(lock: Path, wait_s: float = 0.0) -> bool:
    """Whether a run holds a lock, still after `wait_s`; without a wait it may be one that looks at it, too."""
    from filelock import Timeout

    try:
        with take(lock, wait_s):
            return False
    except Timeout:
        return True


def take(lock: Path, wait_s: float = 0.0) -> "AcquireReturnProxy[Any]":
    """Take a lock; raises filelock's Timeout where it is still held after `wait_s`, CallError where there are none."""
    from filelock import FileLock

    with warnings.catch_warnings():
        # Where a file system knows no locks, filelock says so, and makes do with a file that is there or is not.
        warnings.filterwarnings("ignore", "flock not supported")
        try:
            return FileLock(lock, timeout=wait_s).acquire()
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            raise CallError(
                f"{lock} can't be locked: {error.strerror}. Have its file system mounted with locks (NFS needs "
                "lockd, or local_lock=flock where one machine alone writes there), or name another folder"
            ) from error


def _taken(folder: Path, lock: Path) -> CallError:
    told = f"another run writes to {folder}: wait until it has ended, or name another folder"
    try:
        holder = lock.read_text(errors="replace").split()
    except OSError:
        holder = []
    if len(holder) > 1:  # a marker outlasts its run, and another machine can't tell
        process, machine, *_ = holder
        told += f". If process {process} on {machine} is gone, delete {lock}: the file system knows no locks"
    return CallError(told)
