"""What was done before: a journal in OUT, so that the same call goes on where an earlier one was stopped.

Each line is a JSON object. The first says which root and which settings the rest belong to. A part is noted when
its last file is in place; a line that a killed run left torn counts as not written.
"""

import json
import os
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ctseg.errors import CallError
from ctseg_batch.files import refused, removed, write_whole
from ctseg_batch.listing import Listing
from ctseg_batch.result import PartResult, Settings

FOLDER = ".ctseg"
LOCK = f"{FOLDER}/lock"
_JOURNAL = "journal.jsonl"
_FORMAT = 2

_Noted = dict[str, Any]


@dataclass
class Past:
    """What earlier runs noted. `size` is the journal's length up to a torn line; 0: there is none to go on with."""

    parts: dict[str, _Noted] = field(default_factory=dict)
    folders: dict[str, _Noted] = field(default_factory=dict)
    size: int = 0
    closed: bool = False

    def result(self, place: str, key: str) -> PartResult | None:
        """What came of the part at `place`, if it was done from just these inputs."""
        noted = self.parts.get(place)
        return None if noted is None or noted["key"] != key else PartResult.from_json(noted["result"])

    def slices(self, scan: str) -> int:
        """How many slices a scan of one part had, whatever its inputs were then."""
        noted = self.parts.get(f"{scan}:0")
        return int(noted["result"]["slices"]) if noted and noted["key"] else 0

    def scans(self, place: str) -> set[str]:
        """Which series the files of a folder were sorted into, whatever its files were then."""
        noted = self.folders.get(place, {})
        return {one["scan"] for one in noted.get("series", ()) if one["key"]}

    def listing(self, place: str, key: str) -> Listing | None:
        """How the files of a folder were sorted into scans, if they are still the same."""
        noted = self.folders.get(place)
        if noted is None or noted["key"] != key or "series" not in noted:
            return None
        return Listing.from_json(noted)


def recall(out: Path, root: Path, settings: Settings) -> Past:
    """Read the journal in OUT; what was done under other settings counts for nothing.

    Raises CallError where OUT holds the results of another root.
    """
    journal = out / FOLDER / _JOURNAL
    if not os.path.isfile(journal):  # noqa: PTH113 - Path.is_file raises where a folder on the way may not be entered
        return Past()
    lines = _whole_lines(journal)
    start, head = next(lines, (0, {}))
    if head.get("format") != _FORMAT:
        raise CallError(f"{journal} is damaged or of another version of ctseg: delete {journal.parent} and begin anew")
    if head["root"] != str(root):
        former = head["root"]
        raise CallError(f"{out} holds the results of {former}, not of {root}: name another OUT, or --root {former}")
    if head["settings"] != _plain(settings):
        return Past()
    past = Past(size=start)
    for size, noted in lines:
        past.size, past.closed = size, "closed" in noted
        if "part" in noted:
            past.parts[noted["part"]] = noted
        elif "folder" in noted:
            past.folders[noted["folder"]] = noted
    return past


def recorded_root(out: Path) -> Path | None:
    """The folder whose results OUT holds; None where no journal says."""
    try:
        _, head = next(_whole_lines(out / FOLDER / _JOURNAL), (0, {}))
    except OSError:
        return None
    return Path(head["root"]) if isinstance(head.get("root"), str) else None


class Journal:
    """Notes parts as they are finished; a context manager. May be used from several threads."""

    def __init__(self, out: Path, root: Path, settings: Settings, past: Past) -> None:
        self._past = past
        self._idle = True
        self._lock = threading.Lock()
        file = out / FOLDER / _JOURNAL
        try:
            if not past.size:
                head = {"format": _FORMAT, "root": str(root), "settings": _plain(settings)}
                write_whole(file, _line(head))
            self._lines = file.open("r+b", buffering=0)
            self._lines.seek(past.size or 0, os.SEEK_SET if past.size else os.SEEK_END)
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
                self._append({"closed": True})

    def begin(self, place: str) -> None:
        """Take back what was noted of a part that is about to be done again."""
        if place in self._past.parts:
            self._append({"part": place, "key": None})

    def note(self, place: str, key: str, result: PartResult) -> None:
        """A part is finished and its last file in place."""
        self._append({"part": place, "key": key, "result": asdict(result)})

    def list_folder(self, place: str, key: str, listing: Listing) -> None:
        """The DICOM files of a folder are sorted into scans."""
        self._append({"folder": place, "key": key, **listing.to_json()})

    def _append(self, noted: _Noted) -> None:
        with self._lock:
            self._idle = False
            try:
                left = memoryview(_line(noted))
                while left:
                    left = left[self._lines.write(left) :]
                os.fsync(self._lines.fileno())
                is_there = os.fstat(self._lines.fileno()).st_nlink
            except OSError as error:
                raise refused(Path(self._lines.name), error) from error
            if not is_there:
                raise removed(Path(self._lines.name))


def _line(noted: _Noted) -> bytes:
    return json.dumps(noted, separators=(",", ":")).encode() + b"\n"


def _plain(settings: Settings) -> Any:
    return json.loads(json.dumps(asdict(settings)))


def _whole_lines(journal: Path) -> Iterator[tuple[int, _Noted]]:
    """Each line with where it ends; those that are no JSON object, as after a power failure, are left out."""
    end = 0
    with journal.open("rb") as lines:
        for line in lines:
            end += len(line)
            try:
                noted = json.loads(line)
            except ValueError:
                continue
            if line.endswith(b"\n") and isinstance(noted, dict):
                yield end, noted
