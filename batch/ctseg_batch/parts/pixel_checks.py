"""Cheap checks of the pixels of each slice: do they look like CT at all?"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ctseg import flags
from ctseg.field_of_view import is_round
from ctseg.scan import Slice

# No slice of the data sets that the model learnt from has fewer than 177 grey values; of a label map of all organs of
# the chest, few slices have more than these.
_MOST_LABELS = 32
# A slice outside the patient may have as few, and there are some at the ends of a scan.
_SHARE = 0.25
# Rows and columns that are looked at first.
_GLANCE = 64
# Metal is below 31,000 HU even on scanners that tell it apart, and few pixels show any. More than this share of pixels
# above are no HU, as where signed numbers are said to be unsigned, which makes 64,536 of air.
_DENSEST_HU, _FEW = 31_000, 0.01


@dataclass(frozen=True, slots=True)
class PixelCheck:
    """Whether a slice has as few grey values as a label map, only a single one, colours, or numbers that are no HU.

    `is_round`: it is filled up with one value around a circle.
    """

    is_sparse: bool
    is_empty: bool
    is_coloured: bool
    is_not_hu: bool
    is_round: bool


def look_at(source: Slice) -> PixelCheck:
    """Check a slice at a sample of its pixels, and at all where these have few values. HU are not labels."""
    rows, columns = (-(-length // _GLANCE) for length in source.pixels.shape)
    seen, is_hu = source.pixels[::rows, ::columns], source.domain == "hu"
    is_doubtful_grey = source.is_domain_guessed and source.window is None
    is_not_hu = bool((seen > _DENSEST_HU).mean() > _FEW) if is_hu else is_doubtful_grey
    values = _MOST_LABELS + 1 if is_hu or _values(seen) > _MOST_LABELS else _values(source.pixels)
    return PixelCheck(values <= _MOST_LABELS, values == 1, source.is_coloured, is_not_hu, is_round(source.pixels))


def doubts_of(looks: Collection[PixelCheck]) -> tuple[str, ...]:
    """The flags that the checks of a part's slices give."""
    filled = [look for look in looks if not look.is_empty]
    sparse = sum(look.is_sparse for look in filled)
    doubts = {
        flags.NOT_HU: any(look.is_not_hu for look in looks),
        flags.LABEL_MAP: sparse > 0 and sparse >= _SHARE * len(filled),
        flags.COLOURED: any(look.is_coloured for look in looks),
    }
    return tuple(flag for flag, holds in doubts.items() if holds)


def _values(pixels: npt.NDArray[Any]) -> int:
    """The number of different grey values."""
    return int(np.count_nonzero(np.bincount(pixels.ravel())))
