"""OUT in a store: files wait in memory until their scan is done, and are stored then, before it is noted."""

import threading
from collections.abc import Iterable

from ctseg.errors import CallError
from ctseg.stages import stage
from ctseg_batch.remote.store import Store, StoreError
from ctseg_batch.remote.url import Url


class StoreShelf:
    """Files below a URL. Stores know no renaming: what is there counts when the journal says so, which comes after."""

    def __init__(self, out: Url) -> None:
        self._out = out
        self._store = Store(out)
        self._lock = threading.Lock()
        self._waiting: dict[str, bytes] = {}
        self._there: dict[str, set[str]] = {}

    def __reduce__(self) -> tuple[type["StoreShelf"], tuple[Url]]:
        return StoreShelf, (self._out,)

    def write(self, path: str, content: bytes) -> None:
        """Hold it for `keep`."""
        with self._lock:
            self._waiting[path] = content

    def keep(self, paths: Iterable[str]) -> None:
        """Store what was written of these, several at once."""
        with self._lock:
            files = {path: self._waiting[path] for path in paths if path in self._waiting}
        try:
            with stage("keep"):
                self._store.put(files)
        except StoreError as error:
            raise _refused(error) from error
        with self._lock:
            for path in files:
                self._waiting.pop(path, None)
                folder, _, name = path.rpartition("/")
                if folder in self._there:
                    self._there[folder].add(name)

    def remove(self, path: str) -> None:
        """Where it is there, which takes a list of its folder."""
        with self._lock:
            self._waiting.pop(path, None)
        if self.is_there(path):
            folder, _, name = path.rpartition("/")
            try:
                self._store.remove([path])
            except StoreError as error:
                raise _refused(error) from error
            with self._lock:
                self._there[folder].discard(name)

    def is_there(self, path: str) -> bool:
        """By a list of its folder."""
        folder, _, name = path.rpartition("/")
        return name in self._names(folder)

    def has_folder(self, path: str) -> bool:
        """By a list of the folder that it would be in."""
        return self.is_there(path)

    def _names(self, folder: str) -> set[str]:
        """What lies in a folder, asked for once."""
        with self._lock:
            known = self._there.get(folder)
        if known is None:
            try:
                known = self._store.names(folder)
            except StoreError as error:
                raise _refused(error) from error
            with self._lock:
                known = self._there.setdefault(folder, known)
        return known

    def clear(self, folders: Iterable[str]) -> None:
        """Nothing: a store shows no file before all of it is there."""

    def of_worker(self, name: str) -> "StoreShelf":  # noqa: ARG002 - no file of its is seen half done
        """The same, with what waits apart."""
        return StoreShelf(self._out)


def _refused(error: StoreError) -> CallError:
    return CallError(f"{error}; what was finished is kept, and the same call goes on from there")
