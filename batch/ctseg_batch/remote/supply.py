"""Inputs in a store: found by their names, and fetched for as long as they are at work."""

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ctseg import reading
from ctseg.errors import UnreadableFile
from ctseg_batch.remote.scratch import Scratch
from ctseg_batch.remote.store import Store
from ctseg_batch.remote.url import Url
from ctseg_batch.site import Site
from ctseg_batch.supply import NotFetched

DETACHED = (".mhd", ".nhdr")
"""What headers end in that name a file beside them, which holds the voxels."""


class StoreSupply:
    """Copies the files of a site to a scratch folder, which mirrors the root, and takes them away again."""

    def __init__(self, root: Url) -> None:
        self._root = root
        self._store = Store(root)
        self._scratch = Scratch()
        # Called like the root, for a scan that lies right in it bears its name.
        self.top = self._scratch.folder / (root.name or "root")
        self._lock = threading.Lock()
        self._fetched: dict[Path, set[str]] = {}

    def __reduce__(self) -> tuple[type["StoreSupply"], tuple[Url]]:
        return StoreSupply, (self._root,)

    def localised(self, site: Site) -> Site:
        """With the folder that this process fetches to."""
        return replace(site, folder=self.top / site.within)

    def fetch(self, site: Site) -> None:
        """Copy what is not there yet."""
        self._fetch(site, site.files)
        if site.kind == "volume":
            self._fetch(site, self._made_of(site))

    def volume_files(self, site: Site) -> Sequence[str]:
        """Only a header that may name another file is fetched for it."""
        if not site.files[0].lower().endswith(DETACHED):
            return site.files
        self._fetch(site, site.files)
        return self._made_of(site)

    def release(self, site: Site) -> None:
        """Remove the copies, and the folders that held nothing else."""
        with self._lock:
            fetched = self._fetched.get(site.folder, set())
            mine = fetched & ({*site.stamps} if site.kind == "volume" and site.stamps else {*site.files})
            fetched -= mine
            for name in mine:
                (site.folder / name).unlink(missing_ok=True)
            for folder in (site.folder, *site.folder.parents) if not fetched else ():
                try:
                    folder.rmdir()
                except OSError:
                    return  # others are at work there

    def _made_of(self, site: Site) -> list[str]:
        (file,) = site.paths(site.files)
        return [one.name for one in reading.volume_files(file)]

    def _fetch(self, site: Site, names: Sequence[str]) -> None:
        with self._lock:
            fetched = self._fetched.setdefault(site.folder, set())
            wanted = [name for name in names if name not in fetched and site.stamps and name in site.stamps]
            fetched.update(wanted)
            site.folder.mkdir(parents=True, exist_ok=True)
        lost = self._store.fetch({site.within + name: site.folder / name for name in wanted})
        if lost:
            with self._lock:
                fetched.difference_update(path.removeprefix(site.within) for path in lost)
            raise NotFetched([UnreadableFile(Path(path), f"can't be fetched: {why}") for path, why in lost.items()])
