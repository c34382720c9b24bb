"""A scan as one block of voxels in the patient, as a label map of all its slices needs it."""

# nibabel has annotations here and there only.
# mypy: disable-error-code="no-untyped-call"

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ctseg.classes import Labels
from ctseg.errors import CtsegError
from ctseg.spacing import Spacing

Affine = npt.NDArray[np.float64]
"""(4, 4): from voxel indices to mm in the patient, towards the right, the front and the head (RAS), as NIfTI has it."""

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""From the patient's axes of DICOM, MetaImage and most NRRD (left, back, head) to those of NIfTI."""

SCANNER, ALIGNED = 1, 2
"""Codes of a NIfTI affine: the scanner's own axes; some others of the same directions."""

FARTHEST_MM = 1e5
"""No scanner reaches farther than this."""

MOST_VOXELS = 2**30
"""A block of more is refused: no CT has as many."""

_LONGEST_NIFTI1 = 2**15 - 1


class NoGrid(CtsegError):  # noqa: N818 - no fault, but what a scan is like
    """The slices of a scan do not form a block of voxels, for the given reason."""


class NoPlaces(NoGrid):
    """The files of a scan do not say where its slices lie; a spacing that the call gives may make up for it."""


@dataclass(frozen=True, eq=False)
class Grid:
    """A block of voxels, and where the slices of a scan lie in it.

    `header` is a NIfTI header that places the voxels, and holds nothing else. `shape`: slices, rows, columns.
    `corners`: for each slice of the scan, which slice of the block it is and where its first pixel lies there.
    `to_native` turns labels of that shape to the header's order of axes.
    """

    header: Any
    shape: tuple[int, int, int]
    corners: Sequence[tuple[int, int, int]]
    to_native: Callable[[Labels], Labels]

    def filled(self, masks: Mapping[int, Labels]) -> Labels:
        """The masks (H, W), by slice, as one block in the header's order of axes; background where there is none."""
        block = np.zeros(self.shape, np.uint8)
        for index, mask in masks.items():
            plane, row, column = self.corners[index]
            block[plane, row : row + mask.shape[0], column : column + mask.shape[1]] = mask
        return self.to_native(block)


def stacked_grid(slices: int, shape: tuple[int, int], spacing: Spacing) -> Grid:
    """Slices of one shape one on the other, at the given spacing, oriented as radiologists view them."""
    z, y, x = spacing
    affine = LPS_TO_RAS @ np.diag([x, y, z, 1.0])
    return grid_of((slices, *shape), [(index, 0, 0) for index in range(slices)], affine, ALIGNED)


def grid_of(shape: tuple[int, int, int], corners: Sequence[tuple[int, int, int]], affine: Affine, code: int) -> Grid:
    """A grid whose file has columns, rows, slices as its axes; raises NoGrid for too many voxels."""
    if np.prod(shape, dtype=float) > MOST_VOXELS:
        raise NoGrid(f"it would have {' x '.join(map(str, shape))} voxels")
    return Grid(placed_header(shape[::-1], affine, code), shape, corners, lambda block: block.transpose(2, 1, 0))


def placed_header(shape: Sequence[int], affine: Affine, code: int) -> Any:
    """A NIfTI header with an affine in mm."""
    from nibabel.nifti1 import Nifti1Header
    from nibabel.nifti2 import Nifti2Header

    form = Nifti1Header if max(shape) <= _LONGEST_NIFTI1 else Nifti2Header
    header = form(endianness="<")
    header.set_data_shape(shape)
    header.set_qform(affine, code)
    header.set_sform(affine, code)
    header.set_xyzt_units("mm")
    return header
