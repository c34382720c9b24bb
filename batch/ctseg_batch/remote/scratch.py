"""Folders of this machine for what is on its way from a store or to it; none outlasts its run for long."""

import os
import shutil
import tempfile
import weakref
from pathlib import Path

from ctseg.claim import is_held

_PREFIX, _LOCK = "ctseg-scratch-", ".lock"


class Scratch:
    """A folder that nobody else may read, and that goes with this object, or with the process.

    What a killed process left goes when the next one makes its own.
    """

    def __init__(self) -> None:
        from filelock import FileLock

        _clear()
        self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        lock = FileLock(self.folder / _LOCK, blocking=False)
        lock.acquire()
        self._end = weakref.finalize(self, _remove, self.folder, lock)

    def close(self) -> None:
        """Let it go now."""
        self._end()


def _remove(folder: Path, lock: object) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    del lock


def _clear() -> None:
    """Remove what no process holds any more, of what is this user's own."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            lock = folder / _LOCK
            if lock.exists() and (os.name != "posix" or folder.stat().st_uid == os.getuid()) and not is_held(lock):
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue  # another process was faster
