"""A scan from the front: a coronal plane, and a projection of each class."""

from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from ctseg.classes import CLASSES, LESION, LUNG, Labels
from ctseg.extent import extent
from ctseg.spacing import Spacing
from ctseg.turn import Side, Turn
from ctseg_batch.outputs.overlay import Grey
from ctseg_batch.reporting.images import Picture, Size, coloured, fit, picture
from ctseg_batch.reporting.sources import ScanFiles
from ctseg_batch.reporting.words import DEPTH_ALT, plane_alt

Box = tuple[slice, slice]
"""Rows and columns of a slice."""

Counts = npt.NDArray[np.int64]

_ROOM: Size = (270, 290)
_BRIGHTEST = 175.0
_MARGIN_MM = 12.0
# If the pixel size is unknown: about that of a chest in 512 pixels.
_USUAL_PIXEL_MM = 0.7


@dataclass(frozen=True, slots=True)
class _SliceCounts:
    """The pixels of each class in a mask that faces the reader, by row and by column; `shape` is as it is stored."""

    shape: tuple[int, ...]
    by_row: Counts
    by_column: Counts


@dataclass(frozen=True, slots=True)
class Survey:
    """What all masks of a scan say together. `shape` is that of each slice, and `box` holds all lung, as it is stored.

    The rest is of slices that face the reader, the patient's right on the left; `turn` is how those stored get there.
    `columns` are those of all lung; `plane` is the row with most disease, else lung; `depth` (slices, classes, W) are
    the pixels of each class by column, zeros where a slice has no mask. `missing`: how many masks are, or are damaged.
    """

    shape: tuple[int, ...]
    box: Box
    turn: Turn
    columns: slice
    plane: int
    depth: Counts
    missing: int


def survey(files: ScanFiles, spacing: Spacing | None, right: Side, pool: Executor) -> Survey | None:
    """Look through all masks; None without masks, or if they are of several sizes.

    `right` is the side of the slices as they are stored on which the patient's right is.
    """
    turn = Turn.facing(right)
    sides = list(pool.map(partial(_counted, files, turn), range(len(files.rows))))
    there = [side for side in sides if side is not None]
    if len({side.shape for side in there}) != 1:
        return None
    rows: Counts = np.sum([side.by_row for side in there], axis=0)
    nothing = np.zeros_like(there[0].by_column)
    depth = np.stack([nothing if side is None else side.by_column for side in sides])
    lung, lesion = (rows[[tissue.index for tissue in classes]].sum(axis=0) for classes in (LUNG, LESION))
    _, down, across = turn.spacing(spacing) if spacing else (None, _USUAL_PIXEL_MM, _USUAL_PIXEL_MM)
    columns = _around(depth[:, 1:].sum(axis=(0, 1)), _MARGIN_MM / across)
    box = _as_stored((_around(lung, _MARGIN_MM / down), columns), depth.shape[2], turn)
    plane = int(np.argmax(lesion if lesion.any() else lung))
    missing = sum(side is None and row.pixels is not None for side, row in zip(sides, files.rows, strict=True))
    return Survey(there[0].shape, box, turn, columns, plane, depth, missing)


def from_the_front(
    files: ScanFiles, found: Survey, spacing: Spacing, pool: Executor, *, is_head_known: bool
) -> tuple[Picture, Picture]:
    """The coronal plane with its classes, and the classes in depth; the head is at the top, as far as it is known."""
    lines = list(pool.map(partial(_line, files, found), range(len(files.rows))))
    labels = np.stack([line for line, _ in lines])[::-1, found.columns]
    ct = None
    if any(grey is not None for _, grey in lines):
        black = np.zeros(found.depth.shape[2], np.uint8)
        ct = np.stack([black if grey is None else grey for _, grey in lines])[::-1, found.columns]
    up, _, across = found.turn.spacing(spacing)
    size = fit((labels.shape[0] * up, labels.shape[1] * across), _ROOM)
    rows, columns = found.shape
    line, of = ("column", columns) if found.turn.transposed else ("row", rows)
    seen = plane_alt(f"{line} {found.plane} of {of}", labels, has_ct=ct is not None, is_head_known=is_head_known)
    plane = picture(ct, labels, size, seen)
    shown = _through(found.depth[::-1, :, found.columns])
    return plane, coloured(shown, size, DEPTH_ALT)


def _through(depth: Counts) -> npt.NDArray[np.uint8]:
    """The lung as light that shines through it from behind would show it: grey, and disease in its colours."""
    lung = depth.sum(axis=1)
    shown = np.repeat(_BRIGHTEST * np.sqrt(lung / max(1, lung.max()))[..., None], 3, axis=2)
    for tissue in LESION:
        part = np.sqrt(depth[:, tissue.index] / np.maximum(lung, 1))[..., None]
        shown += part * (np.array(tissue.colour[::-1]) - shown)
    found: npt.NDArray[np.uint8] = np.rint(shown).astype(np.uint8)
    return found


def _counted(files: ScanFiles, turn: Turn, index: int) -> _SliceCounts | None:
    labels = files.labels(index)
    if labels is None:
        return None
    of_class = np.stack([turn.upright(labels) == tissue.index for tissue in CLASSES])
    of_class[0] = False
    return _SliceCounts(labels.shape, of_class.sum(axis=2), of_class.sum(axis=1))


def _line(files: ScanFiles, found: Survey, index: int) -> tuple[Labels, Grey | None]:
    """The labels and the grey values of a slice within the plane."""
    labels, grey = files.labels(index), files.ct(index, found.shape)
    line = np.zeros(found.depth.shape[2], np.uint8) if labels is None else _in_plane(labels, found)
    return line, None if grey is None else _in_plane(grey, found)


def _in_plane(pixels: npt.NDArray[np.uint8], found: Survey) -> npt.NDArray[np.uint8]:
    line: npt.NDArray[np.uint8] = found.turn.upright(pixels)[found.plane].copy()
    return line


def _as_stored(box: Box, width: int, turn: Turn) -> Box:
    """Where a box of slices that face the reader, `width` columns wide, lies in them as they are stored."""
    rows, columns = box
    if turn.mirrored:
        columns = slice(width - columns.stop, width - columns.start)
    return (columns, rows) if turn.transposed else (rows, columns)


def _around(lung: Counts, margin: float) -> slice:
    """From the first to the last place with lung, with a margin; everything if there is no lung."""
    held = extent(lung) if lung.any() else slice(0, len(lung))
    return slice(max(0, held.start - round(margin)), min(len(lung), held.stop + round(margin)))
