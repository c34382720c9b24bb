"""Walk through folders and links, and identify each file."""

import os
import sys
from collections import Counter, defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ctseg.errors import UnreadableFile
from ctseg.reading import Kind, kind_of
from ctseg.reading.kind import APPLE_DOUBLE, DICOMDIR, format_ending
from ctseg_batch.layout import FOLDERS, RECORD, is_of_results, results_around
from ctseg_batch.url import ARCHIVE, Location

# Deleted files, snapshots, and folders that programs keep for themselves: copies of other files, or of no use.
_TRASH = ".trash"
_OF_PROGRAMS = frozenset({
    "$recycle.bin", "system volume information", "lost+found", ".git", ".snapshot", ".zfs", ".ipynb_checkpoints",
    "@eadir", "__macosx",
})  # fmt: skip


@dataclass
class Walk:
    """One search: the kind of each file by folder, how many files were ignored by ending, and which have failed.

    A file that is not CT is ignored, unless the call names it: then it has failed. `passed_over` are folders that hold
    what is never searched; `searched_before` are those that were met again, each with its real path. `repeated_links`
    counts links to files that are found themselves.
    """

    never: frozenset[str]
    named: frozenset[Path]
    out: str | None
    kinds: dict[Path, dict[str, Kind]] = field(default_factory=lambda: defaultdict(dict))
    ignored: Counter[str] = field(default_factory=Counter)
    failed: list[UnreadableFile] = field(default_factory=list)
    passed_over: list[Path] = field(default_factory=list)
    searched_before: list[tuple[Path, str]] = field(default_factory=list)
    repeated_links: int = 0
    _aside: dict[str, str] = field(default_factory=dict)
    _searched: dict[str, Path] = field(default_factory=dict)
    _links: deque[Path] = field(default_factory=deque)
    _file_links: list[Path] = field(default_factory=list)

    def search(self, top: Path) -> None:
        """Take all files below a folder; links to folders are left for `follow_links`, after all real paths."""
        waiting = [(top, os.path.realpath(top))]
        while waiting:
            folder, real = waiting.pop()
            if real in self.never:
                self.passed_over.append(folder)
            elif real in self._searched:
                self.searched_before.append((folder, real))
            if real in self.never or real in self._searched:
                continue
            self._searched[real] = folder
            for entry in self._but_results(folder, self._list(folder)):
                if is_set_aside(entry.name) and os.path.isdir(entry.path):  # noqa: PTH112 - raises for no link
                    self._aside[os.path.join(real, entry.name)] = entry.name  # noqa: PTH118
                elif entry.is_dir(follow_symlinks=False):
                    waiting.append((folder / entry.name, os.path.join(real, entry.name)))  # noqa: PTH118
                elif entry.is_symlink() and os.path.isdir(entry.path):  # noqa: PTH112
                    self._links.append(folder / entry.name)
                elif entry.is_symlink():
                    self._file_links.append(folder / entry.name)
                else:
                    self._classify(folder, entry.name)

    @property
    def set_aside(self) -> Mapping[str, int]:
        """How many folders were not searched because of their name, by that name."""
        return Counter(name for folder, name in self._aside.items() if folder not in self._searched)

    def follow_links(self) -> None:
        """Search the folders that links lead to, except into what is never searched; then take files by their links.

        A file that was found itself is not taken again: its scan would count twice.
        """
        out = self.out
        is_within = out is not None and any(Path(real).is_relative_to(out) for real in self._searched)
        while self._links:
            link = self._links.popleft()
            real = Path(os.path.realpath(link))
            if self._is_never(real, is_within=is_within) or results_around(real):
                self.passed_over.append(link)
            else:
                self.search(link)
        for link in self._file_links:
            folder, name = os.path.split(os.path.realpath(link))
            if folder in self._searched and name in self.kinds.get(self._searched[folder], {}):
                self.repeated_links += 1
            else:
                self._classify(link.parent, link.name)

    def _is_never(self, real: Path, *, is_within: bool) -> bool:
        """Whether a folder is never searched; of an OUT that an INPUT `is_within`, only what a run writes there."""
        for folder in filter(real.is_relative_to, self.never):
            below = real.relative_to(folder).parts[:1]
            if folder != self.out or not is_within or not below or below[0] in FOLDERS:
                return True
        return False

    def take(self, file: Path) -> None:
        """Take a file by itself, unless its folder was searched."""
        if not os.path.exists(file):  # noqa: PTH110
            self.failed.append(UnreadableFile(file, "does not exist or is not readable"))
        elif os.path.realpath(file.parent) not in self._searched:
            self._classify(file.parent, file.name)

    def _but_results(self, folder: Path, entries: list[os.DirEntry[str]]) -> list[os.DirEntry[str]]:
        """A folder's entries, without the folders of results if it is the OUT of another run."""
        if all(entry.name != RECORD for entry in entries):
            return entries
        self.passed_over.append(folder)
        return [entry for entry in entries if not is_of_results(folder / entry.name)]

    def _list(self, folder: Path) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(folder) as entries:
                return sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            self.failed.append(UnreadableFile(folder, f"can't be listed: {error.strerror}"))
            return []

    def _classify(self, folder: Path, name: str) -> None:
        try:
            kind = kind_of(folder / name)
        except UnreadableFile as error:
            self.failed.append(error)
            return
        if kind is None and folder / name in self.named:
            self.failed.append(UnreadableFile(folder / name, no_ct(folder / name)))
        elif kind is None:
            self.ignored[ignored_as(name)] += 1
        else:
            self.kinds[folder][sys.intern(name)] = kind  # many folders have a slice1.png


def ignored_as(name: str) -> str:
    """The ending that an ignored file is counted under; empty if it does not look like that of a format."""
    return f"{APPLE_DOUBLE}*" if name.startswith(APPLE_DOUBLE) else format_ending(name)


def is_set_aside(folder: str) -> bool:
    """Whether folders of this name below an INPUT are not searched: they hold deleted files, snapshots or the like."""
    name = folder.lower()
    return name.startswith(_TRASH) or name in _OF_PROGRAMS


def no_ct(place: Location) -> str:
    """Why a file that somebody named is not read."""
    if place.name.lower().endswith(f".{ARCHIVE}"):
        return f"is an archive: give it as {ARCHIVE}::{place}"
    if place.name.upper() == DICOMDIR:
        return "is a list of other files: name their folder"
    return "is not CT: by its name neither DICOM, a volume nor an image"
