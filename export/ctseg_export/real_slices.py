"""Slices of real scans to prove a file on."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from ctseg.dataset import mask_folders
from ctseg.errors import CallError
from ctseg.reading import Kind, kind_of, open_images, open_series, open_volume
from ctseg.scan import Scan, Slice
from ctseg.spread import evenly_spread


def real_slices(folder: Path, count: int) -> list[Slice]:
    """At most `count` slices, spread evenly over all the CT below `folder`, the masks of data sets left out.

    Raises CallError where there is none, UnreadableFile for a slice that can't be read,
    DatasetError for a description that can't be.
    """
    places = [(scan, index) for scan in _scans(folder) for index in range(len(scan))]
    if not places:
        raise CallError(f"{folder} holds no slices to compare on: no DICOM, NIfTI or image file")
    return [scan.read(index) for scan, index in evenly_spread(places, count)]


def _scans(folder: Path) -> Iterator[Scan]:
    masks = mask_folders(folder)
    files: dict[Kind | None, list[Path]] = defaultdict(list)
    for path in sorted(folder.rglob("*")):
        if path.is_file() and masks.isdisjoint(path.parents):
            files[kind_of(path)].append(path)
    yield open_images(files["image"])
    yield from map(open_volume, files["volume"])
    yield from open_series(files["dicom"]).series
