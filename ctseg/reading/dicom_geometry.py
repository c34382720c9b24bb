"""The slices of a series in anatomical order, how far apart they lie, and what is doubtful about it."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ctseg import flags
from ctseg.reading.dicom_header import SliceHeader, normal_of
from ctseg.reading.dicom_places import APART_MM, Offsets, with_all_positions, without_shams
from ctseg.reading.dicom_values import Numbers
from ctseg.reading.name_order import as_counted
from ctseg.scan import Lengths, are_lengths

# How far a slice may lie from its place among even ones: a tenth of a step, or what rounding to 0.1 mm makes of it.
_UNEVEN, _ROUNDING_MM = 0.1, 0.11
# Where more planes than this share are empty, the widest gap left aside, none are missing: the spacing is mixed.
_MOST_EMPTY = 1 / 8
# The cosine of one degree.
_PARALLEL = 0.99985
# By how much sizes of pixels that are the same differ, relatively: by the digits that were written.
_SAME_SIZE = 1e-4

_AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


@dataclass(frozen=True, slots=True)
class Stack:
    """Slices from the feet up, with lengths, weights and flags as in `Scan`."""

    slices: tuple[SliceHeader, ...]
    lengths_mm: Lengths
    weights: tuple[float, ...] | None
    flags: tuple[str, ...]


def stack(slices: Sequence[SliceHeader]) -> Stack:
    """Put the slices of one series in order.

    By ImagePositionPatient along the normal of ImageOrientationPatient; by SliceLocation where a slice has no
    position; by InstanceNumber where one has neither, from the head down as most scanners count. Then nothing is known
    of the distance between slices. Where others have positions, a slice without one gets it from them.
    """
    slices, worked_out = with_all_positions(without_shams(slices))
    offsets, doubts = offsets_of(slices)
    doubts += worked_out
    if offsets is None:
        is_numbered = all(s.number is not None for s in slices)
        doubts = [flags.BY_NUMBER if is_numbered else flags.BY_NAME]
        ordered = tuple(sorted(slices, key=_tie_break, reverse=True) if is_numbered else sorted(slices, key=_by_name))
    else:
        by_offset = sorted(zip(offsets, slices, strict=True), key=lambda pair: (pair[0], _tie_break(pair[1])))
        ordered = tuple(found for _, found in by_offset)
        offsets = np.sort(offsets)
        doubts += [*_doubts_of_places(offsets), *_doubts_of_direction(ordered)]
    weights = _weights(ordered, offsets)
    return Stack(ordered, _lengths(ordered, offsets), weights, (*doubts, *_doubts_of_mixture(ordered)))


def even_planes(places: Offsets) -> tuple[npt.NDArray[np.int64], float] | None:
    """Which plane of a block with even steps each of several places is, from 0 up, and the step in mm.

    A step is what they have in common: positions that were rounded differ from each other by more or less than that.
    None where they are unevenly spaced, or in several ways; but a few slices may be missing, or one lie far away.
    """
    gaps = np.diff(places)
    usual = np.quantile(gaps, 0.5, method="lower")
    step = float(gaps[np.rint(gaps / usual) <= 1].mean())
    missing = np.maximum(np.rint(gaps / step), 1).astype(np.int64) - 1
    planes = np.concatenate([[0], np.cumsum(missing + 1)])
    if missing.sum() - missing.max() > _MOST_EMPTY * (planes[-1] + 1):
        return None
    # By steps from slice to slice, rounding counts on either side of a gap; from end to end it counts once, but a slice
    # that lies astray counts much.
    end_to_end = float(places[-1] - places[0]) / int(planes[-1])
    for even, rounding in ((step, _ROUNDING_MM * (2 if missing.any() else 1)), (end_to_end, _ROUNDING_MM)):
        if np.abs(places - places[0] - planes * even).max() <= max(_UNEVEN * even, rounding):
            return planes, even
    return None


def places_of(offsets: Offsets) -> Offsets:
    """Where there are slices, from the feet up: places at which several lie count once."""
    return offsets[np.diff(offsets, prepend=-np.inf) > APART_MM]


def most_at_one_place(slices: Sequence[SliceHeader]) -> int:
    """How many slices lie at the place where most do."""
    offsets, _ = offsets_of(slices)
    return 1 if offsets is None else max(Counter(np.round(offsets / APART_MM).tolist()).values())


def _tie_break(found: SliceHeader) -> tuple[bool, int, Path]:
    """The order of slices that say nothing of their place, or the same."""
    return found.number is None, found.number or 0, found.file


def _by_name(found: SliceHeader) -> tuple[Any, Path]:
    return as_counted(found.file.name), found.file


def offsets_of(slices: Sequence[SliceHeader]) -> tuple[Offsets | None, list[str]]:
    """How far towards the head each slice lies, in mm, and what is doubtful about that; None where it is not known."""
    positions = [s.position for s in slices if s.position is not None]
    if len(positions) == len(slices):
        return np.array(positions) @ _normal(slices), []
    locations = [s.location for s in slices if s.location is not None]
    if len(locations) == len(slices):
        return np.array(locations), [flags.BY_LOCATION]
    return None, []


def orientation_of(slices: Sequence[SliceHeader]) -> Numbers:
    """That of the first slice that says; axial where none does."""
    return next((s.orientation for s in slices if s.orientation is not None), _AXIAL)


def _normal(slices: Sequence[SliceHeader]) -> Offsets:
    return np.array(normal_of(orientation_of(slices)))


def _lengths(ordered: Sequence[SliceHeader], offsets: Offsets | None) -> Lengths:
    """From positions: SliceThickness counts only where a slice is alone."""
    between = ordered[0].thickness if len(ordered) == 1 else None if offsets is None else _step(offsets)
    if between is not None and not are_lengths((between,)):
        between = None
    rows, columns = _usual_pixels(ordered) or (None, None)
    return between, rows, columns


def _step(offsets: Offsets) -> float | None:
    """From slice to slice in mm, the mean of uneven steps but for strays; None for one place, and for absurd steps."""
    places = places_of(offsets)
    if len(places) == 1:
        return None
    even = even_planes(places)
    step = round(even[1] if even else float(_bridged(np.diff(places)).mean()), 5)
    return step if are_lengths((step,)) else None


def has_mixed_pixels(slices: Sequence[SliceHeader]) -> bool:
    """Whether PixelSpacing differs, or some slices lack it."""
    known = [s.pixel_spacing for s in slices if s.pixel_spacing is not None]
    return len(known) not in (0, len(slices)) or not np.allclose(known, known[:1], rtol=_SAME_SIZE, atol=0)


def _usual_pixels(slices: Sequence[SliceHeader]) -> Numbers | None:
    """The PixelSpacing of most slices; None where they do not say."""
    usual = Counter(s.pixel_spacing for s in slices).most_common(1)[0][0]
    return usual if usual and are_lengths(usual) else None


def _weights(ordered: Sequence[SliceHeader], offsets: Offsets | None) -> tuple[float, ...] | None:
    """By the room between slices and by the size of pixels; None where all are alike."""
    weights = np.ones(len(ordered)) if offsets is None else _room(offsets)
    usual = _usual_pixels(ordered)
    if usual is not None and has_mixed_pixels(ordered):
        pixels = [s.pixel_spacing if s.pixel_spacing and are_lengths(s.pixel_spacing) else usual for s in ordered]
        weights = weights * (np.prod(pixels, axis=1) / np.prod(usual))
    return None if (weights == 1).all() else tuple(weights.tolist())


def _room(offsets: Offsets) -> Offsets:
    """How many steps each slice stands for: half the way to the next one on either side, as by Cavalieri's rule.

    Slices at one place share its room. The first and the last place reach as far outwards as inwards.
    """
    places, step = places_of(offsets), _step(offsets)
    if step is None:
        return np.ones(len(offsets))
    even = even_planes(places)
    around = np.pad(_bridged(np.diff(even[0] if even else places / step)), 1, mode="edge")
    at = np.cumsum(np.diff(offsets, prepend=-np.inf) > APART_MM) - 1
    room: Offsets = ((around[:-1] + around[1:]) / 2 / np.bincount(at))[at]
    return room


def _bridged(gaps: npt.NDArray[Any]) -> Offsets:
    """The same, the first and the last no wider than others are: a slice that lies astray bridges nothing."""
    bridged = gaps.astype(float)
    bridged[[0, -1]] = np.minimum(bridged[[0, -1]], bridged[1:-1].max(initial=bridged.min()))
    return bridged


def _doubts_of_places(offsets: Offsets) -> Iterable[str]:
    places = places_of(offsets)
    if len(places) < len(offsets):
        yield flags.DUPLICATE_POSITIONS
    if len(places) == 1:
        return
    even = even_planes(places)
    if even is None:
        yield flags.UNEVEN_SPACING
    elif even[0][-1] >= len(places):
        yield flags.GAP


def _doubts_of_direction(ordered: Sequence[SliceHeader]) -> Iterable[str]:
    known = [s.orientation for s in ordered if s.orientation is not None]
    normals, ways = np.array([normal_of(one) for one in known]), np.array(known).reshape(-1, 2, 3)
    ways /= np.linalg.norm(ways, axis=2, keepdims=True)
    # Those along rows and down columns: slices may lie in one plane, and be turned or mirrored in it.
    is_mixed = len(ways) and (ways * ways[0]).sum(axis=2).min() < _PARALLEL
    if is_mixed:
        yield flags.MIXED_ORIENTATIONS
    if len(normals) and np.abs(normals).max(axis=1).min() < _PARALLEL:
        yield flags.OBLIQUE
    first, last = ordered[0].position, ordered[-1].position
    if first is None or last is None or is_mixed:
        return  # corners of slices that are turned lie askew without a tilt
    along = np.subtract(last, first)
    if abs(along @ _normal(ordered)) < _PARALLEL * np.linalg.norm(along):
        yield flags.GANTRY_TILT


def _doubts_of_mixture(slices: Sequence[SliceHeader]) -> Iterable[str]:
    if len({s.pixels.shape for s in slices}) > 1:
        yield flags.MIXED_SIZES
    if has_mixed_pixels(slices):
        yield flags.MIXED_PIXEL_SPACING
    if not all(s.pixels.rescale.leads_to_hu for s in slices):
        yield flags.NOT_HU
    if any(s.is_computed for s in slices):
        yield flags.COMPUTED
