"""Folders of this machine for what is on its way from a store or to it; none outlasts its run for long."""

import os
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import TYPE_CHECKING

from ctseg.claim import is_held, take

if TYPE_CHECKING:
    from filelock import BaseFileLock

_PREFIX, _LOCK = "ctseg-scratch-", ".lock"


class Scratch:
    """A folder that nobody else may read, and that goes with this object, or with the process.

    What a killed process left goes when the next one makes its own.
    """

    def __init__(self) -> None:
        _clear()
        made = Path(tempfile.mkdtemp(prefix=f".{_PREFIX}"))
        lock = take(made / _LOCK).lock
        # Only now it gets the name by which others find it: without a lock, it would be a dead one's.
        self.folder = made.rename(made.with_name(made.name.removeprefix(".")))
        self._end = weakref.finalize(self, _remove, self.folder, lock)

    def close(self) -> None:
        """Let it go now."""
        self._end()


def _remove(folder: Path, lock: "BaseFileLock") -> None:
    shutil.rmtree(folder, ignore_errors=True)
    lock.release()
    shutil.rmtree(folder, ignore_errors=True)  # where a lock that is held can't be removed


def _clear() -> None:
    """Remove what no process holds any more, of what is this user's own."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            lock = folder / _LOCK
            if (os.name != "posix" or folder.stat().st_uid == os.getuid()) and lock.exists() and not is_held(lock):
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue  # another process was faster
