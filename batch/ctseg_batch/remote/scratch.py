"""Scratch folders for files on their way from a store or to it; none outlives its run for long."""

import os
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import TYPE_CHECKING

from ctseg.process.claim import is_held, take

if TYPE_CHECKING:
    from filelock import BaseFileLock

_PREFIX, _LOCK = "ctseg-scratch-", ".lock"


class Scratch:
    """A private folder that is removed with this object, or when the process ends.

    Folders of killed processes are removed when the next one makes its own.
    """

    def __init__(self) -> None:
        _clear()
        made = Path(tempfile.mkdtemp(prefix=f".{_PREFIX}"))
        lock = take(made / _LOCK).lock
        # It gets its final name only once it is locked: others take a folder without a lock for a dead one's.
        self.folder = made.rename(made.with_name(made.name.removeprefix(".")))
        self._end = weakref.finalize(self, _remove, self.folder, lock)

    def close(self) -> None:
        """Remove it now."""
        self._end()


def _remove(folder: Path, lock: "BaseFileLock") -> None:
    shutil.rmtree(folder, ignore_errors=True)
    lock.release()
    shutil.rmtree(folder, ignore_errors=True)  # again, for systems on which a held lock can't be removed


def _clear() -> None:
    """Remove the folders of this user that no process holds any more."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            lock = folder / _LOCK
            if (os.name != "posix" or folder.stat().st_uid == os.getuid()) and lock.exists() and not is_held(lock):
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue  # another process was faster
