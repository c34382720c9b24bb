"""A site: the files of one kind in one folder, and the names of their outputs."""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ctseg.reading import Kind
from ctseg.reading.files import stamp_of
from ctseg.reading.scan_scale import sampled
from ctseg_batch.inputs import scan_names

FileState = tuple[str, int, int | str]
"""The state of a file: its path (in a store, the URL of its folder), its size, and its time of change, or what a store
gives in its stead, like an ETag."""

MOST_IN_A_STACK = 4096
"""More images in a folder are no stack: no CT has more slices."""


@dataclass(frozen=True, slots=True)
class Site:
    """Files of one kind in one folder, in the order people count: `2` before `10`. A volume is a site of its own.

    `name` is that of the scan, if the site is a single one; `within` is the folder below the root, with a final `/`.
    `taken`: names ending in `.png` in the folder, if the mask of a file beside them would get one of these names.
    `occupied`: the names that outputs of other scans, or folders of such, get there. `mixed`: the folder holds DICOM
    files as well as images. `piece` is its number if the images of a folder were cut into several, else None;
    `scaled_by` are the images of the whole folder that decide whether all are HU or grey. `stamps` are the states of
    files in a store, `beside` the names of all files of the folder there, if it is `mixed`. `rivals` are the names of
    other sites that begin with this one's and `#`.
    """

    folder: Path
    within: str
    name: str
    kind: Kind
    files: tuple[str, ...]
    taken: frozenset[str] = frozenset()
    occupied: frozenset[str] = frozenset()
    mixed: bool = False
    piece: int | None = None
    scaled_by: tuple[str, ...] = ()
    stamps: Mapping[str, FileState] | None = None
    beside: frozenset[str] = frozenset()
    rivals: frozenset[str] = frozenset()

    @property
    def scan_name(self) -> str:
        """The name of its files as one scan; images beside DICOM files get a name of their own."""
        return self.named("images") if self.mixed and self.kind == "image" else self.name

    def named(self, suffix: str) -> str:
        """The name of one of several scans in its folder, lengthened if another folder has it."""
        return scan_names.lengthened_until_free(self.rivals, f"{self.name}#{suffix}")

    def paths(self, files: Iterable[str]) -> tuple[Path, ...]:
        """The paths of files of this site."""
        return tuple(self.folder / file for file in files)

    def stamped(self, files: Iterable[str]) -> Iterator[FileState]:
        """The states of files of this site."""
        if self.stamps is None:
            folder = str(self.folder)  # of a million files, as many paths would take as long as the system does
            return (stamp(os.path.join(folder, file)) for file in files)  # noqa: PTH118
        return (self.stamps.get(file, (file, 0, 0)) for file in files)

    def has(self, file: str) -> bool:
        """Whether there is such a file in its folder; in a store, whether there was when that was listed."""
        if self.stamps is None:
            place = self.folder / file
            return os.path.lexists(place) and not os.path.isdir(place)  # noqa: PTH112
        return file in self.stamps or file in self.beside

    def cut(self, size: int) -> Iterator["Site"]:
        """Cut it into pieces of `size` files."""
        scaled_by = tuple(sampled(self.files))
        for number, first in enumerate(range(0, len(self.files), size)):
            yield replace(self, files=self.files[first : first + size], piece=number, scaled_by=scaled_by)

    def below(self, files: Iterable[str]) -> tuple[str, ...]:
        """The files' paths below the root."""
        return tuple(self.within + file for file in files)

    def mask_names(self, files: Iterable[str]) -> tuple[str, ...]:
        """The masks' paths below their folder: a `.png` keeps its name, any other gets `.png` appended."""
        return tuple(self.within + self._mask_name(file) for file in files)

    def scan_output(self, scan_name: str) -> str:
        """The path of outputs of a whole scan of this site, below their folder and without an ending."""
        last = (self.folder.name or "scan") + scan_name[len(self.name) :]
        return self.within + scan_names.of_slices(last, self.occupied)

    def scan_output_by_file(self, scan_name: str) -> str:
        """The same for a scan that is named after its file; a stack of frames gets a folder of the file's name."""
        file = scan_name.removeprefix(self.within)
        if file not in self.files:
            return scan_name  # one of several stacks in a file
        if self.kind == "volume":
            return self.within + scan_names.of_volume(file, self.occupied)
        return f"{scan_name}/{file}"

    def is_free(self, scan_output: str) -> bool:
        """Whether a path of outputs is in this site's folder, and not taken by another scan of that."""
        within, _, name = scan_output.rpartition("/")
        return within == self.within[:-1] and scan_names.of_slices(name, self.occupied) == name

    def _mask_name(self, file: str) -> str:
        if file.endswith(".png"):
            return file
        named = f"{file}.png"
        while named in self.taken:
            named += ".png"
        return named


def mask_names_by_file(scan_name: str, slices: int) -> tuple[str, ...]:
    """The masks' paths of a scan that is named after its file: in a folder of that name."""
    return tuple(f"{scan_name}/{volume_slice(index)}" for index in range(slices))


def volume_slice(index: int) -> str:
    """The name of the mask of a volume's slice, counted from the feet up."""
    return f"{index:04d}.png"


def stamp(file: Path | str) -> FileState:
    """The state of a file on this machine."""
    try:
        found = os.stat(file)  # noqa: PTH116
    except OSError:
        return (str(file), 0, 0)  # it fails when it is read
    return (str(file), *stamp_of(found))
