"""The output files of a run, each by its path below OUT."""

import errno
import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Protocol

from ctseg.errors import CallError, UnreadableFile
from ctseg.stages import stage
from ctseg_batch.outputs.files import is_bad_name, put, remove_leftovers, sync, write_error
from ctseg_batch.shards import is_of_sibling


class OutputFiles(Protocol):
    """Writes and removes files by their paths below OUT. Used from several threads at once."""

    def write(self, path: str, content: bytes) -> None:
        """Put a file there, whole or not at all.

        Raises UnreadableFile where OUT can't hold its name, CallError where OUT can't be written at all.
        """
        ...

    def sync(self, paths: Iterable[str]) -> None:
        """Make sure that the files among these that were written survive a crash; raises CallError."""
        ...

    def remove(self, path: str) -> bool:
        """Remove a file, and tell whether it was there; raises CallError if that is forbidden."""
        ...

    def remove_empty(self, folders: Iterable[str]) -> None:
        """Remove empty folders, and folders above them that are empty then."""
        ...

    def is_there(self, path: str) -> bool:
        """Whether there is a file."""
        ...

    def has_content(self, path: str) -> bool:
        """Whether there is a file that is not empty, as far as that is known without another request to a store."""
        ...

    def has_folder(self, path: str) -> bool:
        """Whether there is such a folder; an empty one counts."""
        ...

    def tells_case(self, path: str) -> bool:
        """Whether case matters: false if the file at this path is also found by the path in another case."""
        ...

    def remove_unfinished(self, folders: Iterable[str]) -> None:
        """Remove the unfinished files of a killed run in folders below OUT."""
        ...

    def of_worker(self, name: str) -> "OutputFiles":
        """The same OUT, for one of several processes that write to it at the same time."""
        ...


class LocalOutputFiles:
    """A folder on this machine. `mark` tells its unfinished files from those of others that write to it."""

    def __init__(self, out: Path, mark: str = "") -> None:
        self._out, self._mark = out, mark

    def write(self, path: str, content: bytes) -> None:
        """Write it beside its place, then rename it."""
        file = self._out / path
        try:
            with stage("write"):
                put(file, content, self._mark)
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                raise UnreadableFile(file, "has too long a name for an output to be named after it") from error
            if is_bad_name(error):
                raise UnreadableFile(file, "has a name that OUT can't hold: rename it, or name another OUT") from error
            if isinstance(error, FileExistsError | NotADirectoryError | IsADirectoryError):
                raise self._in_the_way(file) from error
            raise write_error(file, error) from error

    def _in_the_way(self, file: Path) -> UnreadableFile | CallError:
        """The error for a file in place of a folder, or a folder in place of the file.

        An input that once had that name has left it, or it lies where OUT has a folder of its own.
        """
        place = next(place for place in (file, *file.parents) if os.path.lexists(place))
        if self._out in place.parent.parents:
            return UnreadableFile(file, f"{place} is in the way of its output: delete it")
        leads = f" leads to {place.parent / place.readlink()}, which" if place.is_symlink() else ""
        return CallError(f"{place}{leads} is no folder, so nothing can be written there: make it one, or remove it")

    def sync(self, paths: Iterable[str]) -> None:
        """Sync them to the disk."""
        try:
            with stage("sync"):
                sync(self._out / path for path in paths)
        except OSError as error:
            raise write_error(self._out, error) from error

    def remove(self, path: str) -> bool:
        """Unlink it; a file with a name that OUT can't hold is not there."""
        file = self._out / path
        try:
            file.unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            # No run can have left such a file.
            if not is_bad_name(error) and error.errno != errno.ENOTDIR and not self.has_folder(path):
                raise write_error(file, error) from error
            return False
        return True

    def remove_empty(self, folders: Iterable[str]) -> None:
        """Those that can't be removed stay, and do no harm."""
        for folder in (self._out / one for one in folders):
            with suppress(OSError):
                for place in (folder, *folder.parents[: -len(self._out.parents) - 1]):
                    place.rmdir()

    def is_there(self, path: str) -> bool:
        """Not by Path.is_file, which raises for a name that is too long."""
        return os.path.isfile(os.path.join(self._out, path))  # noqa: PTH113, PTH118

    def has_content(self, path: str) -> bool:
        """By its size: no output has 0 bytes."""
        try:
            found = os.stat(os.path.join(self._out, path))  # noqa: PTH116, PTH118
        except OSError:
            return False
        return stat.S_ISREG(found.st_mode) and found.st_size > 0

    def has_folder(self, path: str) -> bool:
        """Also an empty one."""
        return os.path.isdir(self._out / path)  # noqa: PTH112

    def tells_case(self, path: str) -> bool:
        """As the file system does."""
        try:
            return not os.path.samefile(self._out / path.swapcase(), self._out / path)  # noqa: PTH121
        except OSError:
            return True

    def remove_unfinished(self, folders: Iterable[str]) -> None:
        """By the names of unfinished files, except those of other shards of the same cut, which may be running."""
        remove_leftovers((self._out / folder for folder in folders), partial(is_of_sibling, mark=self._mark))

    def of_worker(self, name: str) -> "LocalOutputFiles":
        """With its name before the mark, so that the names of its files still end in the mark."""
        return LocalOutputFiles(self._out, f".{name}{self._mark}")
