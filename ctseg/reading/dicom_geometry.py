"""The slices of a series in anatomical order, their spacing, and what is doubtful about it."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ctseg import flags
from ctseg.reading.dicom_header import SliceHeader, normal_of
from ctseg.reading.dicom_positions import APART_MM, Offsets, with_all_positions, without_shams
from ctseg.reading.dicom_values import Numbers
from ctseg.reading.name_order import as_counted
from ctseg.spacing import Lengths, are_lengths

# How far a slice may be from its place among evenly spaced ones: a tenth of a step, or what rounding to 0.1 mm makes.
_UNEVEN, _ROUNDING_MM = 0.1, 0.11
# If more than this share of the planes is empty, apart from the widest gap, the spacing is mixed: none are missing.
_MOST_EMPTY = 1 / 8
# The cosine of one degree.
_PARALLEL = 0.99985
# The relative difference of pixel sizes that are the same but for the digits that were written.
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

    By ImagePositionPatient along the normal of ImageOrientationPatient. A slice without a position gets one from the
    others, if possible; else all are ordered by SliceLocation. If that is missing too, the distance between slices is
    unknown, and they are ordered by InstanceNumber, from the head down as most scanners count, or else by file name.
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
    if all(s.orientation is None for s in ordered):
        doubts.append(flags.UNKNOWN_ORIENTATION)
    weights = _weights(ordered, offsets)
    return Stack(ordered, _lengths(ordered, offsets), weights, (*doubts, *_doubts_of_mixture(ordered)))


def even_planes(places: Offsets) -> tuple[npt.NDArray[np.int64], float] | None:
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


def places_of(offsets: Offsets) -> Offsets:
    """The places of slices from the feet up; a place with several slices counts once."""
    return offsets[np.diff(offsets, prepend=-np.inf) > APART_MM]


def most_at_one_place(slices: Sequence[SliceHeader]) -> int:
    """The largest number of slices at one place."""
    offsets, _ = offsets_of(slices)
    return 1 if offsets is None else max(Counter(np.round(offsets / APART_MM).tolist()).values())


def _tie_break(found: SliceHeader) -> tuple[bool, int, Path]:
    """The order of slices without a place, or at the same place."""
    return found.number is None, found.number or 0, found.file


def _by_name(found: SliceHeader) -> tuple[Any, Path]:
    return as_counted(found.file.name), found.file


def offsets_of(slices: Sequence[SliceHeader]) -> tuple[Offsets | None, list[str]]:
    """How far towards the head each slice lies, in mm, None if unknown; and the flags of that."""
    positions = [s.position for s in slices if s.position is not None]
    if len(positions) == len(slices):
        return np.array(positions) @ _normal(slices), []
    locations = [s.location for s in slices if s.location is not None]
    if len(locations) == len(slices):
        return np.array(locations), [flags.BY_LOCATION]
    return None, []


def orientation_of(slices: Sequence[SliceHeader]) -> Numbers:
    """The orientation of the first slice that has one; axial if none has."""
    return next((s.orientation for s in slices if s.orientation is not None), _AXIAL)


def _normal(slices: Sequence[SliceHeader]) -> Offsets:
    return np.array(normal_of(orientation_of(slices)))


def _lengths(ordered: Sequence[SliceHeader], offsets: Offsets | None) -> Lengths:
    """The spacing as far as it is known, from positions; SliceThickness is used only for a single slice."""
    between = ordered[0].thickness if len(ordered) == 1 else None if offsets is None else _step(offsets)
    if between is not None and not are_lengths((between,)):
        between = None
    rows, columns = _usual_pixels(ordered) or (None, None)
    return between, rows, columns


def _step(offsets: Offsets) -> float | None:
    """The distance of slices in mm, if uneven the mean without strays; None for a single place or an absurd step."""
    places = places_of(offsets)
    if len(places) == 1:
        return None
    even = even_planes(places)
    step = round(even[1] if even else float(_bridged(np.diff(places)).mean()), 5)
    return step if are_lengths((step,)) else None


def has_mixed_pixels(slices: Sequence[SliceHeader]) -> bool:
    """Whether PixelSpacing differs between slices, or some lack it."""
    known = [s.pixel_spacing for s in slices if s.pixel_spacing is not None]
    return len(known) not in (0, len(slices)) or not np.allclose(known, known[:1], rtol=_SAME_SIZE, atol=0)


def _usual_pixels(slices: Sequence[SliceHeader]) -> Numbers | None:
    """The most common PixelSpacing; None if that is to have none, or if it is impossible."""
    usual = Counter(s.pixel_spacing for s in slices).most_common(1)[0][0]
    return usual if usual and are_lengths(usual) else None


def _weights(ordered: Sequence[SliceHeader], offsets: Offsets | None) -> tuple[float, ...] | None:
    """The relative volume of each slice's voxels, by its share of the stack and its pixels; None if all are alike."""
    weights = np.ones(len(ordered)) if offsets is None else _room(offsets)
    usual = _usual_pixels(ordered)
    if usual is not None and has_mixed_pixels(ordered):
        pixels = [s.pixel_spacing if s.pixel_spacing and are_lengths(s.pixel_spacing) else usual for s in ordered]
        weights = weights * (np.prod(pixels, axis=1) / np.prod(usual))
    return None if (weights == 1).all() else tuple(weights.tolist())


def _room(offsets: Offsets) -> Offsets:
    """How many steps each slice stands for: half the way to its neighbour on either side (Cavalieri's rule).

    Slices at one place share its steps. The first and the last place reach as far outwards as inwards.
    """
    places, step = places_of(offsets), _step(offsets)
    if len(places) == 1:  # as of a perfusion scan: together they are one slice
        return np.full(len(offsets), 1 / len(offsets))
    if step is None:
        return np.ones(len(offsets))
    even = even_planes(places)
    around = np.pad(_bridged(np.diff(even[0] if even else places / step)), 1, mode="edge")
    at = np.cumsum(np.diff(offsets, prepend=-np.inf) > APART_MM) - 1
    room: Offsets = ((around[:-1] + around[1:]) / 2 / np.bincount(at))[at]
    return room


def reach(slices: Sequence[SliceHeader]) -> tuple[float, float] | None:
    """From where to where the slices of a series cover the body along their normal, in mm; None if that is unknown.

    As long as its places stand for, around the slice in the middle: one that lies astray moves neither end.
    """
    unordered, _ = offsets_of(slices)
    if unordered is None:
        return None
    offsets = np.sort(unordered)
    step = _step(offsets)
    if step is None:
        return None
    middle, half = float(np.median(offsets)), step * float(_room(offsets).sum()) / 2
    return middle - half, middle + half


def _bridged(gaps: npt.NDArray[Any]) -> Offsets:
    """Gaps, the first and the last no wider than any other: they may lead to a slice that lies astray."""
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
    # Rows and columns are compared, not normals: slices may be turned or mirrored within one plane.
    is_mixed = len(ways) and (ways * ways[0]).sum(axis=2).min() < _PARALLEL
    if is_mixed:
        yield flags.MIXED_ORIENTATIONS
    if len(normals) and np.abs(normals).max(axis=1).min() < _PARALLEL:
        yield flags.OBLIQUE
    first, last = ordered[0].position, ordered[-1].position
    if first is None or last is None or is_mixed:
        return  # the corners of turned slices are shifted even without a tilt
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
