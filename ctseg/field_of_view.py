"""Whether the field of view cuts the lungs off at their sides, as of a scan that was reconstructed for the heart."""

import math
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from ctseg.classes import Labels

NARROWEST_MM = 220.0
"""Both lungs of an adult are wider; in a narrower picture there may be only one."""

NARROW_MM = 300.0
"""In such a picture, as it is made of one lung, a single lung is not known by the half that it lies in."""

# The share of the lungs' outline that lies on the rim. Of whole lungs it is 0 in all slices that the model learnt from;
# where a picture ends between the lungs, so that only their front edges are cut, it is 0.014.
_CUT_SHARE = 0.005
# No scanner fills up a smaller picture.
_SMALLEST_ROUND = 128
# Where a round field ends, pixels may be mixed with what is filled in around it.
_BLURRED_PIXELS = 2


@dataclass(frozen=True, slots=True)
class Rim:
    """Lung pixels of a slice on the rim of its field of view, and about how many its lungs' outline has."""

    lung: int
    outline: float


def is_round(pixels: npt.NDArray[Any]) -> bool:
    """Whether a picture (H, W) is filled up with one value around a circle, as scanners do."""
    height, width = pixels.shape
    if height != width or width < _SMALLEST_ROUND or len({pixels[y, x] for y in (0, -1) for x in (0, -1)}) > 1:
        return False
    return bool((pixels[_circle(width, _BLURRED_PIXELS)] == pixels[0, 0]).all())


def rim_of(labels: Labels, *, is_round: bool) -> Rim:
    """The rim of a slice (H, W): the edges of the picture or, if its field of view `is_round`, the circle within."""
    edges = [labels[0], labels[-1], labels[1:-1, 0], labels[1:-1, -1]]
    if is_round:
        edges.append(labels[_circle(len(labels), -_BLURRED_PIXELS)])
    # Two discs of together that many pixels have such an outline.
    outline = math.sqrt(8 * math.pi * np.count_nonzero(labels))
    return Rim(int(sum(map(np.count_nonzero, edges))), outline)


def is_cut_off(rims: Collection[Rim]) -> bool:
    """Whether the sides of the lungs are cut off, by the rims of all slices of a scan."""
    return sum(rim.lung for rim in rims) > _CUT_SHARE * sum(rim.outline for rim in rims)


@lru_cache(maxsize=8)
def _circle(side: int, beyond: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Rows and columns of about each pixel on a circle, so far beyond the one that fills a square picture."""
    angles = np.linspace(0, 2 * math.pi, round(math.pi * side), endpoint=False)
    points = np.rint((side - 1) / 2 + (side / 2 + beyond) * np.stack([np.sin(angles), np.cos(angles)])).astype(np.intp)
    rows, columns = points[:, ((points >= 0) & (points < side)).all(axis=0)]
    return rows, columns
