"""A store, by fsspec: list, fetch and store files, several at once."""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar
from uuid import uuid4

from ctseg_batch.remote.archive import unreachable
from ctseg_batch.remote.entry import Entry, entry_of, is_file
from ctseg_batch.remote.opening import AT_ONCE, open_files
from ctseg_batch.remote.retry import Retry, StoreError
from ctseg_batch.url import ARCHIVE, MACHINES, Url, check_writable

T = TypeVar("T")

# In bytes: the limit of a whole path in an object store, and of each name elsewhere.
_LONGEST_KEY, _LONGEST_STEP = 1024, 255
GONE = "it no longer exists"
_NOWHERE = "there is no such bucket or folder"


class _CutOff(Exception):  # noqa: N818 - it is tried again
    """A file came incomplete, or has changed."""


class Store:
    """The files below a URL. May be used from several threads at once; raises MissingExtraError, StoreError."""

    def __init__(self, url: Url) -> None:
        self.url = url
        # Object stores show files whole or not at all.
        self.grows = url.scheme in MACHINES
        self._files, self._top = Retry(url).tried(lambda: open_files(url))
        self._retry = Retry(url)  # a new one: some stores open without having answered
        self._is_shared = bool(self._files.async_impl)  # else only one thread at a time may use it
        self._lock: Any = nullcontext() if self._is_shared else Lock()
        self._at_once = AT_ONCE if self._is_shared else 1

    def __reduce__(self) -> tuple[type["Store"], tuple[Url]]:
        return Store, (self.url,)

    def parent(self) -> "Store":
        """The same store from one level up."""
        beside = copy.copy(self)
        beside.url, beside._top = self.url.parent, self._top.rpartition("/")[0]
        return beside

    def at(self, path: str) -> "Store":
        """The same store from a place below this one."""
        below = copy.copy(self)
        below.url, below._top = self.url / path, self._full(path)
        return below

    def hasty(self) -> "Store":
        """The same store, given up sooner."""
        same = copy.copy(self)
        same._retry = Retry(self.url)
        same._retry.hurry()
        return same

    def entries(self, path: str) -> Iterator[Entry]:
        """All files below a path, or the file itself; none if it is not there."""
        try:
            top = self._tried(lambda: self._files.info(self._full(path)))
        except FileNotFoundError:
            return
        if top["type"] != "directory":
            yield entry_of(self._top, top)
            return
        folders = [self._full(path)]
        seen = {*folders}  # an archive with an absolute name lists a folder as below itself
        with ThreadPoolExecutor(self._at_once) as threads:
            # The pages of a list come one after the other, so several folders are listed at the same time.
            while folders and (len(folders) < self._at_once or not self._is_shared):
                looked = list(threads.map(self._look_into, folders))
                folders = [folder for _, below in looked for folder in below if folder not in seen]
                seen.update(folders)
                for files, _ in looked:
                    yield from files
            for files in threads.map(self._find, folders):
                yield from files

    def unreachable(self, path: str) -> Mapping[str, str]:
        """The files below a path that can't be reached by their names, and why; only archives have any."""
        if self.url.scheme != ARCHIVE:
            return {}
        full, top = self._full(path), len(self._top)
        reasons = unreachable(self._files.zip.infolist()).items()
        return {name[top:].lstrip("/"): why for name, why in reasons if not full or f"{name}/".startswith(f"{full}/")}

    def is_file(self) -> bool:
        """Whether the URL is that of a file."""
        try:
            return bool(self._tried(lambda: self._files.info(self._top))["type"] != "directory")
        except FileNotFoundError:
            return False

    def has_room_for(self, path: str) -> bool:
        """Whether a file can have this name."""
        if self.grows:
            return all(len(step.encode()) <= _LONGEST_STEP for step in path.split("/"))
        return len(self._full(path).encode()) <= _LONGEST_KEY

    def names(self, folder: str) -> set[str]:
        """The names in a folder; none if it is not there."""
        try:
            found = self._tried(lambda: self._files.ls(self._full(folder), detail=False))
        except FileNotFoundError:
            return set()
        return {one.rstrip("/").rpartition("/")[2] for one in found}

    def read(self, path: str, count: int | None = None) -> bytes:
        """A file, or its first `count` bytes; raises FileNotFoundError."""
        start = 0 if count else None
        content: bytes = self._tried(lambda: self._files.cat_file(self._full(path), start=start, end=count))
        return content

    def fetch(self, files: Mapping[str, Path], sizes: Mapping[str, int] | None = None) -> dict[str, str]:
        """Copy files to this machine, of known `sizes` in bytes; returns the reason for those that failed."""
        known = sizes or {}
        reasons = self._all(lambda path: self._fetched(path, files[path], known.get(path)), files)
        return {path: why for path, why in zip(files, reasons, strict=True) if why is not None}

    def fetch_all(self, files: Mapping[str, Path]) -> None:
        """Copy files to this machine; raises StoreError for the first that failed."""
        for path, why in self.fetch(files).items():
            raise StoreError(self.url / path, "can't be fetched", why)

    def put(self, files: Mapping[str, bytes]) -> None:
        """Store files, each whole or not at all."""

        def put(path: str) -> None:
            self._put(path, len(files[path]), lambda full: self._files.pipe_file(full, files[path]))

        list(self._all(put, files))

    def put_file(self, path: str, file: Path) -> None:
        """Store a file of this machine, whole or not at all."""
        self._put(path, file.stat().st_size, lambda full: self._files.put_file(str(file), full))

    def create(self, path: str, content: bytes) -> bool:
        """Store a file unless it exists; returns whether it was stored. Over SSH, two runs may do so at once."""
        try:
            self._sent(path, lambda full: self._files.pipe_file(full, content, mode="create"))
        except FileExistsError:
            return False
        return True

    def remove(self, paths: Iterable[str]) -> None:
        """Remove files; missing ones are ignored."""

        def removed(path: str) -> None:
            with suppress(FileNotFoundError):
                self._tried(lambda: self._files.rm_file(self._full(path)))

        list(self._all(removed, paths))

    def _fetched(self, path: str, file: Path, size: int | None) -> str | None:
        """Copy a file; returns the reason if that failed."""

        def copy_it() -> None:
            self._files.get_file(self._full(path), str(file))
            came = file.stat().st_size
            if size not in (None, came):
                raise _CutOff(f"{came} of {size} bytes arrived: it was cut off, or has changed")

        try:
            self._tried(copy_it)
        except FileNotFoundError:
            why = GONE
        except StoreError as error:
            why = error.reason
        else:
            return None
        file.unlink(missing_ok=True)
        return why

    def _put(self, path: str, size: int, send: Callable[[str], object]) -> None:
        if not self.grows:
            self._sent(path, send)
            return
        part = f"{path.rpartition('/')[0]}/.{uuid4().hex}.tmp".lstrip("/")  # shards may store one file at once
        try:
            self._sent(part, send)
            self._tried(lambda: self._files.mv(self._full(part), self._full(path)))
        except FileNotFoundError as error:
            if [one.size for one in self.entries(path)] != [size]:  # else it was renamed, only the answer was lost
                raise StoreError(self.url / path, "can't be written", f"{part} was removed meanwhile") from error
        except StoreError:
            with suppress(StoreError):
                self.hasty().remove([part])
            raise

    def _sent(self, path: str, send: Callable[[str], object]) -> None:
        full = self._full(path)
        try:
            if self.grows:
                self._tried(lambda: self._files.makedirs(full.rpartition("/")[0], exist_ok=True))
            self._tried(lambda: send(full))
        except FileNotFoundError as error:
            raise StoreError(self.url, "can't be written", _NOWHERE) from error

    def _look_into(self, folder: str) -> tuple[list[Entry], list[str]]:
        """The files and the folders in a folder."""
        try:
            found = self._tried(lambda: self._files.ls(folder, detail=True))
        except FileNotFoundError:  # since its name was listed
            return [], []
        found = [self._followed(facts) if facts["type"] == "link" else facts for facts in found]
        folders = [facts["name"] for facts in found if facts["type"] == "directory"]
        if any(folder.endswith("/") for folder in folders):  # a name has `//`: such a folder can't be asked for
            return self._find(folder), []
        return [entry_of(self._top, facts) for facts in found if is_file(facts)], folders

    def _followed(self, link: Mapping[str, Any]) -> Mapping[str, Any]:
        """The file that a link leads to; links to folders are left out, since they may form a circle."""
        try:
            facts: Mapping[str, Any] = self._tried(lambda: self._files.info(link["name"]))
        except (FileNotFoundError, StoreError):
            return link  # it fails when it is fetched
        return {**facts, "type": "link to a folder" if facts["type"] == "directory" else "file"}

    def _find(self, folder: str) -> list[Entry]:
        found = self._tried(lambda: self._files.find(folder, detail=True, withdirs=False))
        return [entry_of(self._top, facts) for facts in found.values() if is_file(facts)]

    def _all(self, work: Callable[[Any], T], items: Iterable[Any]) -> Iterator[T]:
        with ThreadPoolExecutor(self._at_once) as threads:
            yield from threads.map(work, items)

    def _full(self, path: str) -> str:
        return "/".join(part for part in (self._top, path) if part)

    def _tried(self, work: Callable[[], T]) -> T:
        def locked() -> T:
            with self._lock:
                return work()

        return self._retry.tried(locked, self._reopen)

    def _reopen(self) -> None:
        """Reconnect after a lost connection; libraries for several requests at once do so themselves."""
        if not self._is_shared:
            with self._lock, suppress(Exception):
                self._files, self._top = open_files(self.url)


def writable(out: Url) -> Store:
    """The store of an OUT; raises CallError if it can only be read."""
    check_writable(out)
    return Store(out)
