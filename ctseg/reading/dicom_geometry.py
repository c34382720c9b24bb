"""The slices of a series in anatomical order, how far apart they lie, and what is doubtful about it."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ctseg.reading.dicom_header import SliceHeader, normal_of
from ctseg.scan import NOT_HU, Spacing

# Gaps may differ by a tenth, or by what rounding positions to 0.1 mm does to them.
_UNEVEN, _ROUNDING_MM = 0.1, 0.11
_SAME_PLACE_MM = 0.01
# No two slices of a scan lie closer, but those of another time may not lie exactly where the first did.
_APART_MM = 0.1
_LARGEST_STEP_MM = 1000
# The cosine of one degree.
_PARALLEL = 0.99985

_AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)

Offsets = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Stack:
    """Slices from the feet up, their spacing where it is known, and flags as in `Scan`."""

    slices: tuple[SliceHeader, ...]
    spacing_mm: Spacing | None
    flags: tuple[str, ...]


def stack(slices: Sequence[SliceHeader]) -> Stack:
    """Put the slices of one series in order.

    By ImagePositionPatient along the normal of ImageOrientationPatient; by SliceLocation where a slice has no
    position; by InstanceNumber where one has neither, and then nothing is known of the distance between slices.
    """
    offsets, doubts = _offsets(slices)
    if offsets is None:
        ordered = tuple(sorted(slices, key=_tie_break))
    else:
        by_offset = sorted(zip(offsets, slices, strict=True), key=lambda pair: (pair[0], _tie_break(pair[1])))
        ordered = tuple(found for _, found in by_offset)
        doubts += [*_doubts_of_gaps(np.sort(offsets)), *_doubts_of_direction(ordered)]
    return Stack(ordered, _spacing(ordered, offsets), (*doubts, *_doubts_of_mixture(ordered)))


def most_at_one_place(slices: Sequence[SliceHeader]) -> int:
    """How many slices lie at the place where most do."""
    offsets, _ = _offsets(slices)
    return 1 if offsets is None else max(Counter(np.round(offsets / _APART_MM).tolist()).values())


def _tie_break(found: SliceHeader) -> tuple[bool, int, Path]:
    """The order of slices that say nothing of their place, or the same."""
    return found.number is None, found.number or 0, found.file


def _offsets(slices: Sequence[SliceHeader]) -> tuple[Offsets | None, list[str]]:
    """How far towards the head each slice lies, in mm, and what is doubtful about that."""
    positions = [s.position for s in slices if s.position is not None]
    if len(positions) == len(slices):
        return np.array(positions) @ _normal(slices), []
    locations = [s.location for s in slices if s.location is not None]
    if len(locations) == len(slices):
        return np.array(locations), ["order by SliceLocation"]
    is_numbered = all(s.number is not None for s in slices)
    return None, ["order by InstanceNumber" if is_numbered else "order by file name"]


def _normal(slices: Sequence[SliceHeader]) -> Offsets:
    orientation = next((s.orientation for s in slices if s.orientation is not None), _AXIAL)
    return np.array(normal_of(orientation))


def _spacing(ordered: Sequence[SliceHeader], offsets: Offsets | None) -> Spacing | None:
    """From positions: SliceThickness counts only where a slice is alone."""
    gaps = _gaps(np.sort(offsets)) if offsets is not None else np.empty(0)
    between = round(float(np.median(gaps)), 5) if len(gaps) else None
    if len(ordered) == 1:
        between = ordered[0].thickness
    within = Counter(s.pixel_spacing for s in ordered).most_common(1)[0][0]
    if between is None or within is None or not all(0 < step < _LARGEST_STEP_MM for step in (between, *within)):
        return None
    return between, within[0], within[1]


def _gaps(offsets: Offsets) -> Offsets:
    """The steps between slices that do not lie at the same place."""
    gaps = np.diff(offsets)
    return gaps[gaps > _SAME_PLACE_MM]


def _doubts_of_gaps(offsets: Offsets) -> Iterable[str]:
    gaps = _gaps(offsets)
    if len(gaps) < len(offsets) - 1:
        yield "duplicate positions"
    if len(gaps) and np.abs(gaps - np.median(gaps)).max() > max(_UNEVEN * np.median(gaps), _ROUNDING_MM):
        yield "gap"


def _doubts_of_direction(ordered: Sequence[SliceHeader]) -> Iterable[str]:
    normals = np.array([normal_of(s.orientation) for s in ordered if s.orientation is not None])
    if len(normals) and (normals @ normals[0]).min() < _PARALLEL:
        yield "mixed orientations"
    if len(normals) and np.abs(normals).max(axis=1).min() < _PARALLEL:
        yield "oblique"
    first, last = ordered[0].position, ordered[-1].position
    if first is None or last is None:
        return
    along = np.subtract(last, first)
    if along @ _normal(ordered) < _PARALLEL * np.linalg.norm(along):
        yield "gantry tilt"


def _doubts_of_mixture(slices: Sequence[SliceHeader]) -> Iterable[str]:
    if len({s.pixels.shape for s in slices}) > 1:
        yield "mixed sizes"
    if len({s.pixel_spacing for s in slices}) > 1:
        yield "mixed pixel spacing"
    if not all(s.pixels.rescale.leads_to_hu for s in slices):
        yield NOT_HU
