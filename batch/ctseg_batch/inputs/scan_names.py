"""The names of outputs of whole scans, chosen so that none overwrites another."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from ctseg_batch.layout import NIFTI, SCAN_ENDINGS

LENGTHENED = "#scan"
"""Appended to a name that is taken."""

_LABEL_MAP = SCAN_ENDINGS[NIFTI]


def folders_below(folders: Iterable[Path]) -> Mapping[Path, frozenset[str]]:
    """For each of the folders, the names of its subfolders that are, or contain, others of them."""
    below: dict[Path, set[str]] = defaultdict(set)
    given = list(folders)
    for folder in given:
        while folder != folder.parent and folder.name not in below[folder.parent]:
            below[folder.parent].add(folder.name)
            folder = folder.parent
    return {folder: frozenset(below[folder]) for folder in given}


def kept_names(volumes: Iterable[str], folders: frozenset[str]) -> frozenset[str]:
    """The names that are taken among the outputs of a folder: by volumes that keep their names, and by folders."""
    return folders.union(volume for volume in volumes if volume.endswith(_LABEL_MAP))


def label_map_names(volumes: Iterable[str], kept: Collection[str]) -> frozenset[str]:
    """The names of the label maps of a folder's volumes."""
    return frozenset(_label_map(volume, kept) for volume in volumes)


def of_volume(volume: str, kept: Collection[str]) -> str:
    """The name of a volume's outputs without their ending: `ct` for `ct.nii.gz`, `ct.mha` for `ct.mha`."""
    return _label_map(volume, kept).removesuffix(_LABEL_MAP)


def of_slices(scan: str, occupied: Collection[str]) -> str:
    """The same for a series or a folder of images, from the last part of the scan's name."""
    while any(f"{scan}{ending}" in occupied for ending in SCAN_ENDINGS.values()):
        scan += LENGTHENED
    return scan


def lengthened_until_free(others: Collection[str], scan: str) -> str:
    """The name of a scan, lengthened until none of the others has it."""
    while scan in others:
        scan += LENGTHENED
    return scan


def rivals(names: Iterable[str]) -> Mapping[str, frozenset[str]]:
    """The names that contain a `#`, by each beginning of theirs that a `#` follows."""
    found: dict[str, set[str]] = defaultdict(set)
    for name in names:
        for end, letter in enumerate(name):
            if letter == "#":
                found[name[:end]].add(name)
    return {before: frozenset(beginning) for before, beginning in found.items()}


def _label_map(volume: str, kept: Collection[str]) -> str:
    if volume.endswith(_LABEL_MAP):
        return volume
    name = f"{volume}{_LABEL_MAP}"
    while name in kept:
        name += _LABEL_MAP
    return name
