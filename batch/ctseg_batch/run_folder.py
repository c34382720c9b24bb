"""OUT as a run itself uses it: held against other runs, with the journal and the tables."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from ctseg_batch.figures.sheets import superseded, withdrawn
from ctseg_batch.foreign import names_in
from ctseg_batch.journal.past import Past, recall
from ctseg_batch.journal.record import Journal, claim_out
from ctseg_batch.outputs.files import remove
from ctseg_batch.result import Settings


class RunFolder(Protocol):
    """Keeps what is of no single scan. `folder` is of this machine: the journal and the tables are written there."""

    @property
    def folder(self) -> Path:
        """Where tables are written."""
        ...

    def names(self, folder: str) -> set[str]:
        """What lies right in OUT, or in a folder there; nothing where there is none."""
        ...

    def hold(self, remark: Callable[[str], None]) -> AbstractContextManager[None]:
        """Keep other runs out; raises CallError where one is there, or where OUT can't be written.

        `remark` is told where that takes a while.
        """
        ...

    def recall(self, root: str, settings: Settings) -> Past:
        """What was done before; raises CallError where that was of another root. Writes nothing in OUT."""
        ...

    def journal(self, root: str, settings: Settings, past: Past) -> Journal:
        """What notes this run; raises CallError.

        Before the first thing that it notes, OUT being about to change, it withdraws the summary: until the run ends,
        none may tell of what was there. Those of other shards of the same cut tell of what is theirs, and stay.
        """
        ...

    def deliver(self) -> None:
        """The tables are written: have them in OUT, summary.json last; raises CallError.

        Those of shards that were cut otherwise go then: they tell of an earlier run.
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
        """By a lock of the file system."""
        return claim_out(self.folder, self._mark)

    def recall(self, root: str, settings: Settings) -> Past:
        """From the journals in OUT."""
        return recall(self.folder, root, settings, self._mark)

    def journal(self, root: str, settings: Settings, past: Past) -> Journal:
        """A file in OUT."""
        return Journal(self.folder, root, settings, past, self._mark, self._withdraw)

    def _withdraw(self) -> None:
        """Its own, that of a whole run, and those of shards that were cut otherwise."""
        remove(self.folder / name for name in withdrawn(self.names(""), self._mark))

    def deliver(self) -> None:
        """They are there."""
        remove(self.folder / name for name in superseded(self.names(""), self._mark))
