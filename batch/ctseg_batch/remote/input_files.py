"""Input files in a store: copied to this machine while their site is in use."""

import os
import shutil
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from ctseg.reading.kind import may_be_detached
from ctseg_batch.inputs.input_files import InputFiles
from ctseg_batch.inputs.site import Site
from ctseg_batch.remote.retry import reason
from ctseg_batch.remote.scratch import Scratch
from ctseg_batch.remote.store import Store
from ctseg_batch.result import Failure

# The user of a file: a site, or a part of one.
_User = tuple[str, str, int | None]


class StoreInputFiles(InputFiles):
    """Copies the files of a site to a scratch folder that mirrors the root, and removes them again."""

    def __init__(self, root: Store) -> None:
        self._store = root
        self._scratch = Scratch()
        # Has the name of the root, since a scan right in the root is named after it.
        self.top = self._scratch.folder / "in" / root.url.name
        self._lock = threading.Lock()
        self._files: dict[_User, set[Path]] = defaultdict(set)
        self._users: dict[Path, set[_User]] = defaultdict(set)
        self._lost: dict[str, str] = {}
        self._given_up: set[str] = set()
        self._drain: Callable[[], None] = lambda: None

    def __reduce__(self) -> tuple[type["StoreInputFiles"], tuple[Store]]:
        return StoreInputFiles, (self._store,)

    def localised(self, site: Site) -> Site:
        """The site with the folder that this process fetches to."""
        return replace(site, folder=self.top / site.within)

    def fetch(self, site: Site) -> None:
        """Copy the files that are not there yet; one that can't be fetched is missing, and `explained`."""
        self._fetch(site, [*site.files, *site.scaled_by])
        if site.kind == "volume":
            self._fetch(site, super().volume_files(site))

    def drain_by(self, drain: Callable[[], None]) -> None:
        """Keep `drain`: a scan that is fetched while others are in use may have to wait for room."""
        self._drain = drain

    def release(self, site: Site) -> None:
        """Remove the copies without other users, and folders that are empty then."""
        user = _user(site)
        with self._lock:
            for file in self._files.pop(user, ()):
                self._users[file].discard(user)
                if not self._users[file]:
                    del self._users[file]
                    file.unlink(missing_ok=True)
            for folder in (site.folder, *site.folder.parents):
                try:
                    folder.rmdir()
                except OSError:
                    return  # others are at work there

    def volume_files(self, site: Site) -> Sequence[str]:
        """Fetches a header to look for the name, but only if it may have one."""
        ((_, size, _),) = site.stamped(site.files)
        if not may_be_detached(site.files[0], size):
            return site.files
        self._fetch(site, site.files)
        return super().volume_files(site)

    def explained(self, failure: Failure) -> Failure:
        """The failure with the reason why its file was not fetched, if so."""
        why = self._lost.get(failure.file)
        return failure if why is None else replace(failure, reason=f"can't be fetched: {why}")

    def _fetch(self, site: Site, names: Sequence[str]) -> None:
        stamps = site.stamps or {}
        with self._lock:
            wanted = [name for name in names if name in stamps and self._is_wanted(site, site.folder / name)]
        if not wanted:
            return
        sizes = {site.within + name: stamps[name][1] for name in wanted}
        if not self._has_room_for(sizes.values()):
            self._drain()
        if not self._has_room_for(sizes.values()):
            lost = dict.fromkeys(sizes, f"there is no room for it in {self._scratch.folder.parent}: set TMPDIR")
        else:
            lost = self._store.fetch({path: self.top / path for path in sizes}, sizes)
            self._given_up |= lost.keys()
        with self._lock:
            for path in lost:
                (self.top / path).unlink(missing_ok=True)
            self._lost |= lost

    def _has_room_for(self, sizes: Iterable[int]) -> bool:
        return sum(sizes) <= shutil.disk_usage(self._scratch.folder).free

    def _is_wanted(self, site: Site, file: Path) -> bool:
        """Whether a file must be fetched; if so, an empty one is created in its place, which keeps its folder."""
        if site.within + file.name in self._given_up:
            return False
        is_there = os.path.isfile(file)  # noqa: PTH113 - Path.is_file raises for a name that is too long
        if not is_there:
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.open("xb").close()
            except OSError as error:
                clash = isinstance(error, (FileExistsError, NotADirectoryError))
                why = "a file and a folder of the same name can't both be on this machine" if clash else reason(error)
                self._lost[site.within + file.name] = why
                return False
        self._lost.pop(site.within + file.name, None)
        self._files[_user(site)].add(file)
        self._users[file].add(_user(site))
        return not is_there


def _user(site: Site) -> _User:
    return site.kind, site.name, site.piece
