"""A scan seen from the front: the coronal plane that matters, and how much of each class lies in depth."""

from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from ctseg.classes import CLASSES, LESION, LUNG
from ctseg.scan import Labels, Spacing
from ctseg_batch.overlay import Grey
from ctseg_batch.reporting.images import Picture, Size, coloured, fit, picture
from ctseg_batch.reporting.sources import ScanFiles
from ctseg_batch.reporting.words import depth_alt, plane_alt

Box = tuple[slice, slice]
"""Rows and columns of a slice."""

Counts = npt.NDArray[np.int64]

_ROOM: Size = (270, 290)
_SHARPNESS = 1.5
_BRIGHTEST = 175.0
_MARGIN_MM = 12.0
# Where nobody says how large a pixel is: about that of a chest in 512 pixels.
_USUAL_PIXEL_MM = 0.7


@dataclass(frozen=True, slots=True)
class _Side:
    """The pixels of each class in a mask, (classes, H) by row and (classes, W) by column."""

    shape: tuple[int, ...]
    by_row: Counts
    by_column: Counts


@dataclass(frozen=True, slots=True)
class Survey:
    """What all masks of a scan say together. `box` holds all lung; `plane` is the row with most disease, else lung.

    `depth` (slices, classes, W): the pixels of each class by column; zeros where a slice has no mask. `shape` is each
    slice's.
    """

    shape: tuple[int, ...]
    box: Box
    plane: int
    depth: Counts


def survey(files: ScanFiles, spacing: Spacing | None, pool: Executor) -> Survey | None:
    """Look through all masks; None where there is none, or where they are of several sizes."""
    sides = list(pool.map(partial(_side, files), range(len(files.rows))))
    there = [side for side in sides if side is not None]
    if len({side.shape for side in there}) != 1:
        return None
    rows: Counts = np.sum([side.by_row for side in there], axis=0)
    nothing = np.zeros_like(there[0].by_column)
    depth = np.stack([nothing if side is None else side.by_column for side in sides])
    lung, lesion = (rows[[tissue.index for tissue in classes]].sum(axis=0) for classes in (LUNG, LESION))
    down, across = spacing[1:] if spacing else (_USUAL_PIXEL_MM, _USUAL_PIXEL_MM)
    box = (_around(lung, _MARGIN_MM / down), _around(depth[:, 1:].sum(axis=(0, 1)), _MARGIN_MM / across))
    return Survey(there[0].shape, box, int(np.argmax(lesion if lesion.any() else lung)), depth)


def from_the_front(files: ScanFiles, found: Survey, spacing: Spacing, pool: Executor) -> tuple[Picture, Picture]:
    """The coronal plane with its classes, and the classes in depth; the head is at the top."""
    lines = list(pool.map(partial(_line, files, found), range(len(files.rows))))
    columns = found.box[1]
    labels = np.stack([line for line, _ in lines])[::-1, columns]
    ct = None
    if any(grey is not None for _, grey in lines):
        black = np.zeros(found.shape[1], np.uint8)
        ct = np.stack([black if grey is None else grey for _, grey in lines])[::-1, columns]
    size = fit((labels.shape[0] * spacing[0], labels.shape[1] * spacing[2]), _ROOM)
    plane = picture(ct, labels, size, _SHARPNESS, plane_alt(found.plane, found.shape[0], labels, has_ct=ct is not None))
    shown = _through(found.depth[::-1, :, columns])
    pixels = [int(of) for of in found.depth.sum(axis=(0, 2))]
    return plane, coloured(shown, size, _SHARPNESS, depth_alt(pixels))


def _through(depth: Counts) -> npt.NDArray[np.uint8]:
    """The lung as light that shines through it from behind would show it: grey, and disease in its colours."""
    lung = depth.sum(axis=1)
    shown = np.repeat(_BRIGHTEST * np.sqrt(lung / max(1, lung.max()))[..., None], 3, axis=2)
    for tissue in LESION:
        part = np.sqrt(depth[:, tissue.index] / np.maximum(lung, 1))[..., None]
        shown += part * (np.array(tissue.colour[::-1]) - shown)
    found: npt.NDArray[np.uint8] = np.rint(shown).astype(np.uint8)
    return found


def _side(files: ScanFiles, place: int) -> _Side | None:
    labels = files.labels(place)
    if labels is None:
        return None
    of_class = np.stack([labels == tissue.index for tissue in CLASSES])
    of_class[0] = False
    return _Side(labels.shape, of_class.sum(axis=2), of_class.sum(axis=1))


def _line(files: ScanFiles, found: Survey, place: int) -> tuple[Labels, Grey | None]:
    """The row of a slice that lies in the plane."""
    labels, grey = files.labels(place), files.ct(place, found.shape)
    line = np.zeros(found.shape[1], np.uint8) if labels is None else labels[found.plane].copy()
    return line, None if grey is None else grey[found.plane].copy()


def _around(lung: Counts, margin: float) -> slice:
    """From the first to the last place with lung, and a margin; all of it where there is none."""
    places = np.flatnonzero(lung).tolist() or [0, len(lung) - 1]
    return slice(max(0, places[0] - round(margin)), min(len(lung), places[-1] + 1 + round(margin)))
