"""Walk the inputs: which files are CT, folder by folder, and which folder is the root of them all."""

import os
import re
from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ctseg.errors import CallError, UnreadableFile
from ctseg.reading import Kind, kind_of
from ctseg_batch.outputs import WRITERS
from ctseg_batch.record import FOLDER as RECORD

# What macOS leaves beside each file on a foreign share: the file's name and ending, but no image.
_APPLE_DOUBLE = "._"
RESULTS = frozenset(writer.folder for writer in WRITERS.values())
"""What a run calls the folders that it writes slices to."""


@dataclass(frozen=True, slots=True)
class Site:
    """Files of one kind in one folder, in the order people count: `2` before `10`. A volume is a site of its own.

    `name` is the scan's, if it is one, and `within` the folder below the root, with a `/` at its end. `taken` are the
    PNGs of the folder (and folders in it that are called so), where a file beside them would otherwise get a mask of
    the same name. `mixed`: the folder holds
    DICOM files as well as images.
    """

    folder: Path
    within: str
    name: str
    kind: Kind
    files: tuple[str, ...]
    taken: frozenset[str] = frozenset()
    mixed: bool = False

    def paths(self, files: Iterable[str]) -> tuple[Path, ...]:
        """Where files of this site are."""
        return tuple(self.folder / file for file in files)

    def below(self, files: Iterable[str]) -> tuple[str, ...]:
        """The files' paths below the root."""
        return tuple(self.within + file for file in files)

    def mask_names(self, files: Iterable[str]) -> tuple[str, ...]:
        """The masks' paths below their folder: a `.png` keeps its name, any other gets `.png` appended."""
        return tuple(self.within + self._mask_name(file) for file in files)

    def _mask_name(self, file: str) -> str:
        if file.endswith(".png"):
            return file
        named = f"{file}.png"
        while named in self.taken:
            named += ".png"
        return named


@dataclass(frozen=True, slots=True)
class Found:
    """What there is below the root; `ignored` counts files that are no CT, `failed` are those that can't be told."""

    root: Path
    sites: tuple[Site, ...]
    ignored: int
    failed: tuple[UnreadableFile, ...]


def discover(inputs: Sequence[Path], never: Collection[Path] = ()) -> Found:
    """Search files and folders, recursively and through links, but no real folder twice and none of `never`.

    Reads names, and of files without an ending the first bytes. Raises CallError for an input that is not there.
    """
    # Not Path.resolve, which would name scans after where a link points.
    given = [Path(os.path.abspath(path)) for path in inputs]  # noqa: PTH100
    for path in given:
        # Not Path.exists, which raises where a folder on the way may not be entered.
        if not os.path.exists(path):  # noqa: PTH110
            raise CallError(f"{path} is not there, or you may not read it")
    walk = _Walk(frozenset(os.path.realpath(path) for path in never))
    for path in given:
        if path.is_dir():
            walk.search(path)
    walk.follow_links()
    for path in given:
        if not path.is_dir():
            walk.take(path)
    root = _deepest(path if path.is_dir() else path.parent for path in given)
    return Found(root, tuple(_sites(root, walk.kinds)), walk.ignored, tuple(walk.failed))


def volume_names(scan: str, slices: int) -> tuple[str, ...]:
    """The masks' paths of a scan that is called by its file: they lie in a folder of its name."""
    return tuple(f"{scan}/{volume_slice(index)}" for index in range(slices))


def volume_slice(index: int) -> str:
    """What the mask of a volume's slice is called, counted from the feet up."""
    return f"{index:04d}.png"


def as_counted(name: str) -> tuple[list[str | int], str]:
    """Sorts names as people count: `slice2` before `slice10`."""
    pieces = re.split(r"(\d+)", name.casefold())
    return [int(piece) if place % 2 else piece for place, piece in enumerate(pieces)], name


@dataclass
class _Walk:
    """The state of one search: the kind of each file by folder, what was passed over, what could not be told."""

    never: frozenset[str]
    kinds: dict[Path, dict[str, Kind]] = field(default_factory=lambda: defaultdict(dict))
    ignored: int = 0
    failed: list[UnreadableFile] = field(default_factory=list)
    _searched: set[str] = field(default_factory=set)
    _links: deque[Path] = field(default_factory=deque)

    def search(self, top: Path) -> None:
        """Take all files below a folder; links to folders wait, so that a folder goes by its real path if it can."""
        waiting = [(top, os.path.realpath(top))]
        while waiting:
            folder, real = waiting.pop()
            if real in self.never or real in self._searched:
                continue
            self._searched.add(real)
            for entry in self._but_results(self._list(folder)):
                if entry.is_dir(follow_symlinks=False):
                    waiting.append((folder / entry.name, os.path.join(real, entry.name)))  # noqa: PTH118
                elif entry.is_symlink() and os.path.isdir(entry.path):  # noqa: PTH112
                    self._links.append(folder / entry.name)
                else:
                    self._classify(folder / entry.name)

    def follow_links(self) -> None:
        """Search the folders that were met as links, but for those that lead into what is never searched."""
        while self._links:
            link = self._links.popleft()
            real = Path(os.path.realpath(link))
            if not any(real.is_relative_to(folder) for folder in self.never):
                self.search(link)

    def take(self, file: Path) -> None:
        """Take a file that was named itself, unless its folder was searched."""
        if os.path.realpath(file.parent) not in self._searched:
            self._classify(file)

    def _but_results(self, entries: list[os.DirEntry[str]]) -> list[os.DirEntry[str]]:
        """A folder's entries; where another run wrote its results there, not their folders: masks are no CT."""
        if all(entry.name != RECORD for entry in entries):
            return entries
        return [entry for entry in entries if entry.name not in RESULTS]

    def _list(self, folder: Path) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(folder) as entries:
                return sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            self.failed.append(UnreadableFile(folder, f"can't be listed: {error.strerror}"))
            return []

    def _classify(self, file: Path) -> None:
        try:
            kind = None if file.name.startswith(_APPLE_DOUBLE) else kind_of(file)
        except UnreadableFile as error:
            self.failed.append(error)
            return
        if kind is None:
            self.ignored += 1
        else:
            self.kinds[file.parent][file.name] = kind


def _deepest(folders: Iterable[Path]) -> Path:
    try:
        return Path(os.path.commonpath(list(folders)))
    except ValueError as error:
        raise CallError("the inputs lie on different drives: call once for each") from error


def _sites(root: Path, kinds: Mapping[Path, Mapping[str, Kind]]) -> Iterator[Site]:
    own, beneath = _own_name(root, kinds), _folders_beneath(root, kinds)
    for folder in sorted(kinds, key=lambda folder: [as_counted(part) for part in folder.parts]):
        name = own if folder == root else folder.relative_to(root).as_posix()
        within = "" if folder == root else f"{name}/"
        by_kind: dict[Kind, list[str]] = defaultdict(list)
        for file in sorted(kinds[folder], key=as_counted):
            by_kind[kinds[folder][file]].append(file)
        for volume in by_kind.pop("volume", ()):
            yield Site(folder, within, within + volume, "volume", (volume,))
        taken = _taken({*kinds[folder], *beneath[folder]})
        for kind, files in sorted(by_kind.items()):
            yield Site(folder, within, name, kind, tuple(files), taken, mixed=len(by_kind) > 1)


def _own_name(root: Path, kinds: Mapping[Path, Mapping[str, Kind]]) -> str:
    """What a root that holds slices itself goes by: its own name, unless something below it bears that."""
    beneath = {folder.relative_to(root).parts[0] for folder in kinds if folder != root} | set(kinds.get(root, ()))
    return root.name if root.name and root.name not in beneath else "."


def _folders_beneath(root: Path, folders: Iterable[Path]) -> Mapping[Path, set[str]]:
    """Of each folder, the names of those in it that hold slices somewhere below: they will be folders of masks too."""
    beneath: dict[Path, set[str]] = defaultdict(set)
    for folder in folders:
        while folder != root and folder.name not in beneath[folder.parent]:
            beneath[folder.parent].add(folder.name)
            folder = folder.parent
    return beneath


def _taken(names: Collection[str]) -> frozenset[str]:
    """What is called like a PNG in a folder, where some other file's mask would take the name of one; else none."""
    clash = any(f"{name}.png" in names for name in names if not name.endswith(".png"))
    return frozenset(name for name in names if name.endswith(".png")) if clash else frozenset()
