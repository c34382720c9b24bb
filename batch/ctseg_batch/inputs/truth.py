"""The ground truth: which reference mask belongs to which slice, and what its values mean."""

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from stat import S_ISREG
from typing import Literal

from ctseg import reading
from ctseg.classes import Labels
from ctseg.dataset import meaning_beside
from ctseg.errors import CallError, DatasetError, UnreadableFile
from ctseg.mask_meaning import MaskMeaning
from ctseg.metrics import Confusion, confusion
from ctseg.reading.kind import kind_by_name, stem_of
from ctseg.scan import Scan
from ctseg_batch.inputs.scan_names import label_map_names
from ctseg_batch.inputs.site import volume_slice


class Masks(ABC):
    """The truth of a scan's slices."""

    def __init__(self, meaning: MaskMeaning) -> None:
        self._meaning = meaning

    @property
    @abstractmethod
    def files(self) -> tuple[Path, ...]:
        """All files that the masks may be read from."""

    @abstractmethod
    def find(self, index: int, /) -> Path | None:
        """The file that holds the truth of a slice, if there is any."""

    def grouped(self, index: int, scan: Scan, shape: tuple[int, ...] | None = None) -> Labels | None:
        """The truth (H, W) of a slice of `scan` as groups of classes; None where it has none.

        Without its `shape`, the slice is read. Raises UnreadableFile for a truth that can't be used.
        """
        file = self.find(index)
        if file is None:
            return None
        mask = self._read(index, file, scan)
        shape = shape or scan.read(index).pixels.shape
        if mask.shape != shape:
            size, own = ("x".join(map(str, one[::-1])) for one in (mask.shape, shape))
            raise UnreadableFile(file, f"is {size}, but its slice {own}: they must agree")
        try:
            return self._meaning.grouped(mask, file)
        except DatasetError as error:
            raise UnreadableFile(file, str(error).removeprefix(f"{file} ")) from error

    def _read(self, _index: int, file: Path, _scan: Scan, /) -> Labels:
        """The values (H, W) of a slice's mask; raises UnreadableFile."""
        return reading.read_mask(file)


class SliceMasks(Masks):
    """A file for each slice, or none."""

    def __init__(self, by_slice: tuple[Path | None, ...], meaning: MaskMeaning) -> None:
        super().__init__(meaning)
        self._by_slice = by_slice

    @property
    def files(self) -> tuple[Path, ...]:
        """Those that are there."""
        return tuple(file for file in self._by_slice if file is not None)

    def find(self, index: int) -> Path | None:
        """The slice's file."""
        return self._by_slice[index]


class FolderMasks(Masks):
    """A volume's truth as this program writes masks: a folder with `0000.png`, counted from the feet."""

    def __init__(self, folder: Path, meaning: MaskMeaning) -> None:
        super().__init__(meaning)
        self._folder = folder

    @property
    def files(self) -> tuple[Path, ...]:
        """All of the folder; the folder itself where it may not be listed."""
        try:
            return tuple(sorted(self._folder.iterdir()))
        except OSError:
            return (self._folder,)

    def find(self, index: int) -> Path | None:
        """The slice's file, also if it can't be examined: reading it will tell why."""
        file = self._folder / volume_slice(index)
        try:
            return file if S_ISREG(file.stat().st_mode) else None
        except (FileNotFoundError, NotADirectoryError):
            return file if file.is_symlink() else None
        except OSError:
            return file

    def _read(self, index: int, file: Path, scan: Scan, /) -> Labels:
        """The same; raises UnreadableFile also where there are masks of more slices: all may be shifted."""
        surplus = self._folder / volume_slice(len(scan))
        if os.path.isfile(surplus):  # noqa: PTH113 - Path.is_file raises where the folder may not be entered
            raise UnreadableFile(surplus, f"is one mask too many: its scan has {len(scan)} slices")
        return super()._read(index, file, scan)


class VolumeMask(Masks):
    """A volume's truth as a volume; read when the first slice is asked for, and held with the scan."""

    def __init__(self, file: Path, meaning: MaskMeaning) -> None:
        super().__init__(meaning)
        self._file = file
        self._lock = threading.Lock()
        self._volume: Labels | UnreadableFile | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """The one file, or its header and its voxels."""
        return reading.volume_files(self._file)

    def find(self, _index: int, /) -> Path | None:
        """The volume, of any slice."""
        return self._file

    def _read(self, index: int, _file: Path, scan: Scan, /) -> Labels:
        """The same; also raises UnreadableFile if the volume does not lie where its scan does."""
        with self._lock:
            if self._volume is None:
                self._volume = self._tried(scan)
            volume = self._volume
        if isinstance(volume, UnreadableFile):
            raise UnreadableFile(volume.file, volume.reason)
        mask: Labels = volume[index]
        return mask

    def _tried(self, scan: Scan) -> Labels | UnreadableFile:
        """Read the voxels, or keep why they can't be read: once, not for every slice."""
        try:
            volume = reading.read_mask_volume(self._file, scan)
        except UnreadableFile as error:
            return error
        if len(volume) != len(scan):
            reason = f"has {len(volume)} slices, but its scan {len(scan)}: they must agree"
            return UnreadableFile(self._file, reason)
        return volume


@dataclass(frozen=True)
class Truth:
    """A folder of masks that mirrors the root, and what their values mean."""

    folder: Path
    meaning: MaskMeaning
    _listed: dict[str, "TruthFolder"] = field(default_factory=dict, init=False, repr=False, compare=False)

    def beside(self, within: str) -> "TruthFolder":
        """The masks of one folder, by its path below the root; none where there is no such folder."""
        # A folder's images come in parts, and its volumes one by one: it is listed once, not for each.
        if within not in self._listed:
            self._listed.clear()
            self._listed[within] = TruthFolder(self.folder / within, self.meaning)
        return self._listed[within]

    def compare(self, true: Labels, labels: Labels) -> Confusion:
        """Count pixels by (true, predicted) group of classes, of a truth that is grouped."""
        return confusion(true, self.meaning.group_of[labels], len(self.meaning.groups))


def open_truth(folder: Path) -> Truth:
    """The truth in a folder; raises CallError where there is none, DatasetError for a damaged description."""
    if os.path.isfile(folder):  # noqa: PTH113
        raise CallError(f"--truth {folder}: it is a file; name the folder that holds the masks")
    if not os.path.isdir(folder):  # noqa: PTH112 - Path.is_dir raises where a folder on the way may not be entered
        raise CallError(f"--truth {folder}: it does not exist on this machine, or is not readable")
    return Truth(folder, meaning_beside(folder))


class UnlistedMasks(Masks):
    """The truth in a folder that can't be listed: nobody knows which masks are there."""

    def __init__(self, error: OSError, folder: Path, meaning: MaskMeaning) -> None:
        super().__init__(meaning)
        self._folder, self._why = folder, error.strerror

    @property
    def files(self) -> tuple[Path, ...]:
        """The folder."""
        return (self._folder,)

    def find(self, _index: int, /) -> Path | None:
        """The folder, for any slice."""
        return self._folder

    def _read(self, _index: int, file: Path, _scan: Scan, /) -> Labels:
        raise UnreadableFile(file, f"can't be listed: {self._why}")


class TruthFolder:
    """The names in one folder of the truth, those of files also by kind and stem."""

    def __init__(self, folder: Path, meaning: MaskMeaning) -> None:
        self._folder, self._meaning = folder, meaning
        self._unlisted: UnlistedMasks | None = None
        self._is_folder: dict[str, bool] = {}
        try:
            with os.scandir(folder) as entries:
                self._is_folder = {entry.name: _is_folder(entry) for entry in entries}
        except (FileNotFoundError, NotADirectoryError):
            pass
        except OSError as error:
            self._unlisted = UnlistedMasks(error, folder, meaning)
        # PNG comes last and so prevails: where there are others of the same stem, they may be pictures of the slice.
        files = [name for name, is_folder in self._is_folder.items() if not is_folder]
        files.sort(key=lambda name: (name.lower().endswith(".png"), name))
        self._by_stem = {(_kind(folder / name), stem_of(name)): name for name in files}

    def of_slices(self, files: Iterable[str], mask_names: Iterable[str]) -> Masks:
        """The truth of each slice: a file with the name of its mask, or with its own stem and any image ending."""
        if self._unlisted:
            return self._unlisted
        by_slice = tuple(self._of_slice(*names) for names in zip(files, mask_names, strict=True))
        return SliceMasks(by_slice, self._meaning)

    def of_volume(self, name: str) -> Masks | None:
        """The truth of a volume: a volume of its name or stem, or a folder of its name with a mask per slice.

        A label map of this program will do as well: `ct.mha.nii.gz` for the volume `ct.mha`, and for a multi-frame file
        `ct.dcm` also `ct.dcm/ct.dcm.nii.gz`.
        """
        if self._unlisted:
            return self._unlisted
        label_maps = label_map_names([name], kept=())
        own = next((one for one in (name, *label_maps) if one in self._is_folder), None)
        found = own or self._by_stem.get(("volume", stem_of(name)))
        if found is None:
            return None
        file = self._folder / found
        if not self._is_folder[found]:
            return VolumeMask(file, self._meaning)
        if kind_by_name(name) != "volume":
            for one in label_maps:
                if os.path.lexists(file / one):
                    return VolumeMask(file / one, self._meaning)
        return FolderMasks(file, self._meaning)

    def _of_slice(self, file: str, mask_name: str) -> Path | None:
        own = PurePosixPath(mask_name).name
        found = own if own in self._is_folder else self._by_stem.get(("image", stem_of(file)))
        return None if found is None else self._folder / found


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether it is a folder, or a link to one; not for links that lead nowhere or in a circle."""
    return os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir()  # noqa: PTH112 - raises for no link


def _kind(file: Path) -> reading.Kind | Literal["unknown"] | None:
    """By its name or, if that is a number as UIDs end in, by its content."""
    found = kind_by_name(file.name)
    if found != "unknown" or not file.suffix:
        return found
    try:
        return reading.kind_of(file)
    except UnreadableFile:
        return None
