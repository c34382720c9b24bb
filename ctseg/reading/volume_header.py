"""The header of a volume of any format: how its voxels are stored, their spacing and their orientation."""

# nibabel has annotations here and there only.
# mypy: disable-error-code="no-untyped-call"

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ctseg import flags
from ctseg.classes import Labels
from ctseg.grid import FARTHEST_MM, MOST_VOXELS, SCANNER, Affine, Grid, placed_header
from ctseg.reading.files import ContentError
from ctseg.reading.stored import Stored, Voxels
from ctseg.spacing import Spacing, are_lengths

_AT_0_MM = 1e-3

NEAR = 0.501
"""How far a mask may be from its scan: half a voxel, and a bit for rounding."""

# The cosine of the angle up to which a slice is axial.
_PARALLEL = math.cos(math.radians(1))
_HEADWARD = 2
# Axes with at most this cosine between them count as being at right angles.
_SQUARE = 0.01


@dataclass(frozen=True, eq=False)
class VolumeHeader:
    """How the voxels lie in the file and in the patient.

    `slope`, `intercept`: from stored numbers to values. `affine`: the positions of voxels, in mm. `orientation`: for
    each axis of the file the closest one of (left, back, head), and its direction, as in nibabel.orientations.
    `placement`: a NIfTI header with the positions of the voxels.
    """

    stored: Stored
    slope: float
    intercept: float
    affine: Affine
    orientation: npt.NDArray[np.float64]
    spacing_mm: Spacing
    flags: tuple[str, ...]
    placement: Any

    @property
    def shown_shape(self) -> tuple[int, int, int]:
        """Slices from feet to head, rows, columns."""
        by_axis = dict(zip(self.orientation[:, 0], self.stored.shape, strict=True))
        return by_axis[_HEADWARD], by_axis[1], by_axis[0]

    @property
    def has_place(self) -> bool:
        """Whether the file gives a position; programs that know none put a corner at 0."""
        return flags.UNKNOWN_ORIENTATION not in self.flags and not (np.abs(self.ends()) < _AT_0_MM).any(axis=0).all()

    def ends(self) -> npt.NDArray[np.float64]:
        """The positions of the first and the last voxel after turning, in mm, (2, 3)."""
        from nibabel.orientations import inv_ornt_aff

        turned = self.affine @ inv_ornt_aff(self.orientation, self.stored.shape)
        last = np.subtract(self.shown_shape[::-1], 1)
        places: npt.NDArray[np.float64] = np.array([[0, 0, 0, 1], [*last, 1]]) @ turned.T
        return places[:, :3]

    def to_slices(self, voxels: Voxels) -> Voxels:
        """From the file's axes to (slices, rows, columns): feet to head, front to back, right to left; a view."""
        from nibabel.orientations import apply_orientation

        turned: Voxels = apply_orientation(voxels, self.orientation)
        return turned.transpose(2, 1, 0)

    def to_native(self, labels: Labels) -> Labels:
        """From (slices, rows, columns) to the file's axes; a view."""
        from nibabel.orientations import apply_orientation, ornt_transform

        identity = np.array([[0, 1], [1, 1], [2, 1]])
        back = ornt_transform(identity, self.orientation)
        native: Labels = apply_orientation(labels.transpose(2, 1, 0), back)
        return native

    def grid(self) -> Grid:
        """The grid of the same voxels, for labels."""
        shape = self.placement.get_data_shape()
        corners = [(index, 0, 0) for index in range(self.shown_shape[0])]
        return Grid(
            self.placement, self.shown_shape, corners, lambda block: self.to_native(block).reshape(shape, order="F")
        )


def header_from_affine(
    stored: Stored,
    affine: Affine,
    spacing: Sequence[float],
    placement: Any,
    *,
    is_placed: bool,
    slope: float,
    intercept: float,
) -> VolumeHeader:
    """A header from the affine of its voxels; `spacing` is along each axis of the file, in mm.

    `is_placed`: whether the affine is from the file. Raises ContentError for an impossible spacing, and for slices
    whose rows and columns are not at right angles.
    """
    from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

    _steps(affine, spacing)  # checked before they are used
    orientation = ornt_transform(io_orientation(affine), axcodes2ornt("LPS"))
    to_file = np.argsort(orientation[:, 0]).tolist()
    shear = _apart(affine, to_file)
    steps = _steps(affine, [step * (shear if axis == to_file[2] else 1) for axis, step in enumerate(spacing)])
    doubts = {
        flags.UNKNOWN_ORIENTATION: not is_placed,
        flags.DEFAULT_SPACING: _is_default(affine, steps, is_placed=is_placed),
        flags.OBLIQUE: np.abs(_normal(affine, to_file)).max() < _PARALLEL,
        flags.GANTRY_TILT: shear < 1,
    }
    return VolumeHeader(
        stored=stored,
        slope=slope,
        intercept=intercept,
        affine=affine,
        orientation=orientation,
        spacing_mm=(steps[to_file[2]], steps[to_file[1]], steps[to_file[0]]),
        flags=tuple(flag for flag, holds in doubts.items() if holds),
        placement=placement,
    )


def header_from_axes(
    stored: Stored,
    axes: npt.NDArray[np.float64],
    affine: Affine,
    *,
    is_placed: bool,
    slope: float = 1.0,
    intercept: float = 0.0,
) -> VolumeHeader:
    """A header from the step along each axis (a row of `axes`), in mm.

    Raises ContentError for axes that are not at right angles, which would change the distance of slices.
    """
    steps = np.linalg.norm(axes, axis=1)
    _steps(affine, steps.tolist())
    if np.abs(affine[:3, 3]).max() > FARTHEST_MM:
        raise ContentError("it lies farther away than any scanner reaches")
    if np.abs((axes @ axes.T) / np.outer(steps, steps) - np.eye(3)).max() > _SQUARE:
        raise ContentError("its axes are not at right angles: resample it first")
    placement = placed_header(stored.shape, affine, SCANNER)
    return header_from_affine(
        stored, affine, steps.tolist(), placement, is_placed=is_placed, slope=slope, intercept=intercept
    )


def _is_default(affine: Affine, steps: Sequence[float], *, is_placed: bool) -> bool:
    """Whether spacing and position are those of programs that were given none: 1 mm, along the axes, from 0."""
    return set(steps) == {1.0} and (not is_placed or np.array_equal(np.abs(affine), np.eye(4)))


def _apart(affine: Affine, to_file: Sequence[int]) -> float:
    """The distance of two slices over that of their first pixels: 1 if these lie straight above each other.

    `to_file`: which axes of the file run across, down and along the slices. Raises ContentError if the first two are
    not at right angles.
    """
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    if np.abs(axes.T @ axes - np.eye(3)).max() <= _SQUARE:
        return 1.0
    across, down, along = to_file
    if abs(axes[:, across] @ axes[:, down]) > _SQUARE:
        raise ContentError("its rows and columns are not at right angles: resample it first")
    return float(abs(axes[:, along] @ _normal(affine, to_file)))


def _normal(affine: Affine, to_file: Sequence[int]) -> npt.NDArray[np.float64]:
    """The normal of the slices."""
    across, down, _ = to_file
    found: npt.NDArray[np.float64] = np.cross(affine[:3, across], affine[:3, down])
    return found / np.linalg.norm(found)


def _steps(affine: Affine, spacing: Iterable[float]) -> tuple[float, ...]:
    """The distances between voxels, rounded; raises ContentError if they are impossible."""
    steps = tuple(round(float(step), 6) for step in spacing)
    if not (np.isfinite(affine).all() and are_lengths(steps)):
        raise ContentError(f"its voxels are {' x '.join(f'{step:g}' for step in steps)} mm apart")
    return steps


def volume_shape(found: Sequence[int]) -> tuple[int, int, int]:
    """The three lengths of a volume, without trailing ones of 1; raises ContentError for any other shape."""
    shape = spatial(found)
    if len(shape) == 2:
        shape = (*shape, 1)
    check_dimensions(shape)
    if min(shape) < 1 or math.prod(shape) > MOST_VOXELS:
        raise ContentError(f"it claims to be {_times(shape)} voxels, which can't be a scan")
    first, second, third = shape
    return first, second, third


def spatial(shape: Sequence[int]) -> tuple[int, ...]:
    """A shape without trailing lengths of 1 beyond three, as of a single point in time."""
    lengths = tuple(int(length) for length in shape)
    while len(lengths) > 3 and lengths[-1] == 1:
        lengths = lengths[:-1]
    return lengths


def check_dimensions(shape: Sequence[int]) -> None:
    """Raise ContentError unless there are three."""
    if len(shape) == 2:
        raise ContentError(
            f"it is one slice ({_times(shape)} values) of no thickness: save it as a volume of one slice"
        )
    if len(shape) != 3:
        raise ContentError(f"it does not hold a single volume ({_times(shape)} values): save one volume per file")


def _times(shape: Iterable[int]) -> str:
    return " x ".join(map(str, shape))
