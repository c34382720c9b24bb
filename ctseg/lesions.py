"""The lesions of a scan: connected pieces of ground glass and consolidation."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ctseg.classes import LESION, Labels
from ctseg.extent import extent
from ctseg.lungs import Border
from ctseg.measures import voxel_ml
from ctseg.spacing import Spacing

SMALLEST_ML = 0.1
"""Smaller ones are not counted: from 100 mm3, a ball of 6 mm, the Fleischner Society recommends to follow up nodules
(MacMahon et al., Radiology 2017;284:228)."""

# Voxels that share a corner are connected, as in the lesion-wise scores of BraTS 2023.
_TOUCHING = np.ones((3, 3, 3), bool)
_FROM = min(c.index for c in LESION)


@dataclass(frozen=True, slots=True)
class Lesions:
    """How many lesions there are, by the lung that holds most of each, if that is known, and their volumes in mL.

    `smaller` lesions are left out of all other figures. The median and the largest are None without lesions.
    """

    count: int
    right: int | None
    left: int | None
    smaller: int
    volume_ml: float
    median_ml: float | None
    largest_ml: float | None


def find_lesions(
    masks: Sequence[Labels], border: Border | None, spacing: Spacing, weights: Sequence[float] | None
) -> Lesions:
    """The lesions of a stack of masks (H, W), with the border between its lungs, if known; `weights` as in Scan."""
    box = _box(masks)
    ml = voxel_ml(spacing)
    if box is None:
        of_lung = None if border is None else 0
        return Lesions(0, of_lung, of_lung, 0, 0.0, None, None)
    from scipy import ndimage  # as in cleanup.py: a run on single slices starts sooner without it

    slices, rows, columns = box
    diseased = np.stack([mask[rows, columns] >= _FROM for mask in masks[slices]])
    pieces, count = ndimage.label(diseased, _TOUCHING)
    voxels, left = np.zeros(count + 1), np.zeros(count + 1)
    for index, piece in enumerate(pieces, start=slices.start):
        weight = 1.0 if weights is None else weights[index]
        voxels += weight * np.bincount(piece.ravel(), minlength=count + 1)
        if border is not None:
            is_left = border.is_left(index, masks[index].shape[1])[rows, columns]
            left += weight * np.bincount(piece[is_left], minlength=count + 1)
    volumes = voxels[1:] * ml
    counted = volumes >= SMALLEST_ML
    mostly_left = int(np.count_nonzero(counted & (2 * left[1:] > voxels[1:])))
    sizes, number = volumes[counted], int(np.count_nonzero(counted))
    return Lesions(
        count=number,
        right=None if border is None else number - mostly_left,
        left=None if border is None else mostly_left,
        smaller=count - number,
        volume_ml=float(sizes.sum()),
        median_ml=float(np.median(sizes)) if number else None,
        largest_ml=float(sizes.max()) if number else None,
    )


def _box(masks: Sequence[Labels]) -> tuple[slice, slice, slice] | None:
    """The slices, rows and columns of the box around all diseased voxels; None without any."""
    by_row = np.array([(mask >= _FROM).any(axis=1) for mask in masks])
    if not by_row.any():
        return None
    by_column = np.array([(mask >= _FROM).any(axis=0) for mask in masks])
    return extent(by_row.any(axis=1)), extent(by_row.any(axis=0)), extent(by_column.any(axis=0))
