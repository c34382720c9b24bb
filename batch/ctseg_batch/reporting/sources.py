"""The slices of a scan as they can still be looked at: their masks in OUT, their CT where the run read it."""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ctseg import reading
from ctseg.errors import UnreadableFile
from ctseg.reading.files import read_bytes
from ctseg.scan import Labels, Slice
from ctseg_batch.outputs import WRITERS
from ctseg_batch.overlay import Grey, Picture, as_shown
from ctseg_batch.reporting.results import SliceRow, below

if TYPE_CHECKING:
    from ctseg.reading.dicom_series import DicomSeries

_Read = Callable[[], Slice]


class ScanFiles:
    """The files of a scan's slices, by the slice's place in `rows`. What is gone or damaged is None.

    `has_ct`: the scan's own files are where the run read them. May be used from several threads.
    """

    def __init__(self, out: Path, root: Path | None, rows: Sequence[SliceRow]) -> None:
        self.rows = rows
        self._out = out
        self._reads = _sources(root, rows) if root else {}
        self.has_ct = bool(self._reads)

    def labels(self, place: int) -> Labels | None:
        """The mask (H, W)."""
        file = self._written("mask", place)
        if file is None:
            return None
        try:
            return reading.read_mask(file)
        except UnreadableFile:
            return None

    def overlay(self, place: int) -> Picture | None:
        """The overlay (H, W, 3), without its legend: as many rows as the slice has."""
        file, pixels = self._written("overlay", place), self.rows[place].pixels or ()
        if file is None:
            return None
        try:
            # Not cv2.imread, which a name that is no Unicode takes the whole process down with.
            shown = cv2.imdecode(np.frombuffer(read_bytes(file), np.uint8), cv2.IMREAD_COLOR)
        except (UnreadableFile, cv2.error):
            return None
        return None if shown is None else shown[: sum(pixels) // shown.shape[1]].astype(np.uint8, copy=False)

    def ct(self, place: int, shape: tuple[int, ...]) -> Grey | None:
        """The slice (H, W) as a screen shows it; also None where it has no longer the shape of its mask."""
        read = self._reads.get(place)
        if read is None:
            return None
        try:
            grey = as_shown(read())
        except Exception:  # noqa: BLE001 - whatever one slice does to a library, the others are shown
            return None
        return grey if grey.shape == shape else None

    def _written(self, kind: str, place: int) -> Path | None:
        row = self.rows[place]
        return None if row.pixels is None else below(self._out / WRITERS[kind].folder, row.mask)


def _sources(root: Path, rows: Sequence[SliceRow]) -> Mapping[int, _Read]:
    """How to read each slice that is still there."""
    files = [below(root, row.source) for row in rows]
    paths = list(dict.fromkeys(file for file in files if file and os.path.isfile(file)))  # noqa: PTH113 - never raises
    try:
        kind = reading.kind_of(paths[0]) if paths else None
        if kind == "volume":
            volume = reading.open_volume(paths[0])
            return {place: partial(volume.read, row.index) for place, row in enumerate(rows) if row.index < len(volume)}
        reads: dict[Path, _Read] = {}
        if kind == "dicom":
            found = reading.open_series(paths).series
            if any(series.home for series in found):
                return _frames(found, rows)
            for series in found:
                reads |= {file: partial(series.read, index) for index, file in enumerate(series.files)}
        elif kind == "image":
            images = reading.open_images(paths)
            reads = {file: partial(images.read, index) for index, file in enumerate(paths)}
    except Exception:  # noqa: BLE001 - as above
        return {}
    return {place: reads[file] for place, file in enumerate(files) if file in reads}


def _frames(found: Sequence["DicomSeries"], rows: Sequence[SliceRow]) -> Mapping[int, _Read]:
    """The same of a scan in a file of several frames; none where that holds more scans: a row does not say which."""
    if len(found) > 1:
        return {}
    return {place: partial(found[0].read, row.index) for place, row in enumerate(rows) if row.index < len(found[0])}
