"""The measures of a scan: volumes in millilitres, and the share of the lung that is diseased."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ctseg import flags
from ctseg.classes import CLASSES, LESION, LUNG, Labels
from ctseg.spacing import Spacing

# Total lung capacity of adults lies between about 3 and 8 L; a CT at rest or of a child, less.
PLAUSIBLE_LUNG_ML = (800.0, 10_000.0)
# Volumes from slices that are farther apart than this are rough.
FAR_APART_MM = 15.0
# A lung that fills more of the first or last slice than this share of its largest slice was cut off there.
_CUT_OFF_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class Measures:
    """Pixels and volumes by class. Volumes are None without a spacing, involvement (per cent) without lung."""

    pixels: Mapping[str, int]
    volumes_ml: Mapping[str, float] | None
    lung_ml: float | None
    involvement_percent: float | None


def count_pixels(labels: Labels) -> tuple[int, ...]:
    """Pixels of each class, in the order of the classes."""
    lung = [int(np.count_nonzero(labels == c.index)) for c in LUNG]
    return labels.size - sum(lung), *lung


def voxel_ml(spacing: Spacing) -> float:
    """The volume of a voxel in millilitres."""
    z, y, x = spacing
    return z * y * x / 1000


def involvement(pixels: Sequence[float]) -> float | None:
    """The share of the lung that is diseased, in per cent, from the pixels of each class; None without lung."""
    lung, lesion = (sum(pixels[c.index] for c in classes) for classes in (LUNG, LESION))
    return percent(lesion, lung)


def percent(part: float, whole: float) -> float | None:
    """A part in per cent of the whole, at most 100, which rounding alone could exceed; None without a whole."""
    return min(100.0, 100 * part / whole) if whole else None


def measure(pixels: Sequence[int], spacing: Spacing | None, voxels: Sequence[float] | None = None) -> Measures:
    """Measures from the number of pixels of each class; the background gets no volume.

    `voxels`: the same numbers weighted by slice, if the slices of the Scan have weights.
    """
    voxels = pixels if voxels is None else voxels
    lung = sum(voxels[c.index] for c in LUNG)
    ml = None if spacing is None else voxel_ml(spacing)
    return Measures(
        pixels={c.name: pixels[c.index] for c in CLASSES},
        volumes_ml=None if ml is None else {c.name: voxels[c.index] * ml for c in LUNG},
        lung_ml=None if ml is None else lung * ml,
        involvement_percent=involvement(voxels),
    )


def doubts(measures: Measures, first: int, largest: int, last: int) -> tuple[str, ...]:
    """The flags of a stack's volumes, from the lung pixels of its first slice, its largest and its last."""
    found = []
    if measures.lung_ml is not None:
        low, high = PLAUSIBLE_LUNG_ML
        if not low <= measures.lung_ml <= high:
            found.append(flags.IMPLAUSIBLE_LUNG)
    if first > _CUT_OFF_SHARE * largest:
        found.append(flags.CUT_OFF_AT_FIRST)
    if last > _CUT_OFF_SHARE * largest:
        found.append(flags.CUT_OFF_AT_LAST)
    return tuple(found)
