"""Slices of real scans to quantise and prove a model by."""

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import NoReturn

from ctseg.datasets.dataset import mask_folders
from ctseg.errors import CallError, UnreadableFile
from ctseg.reading import Kind, kind_of, open_images, open_series, open_volume
from ctseg.scan import Scan, Slice
from ctseg.spread import evenly_spread


def real_slices(folder: Path, count: int) -> list[Slice]:
    """At most `count` slices, evenly spread over all CT below `folder` except the masks of data sets.

    Raises CallError where there is none, UnreadableFile for a file or a folder that can't be read,
    DatasetError for a description that can't be.
    """
    scans = list(_scans(folder))
    slices = [(number, index) for number, scan in enumerate(scans) for index in range(len(scan))]
    if not slices:
        raise CallError(f"{folder} holds no slices to compare on: there is no CT in it")
    chosen = groupby(evenly_spread(slices, count), key=lambda one: one[0])
    return [one for number, of_scan in chosen for one in _read(scans[number], [index for _, index in of_scan])]


def _read(scan: Scan, indices: Sequence[int]) -> list[Slice]:
    """Copies of some slices of a scan, since a view of a volume would keep all of it in memory."""
    found = [scan.read(index) for index in indices]
    scan.close()
    return [replace(one, pixels=one.pixels.copy()) for one in found]


def _folders(top: Path) -> Iterator[tuple[Path, list[str]]]:
    """A folder and all below it with their files; links to folders are followed, the same real folder never twice."""
    searched = set()
    for folder, below, names in os.walk(top, onerror=_unlisted, followlinks=True):
        real = os.path.realpath(folder)
        if real in searched:
            below.clear()
        else:
            searched.add(real)
            below.sort()
            yield Path(folder), names


def _unlisted(error: OSError) -> NoReturn:
    raise UnreadableFile(Path(error.filename), f"can't be listed: {error.strerror}") from error


def _scans(folder: Path) -> Iterator[Scan]:
    folders = dict(_folders(folder))
    masks = mask_folders(folders)
    files: dict[Kind | None, list[Path]] = defaultdict(list)
    images: dict[Path, list[Path]] = defaultdict(list)
    for top, names in folders.items():
        real = top.resolve()
        if masks.isdisjoint([real, *real.parents]):
            for path in (top / name for name in sorted(names)):
                kind = kind_of(path)
                (images[top] if kind == "image" else files[kind]).append(path)
    yield from map(open_images, images.values())
    yield from map(open_volume, files["volume"])
    found = open_series(files["dicom"])
    if found.failed:
        raise found.failed[0]
    yield from found.series
