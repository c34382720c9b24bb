"""OUT in a store, as a run itself uses it: tables and journal are made here, and stored."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from ctseg.errors import CallError
from ctseg_batch.past import FOLDER, Past, is_journal, is_sibling, journal_file, recall
from ctseg_batch.record import LOCK, Journal, excludes
from ctseg_batch.remote.lease import is_leased, leased
from ctseg_batch.remote.scratch import Scratch
from ctseg_batch.remote.store import Store, StoreError
from ctseg_batch.remote.url import Url
from ctseg_batch.result import Settings
from ctseg_batch.sheets import SLICES_CSV, SUMMARY_CSV, SUMMARY_JSON, marked

_FLUSH_S = 15.0
_HEAD_BYTES = 65536


class StoreHome:
    """OUT is a URL. The journal lies there in pieces, since stores know no appending: so a killed run loses seconds."""

    def __init__(self, out: Url, mark: str) -> None:
        if out.protocols[0] == "zip":
            raise CallError(
                f"--out {out}: an archive can be read, and not be written bit by bit; name a folder or a store"
            )
        self._out, self._mark = out, mark
        self._store = Store(out)
        self._scratch = Scratch()
        self.folder = self._scratch.folder / "out"
        self._lost = threading.Event()

    @contextmanager
    def hold(self) -> Iterator[None]:
        """By a lease."""
        with leased(self._store, f"{LOCK}{self._mark}", excludes(self._mark)) as self._lost:
            yield

    def recall(self, root: str, settings: Settings) -> Past:
        """From the journals in the store; of other shares of the same cut, no more than their first line."""
        (self.folder / FOLDER).mkdir(parents=True, exist_ok=True)
        try:
            for name in filter(is_journal, self._store.names(FOLDER)):
                (self.folder / FOLDER / name).write_bytes(self._read(name))
        except StoreError as error:
            raise CallError(str(error)) from error
        return recall(self.folder, root, settings, self._mark, str(self._out))

    def journal(self, root: str, settings: Settings, past: Past) -> Journal:
        """Written here, and stored piece by piece."""
        for outdated in past.outdated:
            if is_leased(self._store, outdated.name.replace("journal", LOCK, 1).removesuffix(".jsonl")):
                raise CallError(f"another share of {self._out} is at work, with other settings: name another OUT")
            self._store.remove([f"{FOLDER}/{outdated.name}"])
        return StoredJournal(self._store, self._lost, self.folder, root, settings, past, self._mark)

    def deliver(self) -> None:
        """The last of them is summary.json."""
        tables = [marked(name, self._mark) for name in (SLICES_CSV, SUMMARY_CSV)]
        tables += [f"{name.removesuffix('.csv')}.parquet" for name in tables]
        there = [name for name in tables if (self.folder / name).exists()]
        last = marked(SUMMARY_JSON, self._mark)
        try:
            self._store.remove(name for name in tables if name not in there)
            for name in (*there, last):
                self._store.put_file(name, self.folder / name)
        except StoreError as error:
            raise CallError(str(error)) from error

    def _read(self, name: str) -> bytes:
        """A journal with its pieces put together."""
        path = f"{FOLDER}/{name}"
        if is_sibling(name, self._mark):
            return self._store.read(path, _HEAD_BYTES).partition(b"\n")[0] + b"\n"
        start = self._store.read(path)
        folder = f"{FOLDER}/{_pieces(name)}"
        pieces = [piece for piece in sorted(self._store.names(folder)) if piece.startswith(_identity(start))]
        return start + b"".join(self._store.read(f"{folder}/{piece}") for piece in pieces)


class StoredJournal(Journal):
    """A journal that is stored as it grows: the file as it was at the start, and pieces of what came since.

    The pieces bear the identity of the head, so that those of an older journal never count with a newer one.
    """

    def __init__(
        self, store: Store, lost: threading.Event, folder: Path, root: str, settings: Settings, past: Past, mark: str
    ) -> None:
        super().__init__(folder, root, settings, past, mark)
        self._store, self._lost = store, lost
        self._file = journal_file(folder, mark)
        self._path = f"{FOLDER}/{self._file.name}"
        self._folder_of_pieces = f"{FOLDER}/{_pieces(self._file.name)}"
        self._waiting: list[bytes] = []
        self._count = 0
        self._flushing = threading.Lock()
        self._ended = threading.Event()
        self._compact()
        self._flusher = threading.Thread(target=self._flush_now_and_then, daemon=True)
        self._flusher.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Store what waits, and all of it as one where the run ended by itself."""
        super().__exit__(kind, error, trace)
        self._ended.set()
        self._flusher.join()
        try:
            if kind is None:
                self._compact()
            else:
                self._flush()
        except StoreError as failed:
            if kind is None:
                raise CallError(str(failed)) from failed

    def written(self, line: bytes) -> None:
        """To be stored within seconds; raises CallError where that does not work, or where another run took over."""
        if self._lost.is_set():
            raise CallError(f"another run has begun to write to {self._store.url}: this one ends, what it did is kept")
        with self._flushing:
            self._waiting.append(line)

    def _flush_now_and_then(self) -> None:
        while not self._ended.wait(_FLUSH_S):
            try:
                self._flush()
            except StoreError:
                continue  # it waits; who stores the next file finds out

    def _flush(self) -> None:
        with self._flushing:
            lines = b"".join(self._waiting)
            if lines:
                piece = f"{_identity(self._file.read_bytes()[:_HEAD_BYTES])}-{self._count:06d}.jsonl"
                self._store.put({f"{self._folder_of_pieces}/{piece}": lines})
                self._waiting.clear()
                self._count += 1

    def _compact(self) -> None:
        """All of it as one, then no pieces."""
        with self._flushing:
            self._store.put_file(self._path, self._file)
            self._waiting.clear()
            pieces = self._store.names(self._folder_of_pieces)
            self._store.remove(f"{self._folder_of_pieces}/{piece}" for piece in pieces)


def _pieces(journal: str) -> str:
    return journal.removesuffix(".jsonl") + ".pieces"


def _identity(start: bytes) -> str:
    """What the head of a journal calls itself."""
    try:
        return str(json.loads(start.partition(b"\n")[0])["id"])
    except (ValueError, LookupError, TypeError):
        return "none"
