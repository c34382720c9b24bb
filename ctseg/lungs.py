"""Divide the lungs of a scan: into right and left, also where they touch, and each into thirds."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ctseg.classes import Labels
from ctseg.spacing import Spacing

LUNGS = ("right", "left")
"""The patient's right and left, in the order of all figures that there are for both."""

THIRDS = ("upper", "middle", "lower")

# How far from the midline, in mm, the border may run: junction lines are displaced by less.
_BAND_MM = 40.0
# The cost of a millimetre of border: 1 if it cuts lung, plus this for each millimetre of its distance from the midline.
# So it goes round a lung that reaches across, and straight where there is none.
_STRAYING = 1 / 400
_STEP_ASIDE_MM = 0.02
# Lungs touch along thin sheets. A border that cuts more of the lungs' side view than this splits a single lung: in
# phantoms, it cuts 2 % where the two touch, 8 % where they are smeared into one, 20 % and more of a single lung.
_MOST_CUT = 0.13
# A lung with less than this share of both counts as absent.
_ABSENT = 0.02


@dataclass(frozen=True, eq=False)
class Border:
    """The border between the lungs.

    `columns` (slices, rows): where the left lung begins in each row of the masks.
    """

    columns: npt.NDArray[np.int32]

    def is_left(self, index: int, columns: int) -> npt.NDArray[np.bool_]:
        """Which pixels (rows, columns) of a slice lie on the side of the left lung."""
        left: npt.NDArray[np.bool_] = np.arange(columns) >= self.columns[index][:, None]
        return left

    def share_out(self, masks: Sequence[Labels]) -> tuple[int, int]:
        """How many voxels each of the LUNGS has."""
        lung = sum(int(np.count_nonzero(mask)) for mask in masks)
        left = sum(int(np.count_nonzero(mask[self.is_left(i, mask.shape[1])])) for i, mask in enumerate(masks))
        return lung - left, left


def separate_lungs(masks: Sequence[Labels], spacing: Spacing) -> Border:
    """Find the border between the lungs of a stack of masks (H, W) whose columns run from the patient's right to left.

    In every slice the border is the cheapest path from the first row to the last within a band about the midline, by
    dynamic programming: it avoids lung, so it runs through the mediastinum, and if the lungs are joined it cuts them
    where the connection is thinnest. The midline is where Otsu's threshold separates the lung pixels by column. If
    that gives no two lungs, it is the middle of the picture; and if the border would split a single lung there too,
    all of it belongs to that side of the middle which holds most of it.
    """
    (rows, width), by_column = masks[0].shape, np.sum([np.count_nonzero(mask, axis=0) for mask in masks], axis=0)
    border, cut = _border(masks, spacing, _otsu(by_column))
    if cut <= _MOST_CUT and not absent(border.share_out(masks)):
        return border
    border, cut = _border(masks, spacing, width // 2)
    if cut <= _MOST_CUT:
        return border
    is_left = by_column[width // 2 :].sum() > by_column[: width // 2].sum()
    return Border(np.full((len(masks), rows), 0 if is_left else width, np.int32))


def absent(voxels: Sequence[float]) -> tuple[str, ...]:
    """Which of the LUNGS is absent, or nearly so, by the voxels of each; neither, if there is no lung at all."""
    return tuple(lung for lung, own in zip(LUNGS, voxels, strict=True) if sum(voxels) and own < _ABSENT * sum(voxels))


def thirds(voxels: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """For each slice the index into THIRDS, from the lung's voxels by slice, feet first.

    Thirds of equal volume, as the Chest Imaging Platform labels them (San José Estépar et al., Am J Respir Crit Care
    Med 2015;191:A4975), but cut between slices. Unlike thirds of equal height, a few stray voxels do not move them.
    """
    before = np.cumsum(voxels) - voxels / 2
    from_below: npt.NDArray[np.int64] = np.minimum(3 * before // (voxels.sum() or 1), 2).astype(np.int64)
    return 2 - from_below


def _otsu(by_column: npt.NDArray[np.int64]) -> int:
    """The column that best separates the two humps of a profile (Otsu 1979)."""
    below = np.cumsum(by_column).astype(float)
    moment = np.cumsum(by_column * np.arange(len(by_column))).astype(float)
    sides = below * (below[-1] - below)
    spread = np.divide((moment[-1] * below - moment * below[-1]) ** 2, sides, out=np.zeros(len(sides)), where=sides > 0)
    best = np.flatnonzero(spread == spread.max())
    return int(best.mean()) + 1  # columns that do equally well have no lung between them


def _border(masks: Sequence[Labels], spacing: Spacing, midline: int) -> tuple[Border, float]:
    """The cheapest border around a midline, and the share of the lungs' side view that it cuts."""
    _, row_mm, column_mm = spacing
    width = masks[0].shape[1]
    reach = max(1, round(_BAND_MM / column_mm))
    first, last = max(0, midline - reach), min(width, midline + reach + 1)
    lung = np.stack([mask[:, first:last] > 0 for mask in masks], axis=1)  # (rows, slices, columns)
    straying = np.abs(np.arange(first, last) - midline).astype(np.float32) * np.float32(column_mm * _STRAYING)
    way = _cheapest_way(lung, straying, row_mm)
    cut = np.take_along_axis(lung, way[:, :, None], axis=2).sum()
    seen = sum(np.count_nonzero(mask.any(axis=1)) for mask in masks)
    return Border(np.ascontiguousarray(way.T + first, dtype=np.int32)), float(cut / max(seen, 1))


def _cheapest_way(
    lung: npt.NDArray[np.bool_], straying: npt.NDArray[np.float32], row_mm: float
) -> npt.NDArray[np.int64]:
    """The column of the border for each row and slice, (rows, slices), from lung (rows, slices, columns).

    From row to row it moves by at most one column. Neighbouring slices count too, so that it does not jump there.
    """
    rows, slices, columns = lung.shape
    aside = np.float32(_STEP_ASIDE_MM)
    came = np.empty(lung.shape, np.int8)
    total = np.zeros((slices, columns), np.float32)
    for row in range(rows):
        ways = np.full((3, slices, columns), np.inf, np.float32)
        ways[0] = total
        ways[1, :, 1:] = total[:, :-1] + aside
        ways[2, :, :-1] = total[:, 1:] + aside
        best = ways.argmin(axis=0)
        came[row] = best
        total = np.take_along_axis(ways, best[None], axis=0)[0]
        total += (_with_neighbours(lung[row]) + straying) * np.float32(row_mm)
    way = np.empty((rows, slices), np.int64)
    at = total.argmin(axis=1)
    each = np.arange(slices)
    for row in range(rows - 1, -1, -1):
        way[row] = at
        step = came[row, each, at]
        at = at - (step == 1) + (step == 2)
    return way


def _with_neighbours(lung: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """A row of lung (slices, columns), smoothed over slices: half the weight is that of the slices below and above."""
    padded = np.pad(lung, ((1, 1), (0, 0)), mode="edge").astype(np.float32)
    return np.asarray((padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4, np.float32)
