"""Notes what is done in a journal in OUT, line by line, as `past` reads it; and holds OUT meanwhile."""

import json
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import uuid4

from ctseg.claim import claim
from ctseg_batch.inputs.listing import Listing
from ctseg_batch.journal.past import FORMAT, Past, begun, plain_settings, undone
from ctseg_batch.layout import FOLDER, JournalEntry, journal_file
from ctseg_batch.outputs.files import keep, refused, removed, write_whole
from ctseg_batch.result import PartResult, Settings
from ctseg_batch.shards import is_of_cut

LOCK = "lock"
"""What a run is held by, in FOLDER."""


@contextmanager
def claim_out(out: Path, mark: str) -> Iterator[None]:
    """Hold OUT, or one shard of it, against other runs; raises CallError where another run holds it.

    Shards of one cut may be at work at once, and nobody else beside them.
    """
    with claim(out, f"{FOLDER}/{LOCK}{mark}", excludes(mark)):
        yield


def excludes(mark: str) -> Callable[[str], bool]:
    """Says of the name of a lock whether a run, or the shard with that mark, can't be at work while it is held."""
    return lambda name: name.startswith(LOCK) and not is_of_cut(name, mark)


class JournalWriter:
    """Told of each step of a run; gathers what a journal would have. May be used from several threads."""

    def __init__(self) -> None:
        self.gathered: list[JournalEntry] = []

    def open(self) -> None:
        """OUT is about to change."""

    def begin(self, outlines: Mapping[str, PartResult], kinds: Iterable[str]) -> None:
        """Parts are about to be done; what was noted of them counts no more. There may be these kinds of outputs."""
        self.add(*(begun(place, outline, kinds) for place, outline in outlines.items()))

    def take_back(self, parts: Iterable[JournalEntry]) -> None:
        """What was noted of parts counts no more; their files are still there."""
        self.add(*(undone(noted) for noted in parts if noted["key"]))

    def drop(self, parts: Iterable[JournalEntry]) -> None:
        """Parts are gone, and so are their files."""
        self.add(*({"part": noted["part"], "key": None} for noted in parts))

    def note(self, place: str, key: str, result: PartResult) -> None:
        """A part is finished and its last file in place."""
        self.add({"part": place, "key": key, "result": asdict(result)})

    def list_folder(self, place: str, key: str, listing: Listing) -> None:
        """The DICOM files of a folder are sorted into scans."""
        self.add({"folder": place, "key": key, **listing.to_json()})

    def add(self, *noted: JournalEntry) -> None:
        """Anything of these."""
        self.gathered += noted


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
            if not past.size:
                head = {"format": FORMAT, "id": uuid4().hex[:8], "root": root, "settings": plain_settings(settings)}
                write_whole(file, b"".join(map(_line, [head, *past.own])))
                keep([file])
            self._lines = file.open("r+b", buffering=0)
            self._lines.seek(*((past.size, os.SEEK_SET) if past.size else (0, os.SEEK_END)))
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
            if kind is None and not (self._past.all_closed and self._idle):
                self.add({"closed": True})
        if kind is not None:
            # Somebody may have removed OUT: what was written since is known by this for a run's.
            with suppress(OSError):
                self._folder.mkdir(parents=True, exist_ok=True)

    def add(self, *noted: JournalEntry) -> None:
        """A line each, on the disk when this returns."""
        if noted:
            self._touched.update(one["part"] for one in noted if "part" in one)
            self.open()
            self._append(*noted)

    def untouched(self) -> set[str]:
        """The scans of which earlier runs have noted parts, and this run has noted nothing about them."""
        return {noted["result"]["scan"] for place, noted in self._past.parts.items() if place not in self._touched}

    def open(self) -> None:
        """Say once which run the lines from here on are of: the next one after all that wrote to OUT before."""
        with self._lock:
            if self._idle:
                self._idle = False
                self._opened()
                self._append({"run": self._past.run + 1})

    def check_in_place(self) -> None:
        """Raise what `removed` says where OUT, or the journal in it, was removed, renamed or replaced meanwhile."""
        file = Path(self._lines.name)
        try:
            is_there = os.path.samestat(os.fstat(self._lines.fileno()), file.stat())
        except OSError:
            is_there = False
        if not is_there:
            raise removed(file)

    def _append(self, *noted: JournalEntry) -> None:
        lines = b"".join(map(_line, noted))
        with self._lock:
            try:
                left = memoryview(lines)
                while left:
                    left = left[self._lines.write(left) :]
                os.fsync(self._lines.fileno())
            except OSError as error:
                raise refused(Path(self._lines.name), error) from error
            self.check_in_place()
        self.written(lines)

    def written(self, lines: bytes) -> None:
        """Some are on the disk."""


def _line(noted: JournalEntry) -> bytes:
    return json.dumps(noted, separators=(",", ":")).encode() + b"\n"
