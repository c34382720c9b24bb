"""Rules of anatomy that correct the network's labels; their parameters are in the model file."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ctseg.classes import BACKGROUND, Labels
from ctseg.extent import extent


@dataclass(frozen=True, slots=True)
class Cleanup:
    """Which components of lung (the three lung classes together) are too small to be real.

    `slice_fraction`: in a slice, those smaller than this fraction of the frame become background.
    `volume_fraction`: in a scan, those smaller than this fraction of its largest one become background.
    0 turns a rule off.
    """

    slice_fraction: float = 0.0
    volume_fraction: float = 0.0

    def __post_init__(self) -> None:
        """Raise ValueError for invalid fractions, which may come from a model file."""
        for name in ("slice_fraction", "volume_fraction"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, not a fraction below 1")


# 3-D components are found on a grid that is 4 times coarser in-plane: lungs are large, and it is 16 times cheaper.
_COARSE = 4


def clean_slice(labels: Labels, rules: Cleanup) -> Labels:
    """The mask (H, W) without lung components below `slice_fraction`; a component's holes count towards its size."""
    if not rules.slice_fraction:
        return labels
    # Finding outlines is many times faster than labelling components, and there are few.
    lung = (labels > 0).view(np.uint8)
    outlines, nesting = cv2.findContours(lung, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    if not outlines:
        return labels
    smallest = rules.slice_fraction * labels.size
    small = [
        outline
        for outline, (_, _, _, parent) in zip(outlines, nesting[0], strict=True)
        if parent < 0 and _pixels_within(outline) < smallest
    ]
    if not small:
        return labels
    cleaned = labels.copy()
    for outline in small:  # one by one: drawn together, one inside another would be kept
        cv2.drawContours(cleaned, [outline], -1, BACKGROUND.index, cv2.FILLED)
    return cleaned


def _pixels_within(outline: npt.NDArray[Any]) -> float:
    """How many pixels an outline (points, 1, 2) encloses, itself included: Pick's theorem."""
    steps = len(outline) if len(outline) > 1 else 0
    return cv2.contourArea(outline) + steps / 2 + 1


def clean_volume(masks: Sequence[Labels], rules: Cleanup) -> Sequence[Labels]:
    """The masks (H, W) of a scan without 3-D lung components below `volume_fraction` of the largest one.

    They must be of one size and lie one on the other. Works in place and returns `masks`.
    """
    if not rules.volume_fraction or not len(masks):
        return masks
    from scipy import ndimage  # takes longer to load than all else that a command's help needs

    coarse = np.stack([_any_of_blocks(mask) for mask in masks])
    # Only the box around all lung: finding components is slow, and much of a slice is background.
    box = (slice(None), extent(coarse.any(axis=(0, 2))), extent(coarse.any(axis=(0, 1))))
    components, count = ndimage.label(coarse[box], structure=np.ones((3, 3, 3), bool))
    if count < 2:
        return masks
    sizes = np.bincount(components.ravel(), minlength=count + 1)
    sizes[0] = 0
    small = sizes < rules.volume_fraction * sizes.max()
    small[0] = False
    if not small.any():
        return masks
    coarse[:] = False
    coarse[box] = small[components]
    for mask, drop in zip(masks, coarse, strict=True):
        if drop.any():
            fine = drop.repeat(_COARSE, 0).repeat(_COARSE, 1)[: mask.shape[0], : mask.shape[1]]
            mask[fine] = BACKGROUND.index
    return masks


def _any_of_blocks(labels: Labels) -> npt.NDArray[np.bool_]:
    """Whether any pixel of each block of a mask (H, W) is lung: (ceil(H / 4), ceil(W / 4))."""
    height, width = labels.shape
    if height % _COARSE or width % _COARSE:
        labels = np.pad(labels, ((0, -height % _COARSE), (0, -width % _COARSE)))
    # Four adjacent labels of a row, seen as one 32-bit number, are all 0 if that is.
    fours = np.ascontiguousarray(labels).view(np.uint32)
    rows = fours[0::4] | fours[1::4]
    rows |= fours[2::4]
    rows |= fours[3::4]
    coarse: npt.NDArray[np.bool_] = rows != 0
    return coarse
