"""Repair positions that are missing, or the same in all slices."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ctseg import flags
from ctseg.reading.dicom_header import SliceHeader

Offsets = npt.NDArray[np.float64]

APART_MM = 0.1
"""Slices closer than this are at the same place: repeated in time, they may differ by a little."""

# A line is fitted to the known positions; none of them may be farther from it than this.
_ASTRAY_MM = 1.0
_LARGEST_NUMBER = 1e6  # of a slice; arithmetic with any would overflow


def without_shams(slices: Sequence[SliceHeader]) -> Sequence[SliceHeader]:
    """The slices, without their position if all have the same and it is a sham, from a converter or an anonymiser.

    It is a sham if SliceLocation differs; or, if position and location are 0, InstanceNumber, and then the location is
    dropped too. Any other place may have been scanned several times.
    """
    (position, *others) = {s.position for s in slices}
    if others:
        return slices
    locations = [s.location for s in slices if s.location is not None]
    if len(locations) == len(slices) and np.ptp(locations) > APART_MM:
        return [replace(s, position=None) for s in slices]
    if not any(position or locations) and len({s.number for s in slices}) > 1:
        return [replace(s, position=None, location=None) for s in slices]
    return slices


def with_all_positions(slices: Sequence[SliceHeader]) -> tuple[Sequence[SliceHeader], list[str]]:
    """The slices with missing positions fitted to the others by SliceLocation or InstanceNumber, if possible."""
    known = [s for s in slices if s.position is not None]
    if len(known) < 2 or len(known) == len(slices):
        return slices, []
    for flag, told in (
        (flags.BY_LOCATION, [s.location for s in slices]),
        (flags.BY_NUMBER, [s.number for s in slices]),
    ):
        if None not in told and (line := _line(slices, np.array(told, float))) is not None:
            positions = [tuple(position) for position in line.tolist()]
            return [
                one if one.position is not None else replace(one, position=position)
                for one, position in zip(slices, positions, strict=True)
            ], [flag]
    return slices, []


def _line(slices: Sequence[SliceHeader], told: Offsets) -> Offsets | None:
    """The position of each slice, in mm, on a line through the known ones; None if those are on none or equal."""
    is_known = np.array([s.position is not None for s in slices])
    positions = np.array([s.position for s in slices if s.position is not None])
    if np.abs(told).max() > _LARGEST_NUMBER or np.ptp(told[is_known]) == 0:
        return None
    if np.ptp(positions, axis=0).max() <= APART_MM:
        return None
    rise = np.column_stack([told - told[is_known].mean(), np.ones(len(told))])
    line: Offsets = rise @ np.linalg.lstsq(rise[is_known], positions, rcond=None)[0]
    return line if np.abs(line[is_known] - positions).max() <= _ASTRAY_MM else None
