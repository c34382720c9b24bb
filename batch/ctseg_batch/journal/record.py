"""Notes what is done in a journal in OUT, line by line, as `past` reads it; and holds OUT meanwhile."""

import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import uuid4

from ctseg.claim import claim
from ctseg_batch.inputs.listing import Listing
from ctseg_batch.journal.past import FORMAT, Past, plain_settings
from ctseg_batch.layout import FOLDER, JournalEntry, journal_file
from ctseg_batch.outputs.files import keep, refused, removed, write_whole
from ctseg_batch.result import PartResult, Settings
from ctseg_batch.shards import cut_of

LOCK = "lock"
"""What a run is held by, in FOLDER."""


@contextmanager
def claim_out(out: Path, mark: str) -> Iterator[None]:
    """Hold OUT, or one share of it, against other runs; raises CallError where another run holds it.

    Shares of one cut may be at work at once, and nobody else beside them.
    """
    with claim(out, f"{FOLDER}/{LOCK}{mark}", excludes(mark)):
        yield


def excludes(mark: str) -> Callable[[str], bool]:
    """Says of the name of a lock whether a run, or the share with that mark, can't be at work while it is held."""
    return lambda name: name.startswith(LOCK) and not (mark and name.endswith(cut_of(mark)))


class JournalWriter:
    """Told of each step of a run; gathers what a journal would have. May be used from several threads."""

    def __init__(self) -> None:
        self.gathered: list[JournalEntry] = []

    def begin(self, *places: str) -> None:
        """What was noted of parts counts no more: they are about to be done again."""
        for place in places:
            self.add({"part": place, "key": None})

    def drop(self, *places: str) -> None:
        """The same of parts that are gone."""
        JournalWriter.begin(self, *places)

    def note(self, place: str, key: str, result: PartResult) -> None:
        """A part is finished and its last file in place."""
        self.add({"part": place, "key": key, "result": asdict(result)})

    def list_folder(self, place: str, key: str, listing: Listing) -> None:
        """The DICOM files of a folder are sorted into scans."""
        self.add({"folder": place, "key": key, **listing.to_json()})

    def add(self, noted: JournalEntry) -> None:
        """Anything of these."""
        self.gathered.append(noted)


class Journal(JournalWriter):
    """Notes parts in OUT, which is held, as they are finished; a context manager.

    What was noted under other settings counts no more. Raises CallError where OUT can't be written.
    """

    def __init__(
        self,
        out: Path,
        root: str,
        settings: Settings,
        past: Past,
        mark: str = "",
        opened: Callable[[], None] = lambda: None,
    ) -> None:
        """`opened` is called once, before the first thing that this run notes."""
        super().__init__()
        self._past, self._opened = past, opened
        self._idle = True
        self._touched: set[str] = set()
        self._lock = threading.RLock()
        file = journal_file(out, mark)
        self._folder = file.parent
        try:
            if past.is_begun_anew:
                head = {"format": FORMAT, "id": uuid4().hex[:8], "root": root, "settings": plain_settings(settings)}
                start = file.read_bytes()[: past.size] if past.size else _line(head)
                write_whole(file, start + b"".join(map(_line, past.former.values())))
                keep([file])
            for outdated in past.outdated:
                outdated.unlink(missing_ok=True)
            self._lines = file.open("r+b", buffering=0)
            self._lines.seek(*((0, os.SEEK_END) if past.is_begun_anew else (past.size, os.SEEK_SET)))
            self._lines.truncate()
        except OSError as error:
            raise refused(file, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Note that the run ended by itself, so that the next one need not look for leftovers."""
        with self._lines:
            if kind is None and not (self._past.closed and self._idle):
                self.add({"closed": True})
        if kind is not None:
            # Somebody may have removed OUT: what was written since is known by this for a run's.
            with suppress(OSError):
                self._folder.mkdir(parents=True, exist_ok=True)

    def begin(self, *places: str) -> None:
        """Take back what was noted of parts, if anything was; from the first of them on, the run is under way."""
        if places:
            self._open()
        super().begin(*(place for place in places if place in self._past.parts))

    def drop(self, *places: str) -> None:
        """The same of parts that are gone, whatever settings they were noted under."""
        self.begin(*places)
        super().drop(*(place for place in places if place in self._past.former))

    def add(self, noted: JournalEntry) -> None:
        """A line, on the disk when this returns."""
        if "part" in noted:
            self._touched.add(noted["part"])
        self._open()
        self._append(noted)

    def untouched(self) -> set[str]:
        """The scans of which earlier runs have noted parts, and this run has noted nothing about them."""
        known = self._past.known.items()
        return {noted["result"]["scan"] for place, noted in known if noted["key"] and place not in self._touched}

    def _open(self) -> None:
        """Say once which run the lines from here on are of: the next one after all that wrote to OUT before."""
        with self._lock:
            if self._idle:
                self._idle = False
                self._opened()
                self._append({"run": self._past.run + 1})

    def _append(self, noted: JournalEntry) -> None:
        line = _line(noted)
        with self._lock:
            try:
                left = memoryview(line)
                while left:
                    left = left[self._lines.write(left) :]
                os.fsync(self._lines.fileno())
                is_there = os.fstat(self._lines.fileno()).st_nlink
            except OSError as error:
                raise refused(Path(self._lines.name), error) from error
            if not is_there:
                raise removed(Path(self._lines.name))
        self.written(line)

    def written(self, line: bytes) -> None:
        """A line is on the disk."""


def _line(noted: JournalEntry) -> bytes:
    return json.dumps(noted, separators=(",", ":")).encode() + b"\n"
