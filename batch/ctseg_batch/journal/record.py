"""Write the journal in OUT, line by line, as `past` reads it."""

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Self
from uuid import uuid4

from ctseg.process.replacing import replacing
from ctseg_batch.inputs.listing import Listing
from ctseg_batch.journal.entries import FORMAT, begun, plain_settings, undone
from ctseg_batch.journal.lines import JournalEntry, line_of
from ctseg_batch.journal.past import Past
from ctseg_batch.layout import journal_file
from ctseg_batch.outputs.files import sync, vanished_error, write_error
from ctseg_batch.result import PartResult, Settings


class Journal(ABC):
    """What a run records. May be used from several threads."""

    @abstractmethod
    def announce_change(self) -> None:
        """Tell that OUT is about to change."""

    @abstractmethod
    def add(self, *noted: JournalEntry) -> None:
        """Add records, as `entries` makes them."""

    def begin(self, outlines: Mapping[str, PartResult], kinds: Iterable[str]) -> None:
        """Parts are about to be done: revoke their records, and note the kinds of output that OUT may hold of them."""
        self.add(*(begun(part_id, outline, kinds) for part_id, outline in outlines.items()))

    def revoke(self, parts: Iterable[JournalEntry]) -> None:
        """Revoke the records of parts whose files are still there."""
        self.add(*(undone(noted) for noted in parts if noted["key"]))

    def forget(self, part_ids: Iterable[str]) -> None:
        """Forget parts whose files are gone."""
        self.add(*({"part": part_id, "key": None} for part_id in part_ids))

    def note(self, part_id: str, key: str, result: PartResult) -> None:
        """Record a part that is finished, its last file written."""
        self.add({"part": part_id, "key": key, "result": result.to_json()})

    def list_folder(self, folder: str, key: str, listing: Listing) -> None:
        """Record which series the DICOM files of a folder make up."""
        self.add({"folder": folder, "key": key, **listing.to_json()})


class JournalFile(Journal):
    """A journal in a file in OUT, which must be held; a context manager.

    Raises CallError where OUT can't be written.
    """

    def __init__(
        self,
        out: Path,
        root: str,
        settings: Settings,
        past: Past,
        mark: str,
        on_first_change: Callable[[], None],
    ) -> None:
        """`on_first_change` is called once, before the first record of this run."""
        self._past, self._on_first_change = past, on_first_change
        self._idle = True
        self._touched: set[str] = set()
        self._lock = threading.RLock()
        file = journal_file(out, mark)
        self._folder = file.parent
        try:
            if not past.size:
                head = {"format": FORMAT, "id": uuid4().hex[:8], "root": root, "settings": plain_settings(settings)}
                file.parent.mkdir(parents=True, exist_ok=True)
                with replacing(file) as new:  # on the disk before it is renamed: a power failure leaves the former one
                    new.write(b"".join(map(line_of, [head, *past.own])))
                sync([file])
            self._lines = file.open("r+b", buffering=0)
            self._lines.seek(*((past.size, os.SEEK_SET) if past.size else (0, os.SEEK_END)))
            self._lines.truncate()
        except OSError as error:
            raise write_error(file, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        """Record that the run ended by itself, so that the next one need not look for unfinished files."""
        with self._lines:
            if kind is None and not (self._past.all_closed and self._idle):
                self.add({"closed": True})
        if kind is not None:
            # If somebody removed OUT during the run, this folder marks what was written since as that of a run.
            with suppress(OSError):
                self._folder.mkdir(parents=True, exist_ok=True)

    def add(self, *noted: JournalEntry) -> None:
        """Write a line for each; they are on the disk when this returns."""
        if noted:
            self._touched.update(one["part"] for one in noted if "part" in one)
            self.announce_change()
            self._append(*noted)

    def untouched(self) -> set[str]:
        """The scans that earlier runs have recorded and this run has not."""
        return {noted["result"]["scan"] for part_id, noted in self._past.parts.items() if part_id not in self._touched}

    def announce_change(self) -> None:
        """Once, before the first record: write the number of this run, one more than that of any before it."""
        with self._lock:
            if self._idle:
                self._idle = False
                self._on_first_change()
                self._append({"run": self._past.run + 1})

    def check_in_place(self) -> None:
        """Raise CallError if OUT, or the journal in it, was removed, renamed or replaced during the run."""
        file = Path(self._lines.name)
        try:
            is_there = os.path.samestat(os.fstat(self._lines.fileno()), file.stat())
        except OSError:
            is_there = False
        if not is_there:
            raise vanished_error(file)

    def _append(self, *noted: JournalEntry) -> None:
        lines = b"".join(map(line_of, noted))
        with self._lock:
            try:
                left = memoryview(lines)
                while left:
                    left = left[self._lines.write(left) :]
                os.fsync(self._lines.fileno())
            except OSError as error:
                raise write_error(Path(self._lines.name), error) from error
            self.check_in_place()
        self.written(lines)

    def written(self, lines: bytes) -> None:
        """Called with lines once they are on the disk."""
