"""The journal of a run in a store, which can't append: a file as of the start, and pieces with the lines since."""

import json
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from ctseg_batch.journal.lines import JournalEntry
from ctseg_batch.journal.past import Past
from ctseg_batch.journal.record import JournalFile
from ctseg_batch.layout import ENDING, RECORD, is_sibling, journal_file
from ctseg_batch.remote.lease import Lease
from ctseg_batch.remote.retry import StoreError
from ctseg_batch.remote.store import Store
from ctseg_batch.result import PartResult, Settings

_FLUSH_S = 15.0
HEAD_BYTES = 65536
"""No first line of a journal is longer."""


class StoredJournal(JournalFile):
    """A journal that is written on this machine and stored piece by piece, so that a killed run loses a few seconds.

    The names of pieces contain the id of the journal's first line, so that pieces of an older journal never count.
    """

    def __init__(
        self,
        store: Store,
        lease: Lease,
        folder: Path,
        root: str,
        settings: Settings,
        past: Past,
        mark: str,
        on_first_change: Callable[[], None],
    ) -> None:
        super().__init__(folder, root, settings, past, mark, on_first_change)
        self._store, self._lease = store, lease
        self._file = journal_file(folder, mark)
        self._path = f"{RECORD}/{self._file.name}"
        self._pieces = pieces_of(self._file.name)
        with self._file.open("rb") as head:
            self._identity = _identity(head.read(HEAD_BYTES))
        self._waiting: list[bytes] = []
        self._count = 0
        self._filling, self._flushing = threading.Lock(), threading.Lock()
        self._ended = threading.Event()
        if not past.size or store.names(self._pieces):
            self._compact()
        self._flusher = threading.Thread(target=self._flush_now_and_then, daemon=True)
        self._flusher.start()

    def __exit__(self, kind: object, *_: object) -> None:
        """Store the lines that wait; if the run ended by itself, store the whole journal as one file."""
        try:
            super().__exit__(kind)
        finally:
            self._ended.set()
            self._flusher.join()
        if kind is None:
            self._lease.check()
            if self._count or self._waiting:
                self._compact()
        else:
            self._store = self._store.hasty()
            with suppress(StoreError):  # the error that ended the run is reported
                self._flush()

    def begin(self, outlines: Mapping[str, PartResult], kinds: Iterable[str]) -> None:
        """Store the records before the first file of the parts: it must be known, and not be taken for whole."""
        super().begin(outlines, kinds)
        self._flush()

    def revoke(self, parts: Iterable[JournalEntry]) -> None:
        """Store these at once, too."""
        noted = [one for one in parts if one["key"]]
        super().revoke(noted)
        if noted:
            self._flush()

    def written(self, lines: bytes) -> None:
        """Queue the lines, to be stored within seconds; raises CallError if another run took over."""
        self._lease.check()
        with self._filling:
            self._waiting.append(lines)

    def _flush_now_and_then(self) -> None:
        while not self._ended.wait(_FLUSH_S):
            with suppress(Exception):  # the lines stay queued; the next file that is stored meets the error
                self._flush()

    def _flush(self) -> None:
        with self._flushing:
            with self._filling:
                lines = list(self._waiting)
            if lines:
                piece = f"{self._identity}-{self._count:06d}-{uuid4().hex[:8]}{ENDING}"
                self._store.put({f"{self._pieces}/{piece}": b"".join(lines)})
                self._count += 1
                with self._filling:
                    del self._waiting[: len(lines)]

    def _compact(self) -> None:
        """Store the journal as one file, then remove the pieces; until then, reading both gives the same.

        The oldest go first: they are read after the file, and the last of them must have the last word.
        """
        with self._flushing:
            self._store.put_file(self._path, self._file)
            self._waiting.clear()
            self._store.remove(f"{self._pieces}/{piece}" for piece in sorted(self._store.names(self._pieces)))


def read_stored(store: Store, name: str, file: Path, mark: str) -> None:
    """Assemble a journal from its file and pieces; of another shard of the same cut, only the first line."""
    if is_sibling(name, mark):
        read_head(store, name, file)
        return
    store.fetch_all({f"{RECORD}/{name}": file})
    with file.open("rb+") as journal:
        identity = _identity(journal.read(HEAD_BYTES))
        journal.seek(0, os.SEEK_END)
        names = sorted(one for one in store.names(pieces_of(name)) if one.startswith(identity))
        pieces = {f"{pieces_of(name)}/{one}": file.parent / one for one in names}
        store.fetch_all(pieces)
        for piece in pieces.values():
            journal.write(piece.read_bytes())
            piece.unlink()


def read_head(store: Store, name: str, file: Path) -> None:
    """Fetch the first line of a journal."""
    file.write_bytes(store.read(f"{RECORD}/{name}", HEAD_BYTES).partition(b"\n")[0] + b"\n")


def pieces_of(journal: str) -> str:
    """The folder of a journal's pieces, below OUT."""
    return f"{RECORD}/{journal.removesuffix(ENDING)}.pieces"


def _identity(start: bytes) -> str:
    """The id in the first line of a journal."""
    try:
        return str(json.loads(start.partition(b"\n")[0])["id"])
    except (ValueError, LookupError, TypeError):
        return "none"
