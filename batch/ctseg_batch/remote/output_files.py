"""OUT in a store: files wait in memory until their part is done, and are stored before it is recorded."""

import threading
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path

from ctseg.errors import CallError, UnreadableFile
from ctseg.stages import stage
from ctseg_batch.outputs.files import GO_ON
from ctseg_batch.remote.retry import StoreError
from ctseg_batch.remote.store import Store

# How many folders have their names cached: those of scans in work, and those above them.
_KNOWN = 256


class StoreOutputFiles:
    """Files below a URL. Stores can't rename, so a file counts once the journal records it, after it is stored."""

    def __init__(self, out: Store) -> None:
        self._store = out
        self._lock = threading.Lock()
        self._waiting: dict[str, bytes] = {}
        self._known: OrderedDict[str, set[str]] = OrderedDict()

    def __reduce__(self) -> tuple[type["StoreOutputFiles"], tuple[Store]]:
        return StoreOutputFiles, (self._store,)

    def write(self, path: str, content: bytes) -> None:
        """Keep it in memory until `sync` stores it."""
        if not self._store.has_room_for(path):
            raise UnreadableFile(Path(path), "has too long a name for an output to be named after it")
        with self._lock:
            self._waiting[path] = content

    def sync(self, paths: Iterable[str]) -> None:
        """Store those of these files that were written, several at once."""
        with self._lock:
            files = {path: self._waiting.pop(path) for path in paths if path in self._waiting}
        try:
            with stage("sync"):
                self._store.put(files)
        except StoreError as error:
            raise CallError(f"{error}; {GO_ON}") from error
        with self._lock:
            for path in files:
                self._note(path)

    def remove(self, path: str) -> bool:
        """Remove it if the cached names of its folder have it."""
        with self._lock:
            self._waiting.pop(path, None)
        if not self.is_there(path):
            return False
        self._store.remove([path])
        folder, _, name = path.rpartition("/")
        with self._lock:
            self._known.get(folder, set()).discard(name)
        return True

    def remove_empty(self, folders: Iterable[str]) -> None:
        """Nothing: stores have no folders."""

    def has_content(self, path: str) -> bool:
        """As any that is there: an object is put whole."""
        return self.is_there(path)

    def is_there(self, path: str) -> bool:
        """By the cached names of its folder; each folder on the way is listed once."""
        folder, _, name = path.rpartition("/")
        with self._lock:
            known = self._known.get(folder)
            if known is not None:
                self._known.move_to_end(folder)
                return name in known
        # A folder is listed only if the list of its parent has it: one list there saves one for each missing folder.
        names = self._store.names(folder) if not folder or self.is_there(folder) else set()
        with self._lock:
            known = self._known.setdefault(folder, names)
            if len(self._known) > _KNOWN:
                self._known.popitem(last=False)
        return name in known

    def has_folder(self, path: str) -> bool:
        """By the same names."""
        return self.is_there(path)

    def tells_case(self, path: str) -> bool:  # noqa: ARG002
        """All stores do."""
        return True

    def remove_unfinished(self, folders: Iterable[str]) -> None:
        """Nothing: a store shows no incomplete files."""

    def of_worker(self, name: str) -> "StoreOutputFiles":  # noqa: ARG002 - none of its files is ever seen half written
        """The same store, with files of its own that wait."""
        return StoreOutputFiles(self._store)

    def _note(self, path: str) -> None:
        """Add a file, and the folders that lead to it, to the cached names."""
        while path:
            path, _, name = path.rpartition("/")
            if path in self._known:
                self._known[path].add(name)
