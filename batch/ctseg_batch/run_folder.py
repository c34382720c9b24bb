"""OUT as the place of what belongs to no single scan: the lock, the journal and the tables."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from ctseg.process.claim import claim
from ctseg_batch.journal.past import Past, recall
from ctseg_batch.journal.record import JournalFile
from ctseg_batch.layout import RECORD, names_in, superseded, withdrawn
from ctseg_batch.outputs.files import remove
from ctseg_batch.result import Settings
from ctseg_batch.shards import is_of_cut

LOCK = "lock"
"""The name of the lock of a run, in RECORD."""


class RunFolder(Protocol):
    """Keeps what belongs to no single scan. `folder` is on this machine: journal and tables are written there."""

    @property
    def folder(self) -> Path:
        """Where the tables are written."""
        ...

    def names(self, folder: str) -> set[str]:
        """The names in OUT, or in a folder there; none if it is not there."""
        ...

    def hold(self, remark: Callable[[str], None]) -> AbstractContextManager[None]:
        """Keep other runs out; raises CallError if one holds OUT, or if OUT can't be written.

        `remark` is called with a line if that takes a while.
        """
        ...

    def recall(self, root: str, settings: Settings) -> Past:
        """What was done before; raises CallError if that was of another root. Writes nothing in OUT."""
        ...

    def journal(self, root: str, settings: Settings, past: Past) -> JournalFile:
        """The journal of this run; raises CallError.

        Before its first record, when OUT is about to change, it removes summary.json, and a shard all tables of the
        whole: until the run ends, none may describe what was there before. Those of other shards of the same cut
        describe their own scans, and stay.
        """
        ...

    def deliver(self) -> None:
        """Put the written tables into OUT, summary.json last; raises CallError.

        Then remove the tables of shards of other cuts, which describe an earlier run.
        """
        ...


class LocalRunFolder:
    """OUT is a folder of this machine. `mark` is that of a shard."""

    def __init__(self, out: Path, mark: str) -> None:
        self.folder, self._mark = out, mark

    def names(self, folder: str) -> set[str]:
        """As the file system lists it."""
        return names_in(self.folder / folder)

    def hold(self, remark: Callable[[str], None]) -> AbstractContextManager[None]:  # noqa: ARG002 - it takes none
        """By a lock of the file system. Shards of one cut may run at the same time, but no other run beside them."""
        return claim(self.folder, f"{RECORD}/{LOCK}{self._mark}", excludes(self._mark))

    def recall(self, root: str, settings: Settings) -> Past:
        """From the journals in OUT."""
        return recall(self.folder, root, settings, self._mark)

    def journal(self, root: str, settings: Settings, past: Past) -> JournalFile:
        """A file in OUT."""
        return JournalFile(self.folder, root, settings, past, self._mark, self._withdraw)

    def _withdraw(self) -> None:
        """Remove what is outdated once it begins to change OUT."""
        remove(self.folder / name for name in withdrawn(self.names(""), self._mark))

    def deliver(self) -> None:
        """The tables are in OUT already."""
        remove(self.folder / name for name in superseded(self.names(""), self._mark))


def excludes(mark: str) -> Callable[[str], bool]:
    """A function that tells by the name of a lock whether it excludes a run, or the shard with that mark."""
    return lambda name: name.startswith(LOCK) and not is_of_cut(name, mark)
