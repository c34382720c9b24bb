"""Read the slices of a scan again: their masks in OUT, their CT where the run read it."""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ctseg import reading
from ctseg.classes import Labels
from ctseg.errors import UnreadableFile
from ctseg.reading.files import read_bytes
from ctseg.reading.name_order import as_counted
from ctseg.scan import Slice
from ctseg.window import Window
from ctseg_batch.outputs.overlay import BgrPicture, Grey, as_shown
from ctseg_batch.outputs.slice_outputs import SLICE_WRITERS
from ctseg_batch.parts.opened import named_by_file
from ctseg_batch.reporting.results import below, placed
from ctseg_batch.slice_figures import SliceFigures

if TYPE_CHECKING:
    from ctseg.reading.dicom_series import DicomSeries

_Read = Callable[[], Slice]
_DRAWN = ("mask", "overlay")


class ScanFiles:
    """The files of a scan's slices, by their index in `rows`. Missing or damaged ones are None.

    `window` is that of its 8-bit slices, if it is known. `is_local`: the run read it on this machine. `in_place`: there
    are files where it did. `lost` files have no place, nor are they in `rows`. May be used from several threads.
    """

    def __init__(
        self,
        out: Path,
        root: Path | None,
        scan: str,
        rows: Sequence[SliceFigures],
        window: Window | None = None,
    ) -> None:
        self.rows, self._window = placed(rows), window
        self.lost = len(rows) - len(self.rows)
        self._out = out
        self._files = [below(root, row.source) if root else None for row in rows]
        there = {file for file in self._files if file and os.path.isfile(file)}  # noqa: PTH113 - never raises
        paths = sorted(there, key=lambda file: as_counted(file.name))  # as a run has them, which numbers stacks in turn
        self.is_local, self.in_place = root is not None, bool(paths)
        self._reads = _sources(scan, self._files, paths, rows) if paths else {}

    def labels(self, index: int) -> Labels | None:
        """The mask (H, W)."""
        file = _written(self._out, "mask", self.rows[index])
        if file is None:
            return None
        try:
            return reading.read_mask(file)
        except UnreadableFile:
            return None

    def overlay(self, index: int) -> BgrPicture | None:
        """The overlay (H, W, 3), without its legend: as many rows as the slice has."""
        file, pixels = _written(self._out, "overlay", self.rows[index]), self.rows[index].pixels or ()
        if file is None:
            return None
        try:
            # Not cv2.imread, which crashes the process on a name that is not Unicode.
            shown = cv2.imdecode(np.frombuffer(read_bytes(file), np.uint8), cv2.IMREAD_COLOR)
        except (UnreadableFile, cv2.error):
            return None
        return None if shown is None else shown[: sum(pixels) // shown.shape[1]].astype(np.uint8, copy=False)

    def ct(self, index: int, shape: tuple[int, ...]) -> Grey | None:
        """The slice (H, W) as a screen shows it; also None if it has changed since its mask was made."""
        read = self._reads.get(index)
        if read is None or self._was_written_since(index):
            return None
        try:
            grey = as_shown(read(), self._window)
        except Exception:  # noqa: BLE001 - whatever one slice does to a library, the others are shown
            return None
        return grey if grey.shape == shape else None

    def _was_written_since(self, index: int) -> bool:
        """Whether the CT is younger than what was made of it."""
        source, row = self._files[index], self.rows[index]
        made = [_written_at(file) for kind in _DRAWN if (file := _written(self._out, kind, row))]
        return source is not None and any(made) and _written_at(source) > max(made)


def holds(out: Path, rows: Sequence[SliceFigures]) -> bool:
    """Whether OUT has the mask or the overlay of any of these slices."""
    return any((file := _written(out, kind, row)) and _written_at(file) for row in rows for kind in _DRAWN)


def _written_at(file: Path) -> int:
    """When, in ns; 0 where there is no such file, or none that may be seen."""
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0


def _written(out: Path, kind: str, row: SliceFigures) -> Path | None:
    return None if row.pixels is None else below(out / SLICE_WRITERS[kind].folder, row.mask)


def _sources(
    scan: str, files: Sequence[Path | None], paths: Sequence[Path], rows: Sequence[SliceFigures]
) -> Mapping[int, _Read]:
    """How to read each slice that is still there, of a scan with these files, of which `paths` are there."""
    try:
        kind = reading.kind_of(paths[0])
        if kind == "volume":
            volume = reading.open_volume(paths[0])
            return {index: partial(volume.read, index) for index in range(min(len(rows), len(volume)))}
        reads: dict[Path, _Read] = {}
        if kind == "dicom":
            found = reading.open_series(paths).series
            if any(series.enhanced_file for series in found):
                stack = _stack(found, scan, files)
                return {} if stack is None else {index: partial(stack.read, index) for index in range(len(rows))}
            for series in found:
                reads |= {file: partial(series.read, index) for index, file in enumerate(series.files)}
        elif kind == "image":
            images = reading.open_images(paths)
            reads = {file: partial(images.read, index) for index, file in enumerate(paths)}
    except Exception:  # noqa: BLE001 - as above
        return {}
    return {index: reads[file] for index, file in enumerate(files) if file in reads}


def _stack(found: Sequence["DicomSeries"], scan: str, files: Sequence[Path | None]) -> "DicomSeries | None":
    """The stack of frames with these files that a run called `scan`; None where it has changed, or can't be told."""
    if not _is_all(found):  # then its number says nothing
        alike = [one for one in found if list(one.files) == files]
        return alike[0] if len(alike) == 1 else None
    named = (one for name, one in named_by_file(found) if f"/{scan}".endswith(f"/{name}"))
    return next((one for one in named if list(one.files) == files), None)


def _is_all(found: Sequence["DicomSeries"]) -> bool:
    """Whether these are all stacks of an object: others may lie in files of it that the scan has no slice in."""
    frames = [header.frame for one in found for header in one.slices if header.frame]
    is_spread = any(frame.concatenation for frame in frames)
    return not is_spread or 1 < frames[0].parts == len({frame.part for frame in frames})
