"""The ground truth: which reference mask belongs to which slice, and what its values mean."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

from ctseg import reading
from ctseg.datasets.dataset import meaning_beside
from ctseg.datasets.mask_meaning import MaskMeaning
from ctseg.errors import CallError, UnreadableFile
from ctseg.reading.kind import kind_by_name, stem_of
from ctseg_batch.inputs.scan_names import label_map_names
from ctseg_batch.inputs.truth_masks import FolderMasks, SliceMasks, TruthMasks, UnlistedMasks, VolumeMask


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


def open_truth(folder: Path) -> Truth:
    """The truth in a folder; raises CallError where there is none, DatasetError for a damaged description."""
    if os.path.isfile(folder):  # noqa: PTH113
        raise CallError(f"--truth {folder}: it is a file; name the folder that holds the masks")
    if not os.path.isdir(folder):  # noqa: PTH112 - Path.is_dir raises where a folder on the way may not be entered
        raise CallError(f"--truth {folder}: it does not exist on this machine, or is not readable")
    return Truth(folder, meaning_beside(folder))


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

    def of_slices(self, files: Iterable[str], mask_names: Iterable[str]) -> TruthMasks:
        """The truth of each slice: a file with the name of its mask, or with its own stem and any image ending."""
        if self._unlisted:
            return self._unlisted
        by_slice = tuple(self._of_slice(*names) for names in zip(files, mask_names, strict=True))
        return SliceMasks(by_slice, self._meaning)

    def of_volume(self, name: str) -> TruthMasks | None:
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
