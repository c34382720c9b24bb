"""The slices of a series in anatomical order, their spacing, and what is doubtful about it."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from ctseg import flags
from ctseg.reading.dicom_header import SliceHeader, normal_of, patients_of, turn_of
from ctseg.reading.dicom_planes import Planes, planes_of
from ctseg.reading.dicom_positions import APART_MM, Offsets, with_all_positions, without_shams
from ctseg.reading.dicom_values import Numbers
from ctseg.reading.name_order import as_counted
from ctseg.spacing import Lengths, are_lengths

# The cosine of one degree.
_PARALLEL = 0.99985
# The tangent of one degree.
_TILT = 0.0175
# How far from the line between the first and the last a slice may lie, in mm: rounding makes less.
_ASIDE_MM = 1.0
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
    planes = None
    if offsets is None:
        is_numbered = all(s.number is not None for s in slices)
        doubts = [flags.BY_NUMBER if is_numbered else flags.BY_NAME]
        ordered = tuple(sorted(slices, key=_tie_break, reverse=True) if is_numbered else sorted(slices, key=_by_name))
    else:
        by_offset = sorted(zip(offsets, slices, strict=True), key=lambda pair: (pair[0], _tie_break(pair[1])))
        ordered = tuple(found for _, found in by_offset)
        planes = planes_of(np.sort(offsets))
        doubts += [*_doubts_of_places(planes), *_doubts_of_direction(ordered)]
    if _is_orientation_unknown(ordered):
        doubts.append(flags.UNKNOWN_ORIENTATION)
    weights = _weights(ordered, planes)
    mixed = [*_doubts_of_origin(ordered), *_doubts_of_mixture(ordered)]
    return Stack(ordered, _lengths(ordered, planes), weights, (*doubts, *mixed))


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


def _lengths(ordered: Sequence[SliceHeader], planes: Planes | None) -> Lengths:
    """The spacing as far as it is known, from positions; SliceThickness is used only for a single slice."""
    between = ordered[0].thickness if len(ordered) == 1 else planes.step_mm if planes else None
    if between is not None and not are_lengths((between,)):
        between = None
    rows, columns = _usual_pixels(ordered) or (None, None)
    return between, rows, columns


def has_mixed_pixels(slices: Sequence[SliceHeader]) -> bool:
    """Whether PixelSpacing differs between slices, or some lack it."""
    known = [s.pixel_spacing for s in slices if s.pixel_spacing is not None]
    return len(known) not in (0, len(slices)) or not np.allclose(known, known[:1], rtol=_SAME_SIZE, atol=0)


def _usual_pixels(slices: Sequence[SliceHeader]) -> Numbers | None:
    """The most common PixelSpacing; None if that is to have none, or if it is impossible."""
    usual = Counter(s.pixel_spacing for s in slices).most_common(1)[0][0]
    return usual if usual and are_lengths(usual) else None


def _weights(ordered: Sequence[SliceHeader], planes: Planes | None) -> tuple[float, ...] | None:
    """The relative volume of each slice's voxels, by its share of the stack and its pixels; None if all are alike."""
    weights = planes.room() if planes else np.ones(len(ordered))
    usual = _usual_pixels(ordered)
    if usual is not None and has_mixed_pixels(ordered):
        pixels = [s.pixel_spacing if s.pixel_spacing and are_lengths(s.pixel_spacing) else usual for s in ordered]
        weights = weights * (np.prod(pixels, axis=1) / np.prod(usual))
    return None if (weights == 1).all() else tuple(weights.tolist())


def reach(slices: Sequence[SliceHeader]) -> tuple[float, float] | None:
    """From where to where the slices of a series cover the body along their normal, in mm; None if that is unknown.

    As long as its places stand for, around the slice in the middle: one that lies astray moves neither end.
    """
    unordered, _ = offsets_of(slices)
    if unordered is None:
        return None
    planes = planes_of(np.sort(unordered))
    if planes.step_mm is None:
        return None
    middle, half = float(np.median(planes.offsets)), planes.step_mm * float(planes.room().sum()) / 2
    return middle - half, middle + half


def _doubts_of_places(planes: Planes) -> Iterable[str]:
    if planes.are_repeated:
        yield flags.DUPLICATE_POSITIONS
    if len(planes.places) == 1:
        return
    if planes.even is None:
        yield flags.UNEVEN_SPACING
    elif planes.even[0][-1] >= len(planes.places):
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
    if is_mixed:
        return  # the corners of turned slices are shifted even without a tilt
    placed = [s for s in ordered if s.position is not None]
    corners = np.array([s.position for s in placed]).reshape(-1, 3)
    points = [corners]
    if placed and has_mixed_pixels(ordered):  # pictures of several sizes may share a corner, or else their centre
        points = [corners[[0, -1]], np.array([_centre(placed[0]), _centre(placed[-1])])]
    if len(placed) > 1 and all(_are_shifted(some - some[0], _normal(ordered)) for some in points):
        yield flags.GANTRY_TILT


def _is_orientation_unknown(ordered: Sequence[SliceHeader]) -> bool:
    """Whether no slice says how it lies, or those that do disagree, so that the others can't be taken to be alike."""
    known = {s.orientation for s in ordered}
    return known == {None} or (None in known and len({turn_of(one) for one in known if one is not None}) > 1)


def _centre(found: SliceHeader) -> Offsets:
    """The position of the middle of a slice that has one; its corner if the size of its pixels is unknown."""
    along_row, along_column = np.array(found.orientation or _AXIAL).reshape(2, 3)
    down, across = np.array(found.pixel_spacing or (0, 0)) * (np.array(found.pixels.shape) - 1) / 2
    centre: Offsets = np.array(found.position) + across * along_row + down * along_column
    return centre


def _are_shifted(ways: Offsets, normal: Offsets) -> bool:
    """Whether slices do not lie straight above each other, by their ways from the first one, (slices, 3)."""
    along = ways @ normal
    if not along[-1]:
        return False
    from_end_to_end = np.outer(along / along[-1], ways[-1])
    is_tilted = np.linalg.norm(ways[-1] - along[-1] * normal) > _TILT * along[-1]
    return bool(is_tilted or np.linalg.norm(ways - from_end_to_end, axis=1).max() > _ASIDE_MM)


def _doubts_of_origin(ordered: Sequence[SliceHeader]) -> Iterable[str]:
    if len(patients_of(ordered)) > 1:
        yield flags.SEVERAL_PATIENTS
    if _acquisitions_overlap(ordered) or len({s.frame_of_reference for s in ordered if s.frame_of_reference}) > 1:
        yield flags.SEVERAL_ACQUISITIONS


def _acquisitions_overlap(ordered: Sequence[SliceHeader]) -> bool:
    """Whether two acquisitions are of the same part of the body, for more than half of the shorter one.

    Those that follow one another may overlap at their ends.
    """
    ends: dict[int, tuple[int, int]] = {}
    for index, one in enumerate(ordered):
        if one.acquisition is not None and one.frame is None:
            ends[one.acquisition] = (ends.get(one.acquisition, (index,))[0], index)
    extents = sorted(ends.values())
    return any(
        2 * (min(last, other_last) - other_first) > min(last - first, other_last - other_first) > 0
        for (first, last), (other_first, other_last) in pairwise(extents)
    )


def _doubts_of_mixture(slices: Sequence[SliceHeader]) -> Iterable[str]:
    if len({s.pixels.shape for s in slices}) > 1:
        yield flags.MIXED_SIZES
    if has_mixed_pixels(slices):
        yield flags.MIXED_PIXEL_SPACING
    if not all(s.pixels.rescale.leads_to_hu for s in slices):
        yield flags.NOT_HU
    if any(s.is_computed for s in slices):
        yield flags.COMPUTED
