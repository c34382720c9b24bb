"""Rules that correct the network's labels by what is known of anatomy; named in the model file."""

from dataclasses import dataclass

import cv2
import numpy as np
from scipy import ndimage

from ctseg.classes import BACKGROUND
from ctseg.scan import Labels


@dataclass(frozen=True, slots=True)
class Cleanup:
    """Which components of lung (the three lung classes together) are too small to be real.

    `slice_fraction`: in a slice, those smaller than this fraction of the frame become background.
    `volume_fraction`: in a scan, those smaller than this fraction of its largest one become background.
    0 leaves a rule out.
    """

    slice_fraction: float = 0.0
    volume_fraction: float = 0.0

    def __post_init__(self) -> None:
        """Refuse fractions that are none: the values may come from a model file."""
        for name in ("slice_fraction", "volume_fraction"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, not a fraction below 1")


# 3-D components are found on a grid so much coarser in-plane: lungs are large, and it is 16 times cheaper.
_COARSE = 4


def clean_slice(labels: Labels, rules: Cleanup) -> Labels:
    """The mask (H, W) without the lung components that `slice_fraction` calls too small."""
    if not rules.slice_fraction:
        return labels
    count, components, stats, _ = cv2.connectedComponentsWithStats((labels > 0).astype(np.uint8), connectivity=8)
    small = stats[:, cv2.CC_STAT_AREA] < rules.slice_fraction * labels.size
    small[0] = False
    if count == 1 or not small.any():
        return labels
    return np.where(small[components], np.uint8(BACKGROUND.index), labels)


def clean_volume(labels: Labels, rules: Cleanup) -> Labels:
    """The masks of a scan (slices, H, W) without the lung components that `volume_fraction` calls too small.

    Works in place and returns `labels`.
    """
    if not rules.volume_fraction or not labels.any():
        return labels
    coarse = _any_of_blocks(labels)
    components, count = ndimage.label(coarse, structure=np.ones((3, 3, 3), bool))
    sizes = np.bincount(components.ravel(), minlength=count + 1)
    sizes[0] = 0
    small = sizes < rules.volume_fraction * sizes.max()
    small[0] = False
    for plane, drop in zip(labels, small[components], strict=True):
        if drop.any():
            fine = drop.repeat(_COARSE, 0).repeat(_COARSE, 1)[: plane.shape[0], : plane.shape[1]]
            plane[fine] = BACKGROUND.index
    return labels


def _any_of_blocks(labels: Labels) -> np.ndarray[tuple[int, int, int], np.dtype[np.bool_]]:
    """Whether any voxel of each in-plane block is lung: (slices, ceil(H / 4), ceil(W / 4))."""
    slices, height, width = labels.shape
    rows, columns = -(-height // _COARSE), -(-width // _COARSE)
    coarse = np.zeros((slices, rows, columns), bool)
    for row in range(_COARSE):
        for column in range(_COARSE):
            part = labels[:, row::_COARSE, column::_COARSE] > 0
            coarse[:, : part.shape[1], : part.shape[2]] |= part
    return coarse
