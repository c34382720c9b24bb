"""The planes of a series: where its slices lie along their normal, how far apart, and how much room each has."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ctseg.reading.dicom_positions import APART_MM, Offsets
from ctseg.spacing import are_lengths

# How far a slice may be from its place among evenly spaced ones: a tenth of a step, or what rounding to 0.1 mm makes.
_UNEVEN, _ROUNDING_MM = 0.1, 0.11
# If more than this share of the planes is empty, apart from the widest gap, the spacing is mixed: none are missing.
_MOST_EMPTY = 1 / 8


@dataclass(frozen=True, eq=False)
class Planes:
    """The places of slices from the feet up, in mm along their normal; one with several slices counts once.

    `offsets` are those of all slices. `even`: the number of each place's plane, from 0 up, and the step between planes;
    None if they are uneven, or for a single place. `step_mm`: the distance of slices, if uneven the mean without
    strays; None for a single place or an absurd step.
    """

    offsets: Offsets
    places: Offsets
    even: tuple[npt.NDArray[np.int64], float] | None
    step_mm: float | None

    @property
    def are_repeated(self) -> bool:
        """Whether several slices lie at one place."""
        return len(self.places) < len(self.offsets)

    def room(self) -> Offsets:
        """How many steps each slice stands for: half the way to its neighbour on either side (Cavalieri's rule).

        Slices at one place share its steps. The first and the last place reach as far outwards as inwards.
        """
        if len(self.places) == 1:  # as of a perfusion scan: together they are one slice
            return np.full(len(self.offsets), 1 / len(self.offsets))
        if self.step_mm is None:
            return np.ones(len(self.offsets))
        steps = np.diff(self.even[0] if self.even else self.places / self.step_mm)
        around = np.pad(_bridged(steps), 1, mode="edge")
        at = np.cumsum(_are_apart(self.offsets)) - 1
        room: Offsets = ((around[:-1] + around[1:]) / 2 / np.bincount(at))[at]
        return room


def planes_of(offsets: Offsets) -> Planes:
    """The planes of slices by their ascending offsets, in mm."""
    places = offsets[_are_apart(offsets)]
    if len(places) == 1:
        return Planes(offsets, places, None, None)
    even = _even_planes(places)
    step = round(even[1] if even else float(_bridged(np.diff(places)).mean()), 5)
    return Planes(offsets, places, even, step if are_lengths((step,)) else None)


def _are_apart(offsets: Offsets) -> npt.NDArray[np.bool_]:
    """Which slices begin another place."""
    apart: npt.NDArray[np.bool_] = np.diff(offsets, prepend=-np.inf) > APART_MM
    return apart


def _even_planes(places: Offsets) -> tuple[npt.NDArray[np.int64], float] | None:
    """Fit evenly spaced planes to ascending places: the number of each place's plane, from 0 up, and the step in mm.

    Positions may be rounded, so gaps vary around the step. None if the spacing is uneven or mixed; but a few slices may
    be missing, and one may lie far away.
    """
    gaps = np.diff(places)
    usual = np.quantile(gaps, 0.5, method="lower")
    step = float(gaps[np.rint(gaps / usual) <= 1].mean())
    missing = np.maximum(np.rint(gaps / step), 1).astype(np.int64) - 1
    planes = np.concatenate([[0], np.cumsum(missing + 1)])
    if missing.sum() - missing.max() > _MOST_EMPTY * (planes[-1] + 1):
        return None
    # The mean step suffers from rounding on either side of a gap; the step from end to end suffers from it only once,
    # but much from a slice that lies astray.
    end_to_end = float(places[-1] - places[0]) / int(planes[-1])
    for even, rounding in ((step, _ROUNDING_MM * (2 if missing.any() else 1)), (end_to_end, _ROUNDING_MM)):
        if np.abs(places - places[0] - planes * even).max() <= max(_UNEVEN * even, rounding):
            return planes, even
    return None


def _bridged(gaps: npt.NDArray[Any]) -> Offsets:
    """Gaps, the first and the last no wider than any other: they may lead to a slice that lies astray."""
    bridged = gaps.astype(float)
    bridged[[0, -1]] = np.minimum(bridged[[0, -1]], bridged[1:-1].max(initial=bridged.min()))
    return bridged
