"""OUT in a store: the tables and the journal are made on this machine, and stored."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ctseg_batch.journal.past import Past, recall
from ctseg_batch.journal.record import JournalFile
from ctseg_batch.layout import RECORD, is_journal, superseded, withdrawn
from ctseg_batch.remote.journal import StoredJournal, read_stored
from ctseg_batch.remote.lease import Lease, leased
from ctseg_batch.remote.results import store_tables
from ctseg_batch.remote.scratch import Scratch
from ctseg_batch.remote.store import Store
from ctseg_batch.result import Settings
from ctseg_batch.run_folder import LOCK, excludes


class StoreRunFolder:
    """OUT is a URL. `mark` is that of a shard."""

    def __init__(self, out: Store, mark: str) -> None:
        self._store, self._mark = out, mark
        self._scratch = Scratch()
        self.folder = self._scratch.folder / "out"
        (self.folder / RECORD).mkdir(parents=True)
        self._lease: Lease | None = None

    def __reduce__(self) -> tuple[type["StoreRunFolder"], tuple[Store, str]]:
        return StoreRunFolder, (self._store, self._mark)

    def names(self, folder: str) -> set[str]:
        """The names that the store lists."""
        return self._store.names(folder)

    @contextmanager
    def hold(self, remark: Callable[[str], None]) -> Iterator[None]:
        """By a lease."""
        with leased(self._store, f"{LOCK}{self._mark}", excludes(self._mark), remark) as self._lease:
            yield

    def recall(self, root: str, settings: Settings) -> Past:
        """From the journals in the store; of other shards of the same cut, no more than their first line."""
        for name in filter(is_journal, self._store.names(RECORD)):
            read_stored(self._store, name, self.folder / RECORD / name, self._mark)
        return recall(self.folder, root, settings, self._mark, str(self._store.url))

    def journal(self, root: str, settings: Settings, past: Past) -> JournalFile:
        """A journal that is written on this machine, and stored piece by piece."""
        assert self._lease is not None
        return StoredJournal(self._store, self._lease, self.folder, root, settings, past, self._mark, self._withdraw)

    def _withdraw(self) -> None:
        """Remove the outdated tables in the store."""
        self._store.remove(withdrawn(self._store.names(""), self._mark))

    def deliver(self) -> None:
        """Store them, summary.json last."""
        assert self._lease is not None
        self._lease.check()
        store_tables(self._store, self.folder, self._mark)
        self._store.remove(superseded(self._store.names(""), self._mark))
