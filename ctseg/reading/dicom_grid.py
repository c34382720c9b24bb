"""The slices of a DICOM series as one block of voxels, or why they do not form one."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ctseg.grid import ALIGNED, FARTHEST_MM, LPS_TO_RAS, SCANNER, Grid, NoGrid, NoPlaces, grid_of
from ctseg.reading.dicom_geometry import has_mixed_pixels, offsets_of, orientation_of
from ctseg.reading.dicom_header import SliceHeader, normal_of
from ctseg.reading.dicom_planes import planes_of
from ctseg.reading.dicom_positions import Offsets
from ctseg.spacing import Spacing

_SAME_DIRECTION = 1e-3

Vectors = npt.NDArray[np.float64]


def series_grid(slices: Sequence[SliceHeader], spacing: Spacing | None) -> Grid:
    """The block of a series whose slices are in order; `spacing` is used as far as they do not give theirs.

    The place of a missing slice stays empty. If slices are not straight above each other, as with a tilted gantry, they
    are shifted by whole pixels in a block that is large enough: its axes are at right angles, no pixel is changed, and
    each is within half a pixel of its position. Raises NoGrid for slices that an affine can't describe.
    """
    is_placed = all(None not in (s.position, s.orientation, s.pixel_spacing) for s in slices)
    if not is_placed:
        slices = _stacked(slices, spacing)
    elif len(slices) == 1 and spacing is None:
        raise NoPlaces("its slice does not say how thick it is")
    positions, across, down, (between_rows, between_columns) = common_plane(slices)
    normal = np.array(normal_of((*across, *down)))
    planes, step = _planes(positions @ normal, spacing and spacing[0])
    slid = positions - positions[0] - np.outer(planes * step, normal)
    rows, columns = (
        np.rint(slid @ way / between).astype(int) for way, between in ((down, between_rows), (across, between_columns))
    )
    affine = np.eye(4)
    affine[:3, :3] = np.column_stack([across * between_columns, down * between_rows, normal * step])
    affine[:3, 3] = positions[0] + affine[:3, :2] @ [columns.min(), rows.min()]
    height, width = slices[0].pixels.shape
    return grid_of(
        (int(planes[-1]) + 1, height + int(np.ptp(rows)), width + int(np.ptp(columns))),
        list(zip(planes.tolist(), (rows - rows.min()).tolist(), (columns - columns.min()).tolist(), strict=True)),
        LPS_TO_RAS @ affine,
        SCANNER if is_placed else ALIGNED,
    )


def _stacked(slices: Sequence[SliceHeader], spacing: Spacing | None) -> Sequence[SliceHeader]:
    """The slices stacked by SliceLocation or else by `spacing`, so that only the position of the whole is arbitrary.

    Positions are kept if only the size of pixels is unknown.
    """
    if spacing is None:
        raise NoPlaces(_unsaid(slices))
    if has_mixed_pixels(slices):
        raise NoGrid("its slices differ in size")
    is_placed = all(one.position for one in slices)
    heights, _ = offsets_of(slices)
    even = [index * spacing[0] for index in range(len(slices))]
    orientation = orientation_of(slices)
    return [
        replace(
            one,
            position=one.position if is_placed else tuple(height * way for way in normal_of(orientation)),
            orientation=one.orientation or orientation,
            pixel_spacing=spacing[1:],
        )
        for one, height in zip(slices, even if heights is None else heights.tolist(), strict=True)
    ]


def _unsaid(slices: Sequence[SliceHeader]) -> str:
    is_placed = all(None not in (s.position, s.orientation) for s in slices)
    return "its slices do not say " + ("how large their pixels are" if is_placed else "where they lie")


def common_plane(slices: Sequence[SliceHeader]) -> tuple[Vectors, Vectors, Vectors, tuple[float, ...]]:
    """The position of each slice, and what all share: the directions along rows and columns, and the pixel spacing.

    Raises NoGrid for slices that differ in these.
    """
    placed = [(s.position, s.orientation, s.pixel_spacing) for s in slices]
    if any(None in one for one in placed):
        raise NoPlaces(_unsaid(slices))
    if len({s.pixels.shape for s in slices}) > 1 or has_mixed_pixels(slices):
        raise NoGrid("its slices differ in size")
    directions = np.array([orientation for _, orientation, _ in placed], float)
    if np.abs(directions - directions[0]).max() > _SAME_DIRECTION:
        raise NoGrid("its slices are not parallel, or are turned in different ways")
    across, down = (part / np.linalg.norm(part) for part in np.split(directions[0], 2))
    if abs(across @ down) > _SAME_DIRECTION:
        raise NoGrid("its rows and columns are not at right angles")
    spacing = slices[0].pixel_spacing or ()
    if min(spacing) <= 0:
        raise NoGrid("its pixels have no size")
    positions = np.array([position for position, _, _ in placed], float)
    if np.abs(positions).max() > FARTHEST_MM:
        raise NoGrid("its slices lie farther away than any scanner reaches")
    return positions, across, down, spacing


def _planes(offsets: Offsets, thickness: float | None) -> tuple[npt.NDArray[np.int64], float]:
    """The number of each slice's plane in a block with even steps, from 0 for the first, and the step in mm."""
    if len(offsets) == 1 and thickness:
        return np.zeros(1, np.int64), thickness
    planes = planes_of(offsets)
    if planes.are_repeated:
        raise NoGrid("several of its slices lie at the same place")
    if planes.even is None:
        raise NoGrid("its slices are unevenly spaced")
    return planes.even
