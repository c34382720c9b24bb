"""What the outputs of whole scans are called, so that none lands on another's."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from ctseg_batch.layout import NIFTI, SCAN_ENDINGS

LENGTHENED = "#scan"
"""What a name gets at its end where it is another's already."""

_LABEL_MAP = SCAN_ENDINGS[NIFTI]


def folders_below(folders: Iterable[Path]) -> Mapping[Path, frozenset[str]]:
    """For each of the folders, the names of those right below it that lead to others of them."""
    below: dict[Path, set[str]] = defaultdict(set)
    given = list(folders)
    for folder in given:
        while folder != folder.parent and folder.name not in below[folder.parent]:
            below[folder.parent].add(folder.name)
            folder = folder.parent
    return {folder: frozenset(below[folder]) for folder in given}


def kept_names(volumes: Iterable[str], folders: frozenset[str]) -> frozenset[str]:
    """Names of a folder's outputs that belong to somebody: volumes that keep their names, and folders."""
    return folders.union(volume for volume in volumes if volume.endswith(_LABEL_MAP))


def label_map_names(volumes: Iterable[str], kept: Collection[str]) -> frozenset[str]:
    """What the label maps of a folder's volumes are called."""
    return frozenset(_label_map(volume, kept) for volume in volumes)


def of_volume(volume: str, kept: Collection[str]) -> str:
    """What the outputs of a volume are called, without their ending: `.nii.gz` stays, to any other it is appended."""
    return _label_map(volume, kept).removesuffix(_LABEL_MAP)


def of_slices(scan: str, occupied: Collection[str]) -> str:
    """The same of a series or a folder of images, by the last part of the scan's name."""
    while any(f"{scan}{ending}" in occupied for ending in SCAN_ENDINGS.values()):
        scan += LENGTHENED
    return scan


def not_of(others: Collection[str], scan: str) -> str:
    """The name of a scan, lengthened until none of the others bears it."""
    while scan in others:
        scan += LENGTHENED
    return scan


def rivals(names: Iterable[str]) -> Mapping[str, frozenset[str]]:
    """For what stands before a `#` in any of the names, those that begin so."""
    found: dict[str, set[str]] = defaultdict(set)
    for name in names:
        for place, letter in enumerate(name):
            if letter == "#":
                found[name[:place]].add(name)
    return {before: frozenset(beginning) for before, beginning in found.items()}


def _label_map(volume: str, kept: Collection[str]) -> str:
    if volume.endswith(_LABEL_MAP):
        return volume
    name = f"{volume}{_LABEL_MAP}"
    while name in kept:
        name += _LABEL_MAP
    return name
