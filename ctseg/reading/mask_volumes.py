"""Read a volume file of labels, and check that it lies where its scan does."""

# nibabel has annotations here and there only.
# mypy: disable-error-code="no-untyped-call"

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ctseg import flags
from ctseg.classes import Labels
from ctseg.errors import UnreadableFile
from ctseg.grid import LPS_TO_RAS, SCANNER, Affine, Grid, NoGrid
from ctseg.reading.files import refusing
from ctseg.reading.masks import as_labels
from ctseg.reading.stored import Voxels
from ctseg.reading.values import rescaled
from ctseg.reading.volume import Volume
from ctseg.reading.volume_formats import read_volume_header
from ctseg.reading.volume_header import NEAR, VolumeHeader
from ctseg.scan import Scan

_ELSEWHERE = (
    "is placed differently from its scan, by the axes and origins in their headers: save it with its scan's header"
)


def read_mask_volume(file: Path, scan: Scan | None) -> Labels:
    """The labels (slices, H, W) of a volume file, turned like the slices of its `scan`; like a Volume without one.

    Raises UnreadableFile, also if the labels do not lie where the scan does, or are of more or fewer slices.
    """
    header = read_volume_header(file)
    if isinstance(scan, Volume) and not scan.is_aligned_with(header):
        raise UnreadableFile(file, _ELSEWHERE)
    grid = None if scan is None or isinstance(scan, Volume) else _grid(file, scan)
    if grid and not _lies_in(grid, header):
        raise UnreadableFile(file, _ELSEWHERE)
    stored = header.stored.read()
    with refusing(file, "is not a mask"):
        values = rescaled(stored, header.slope, header.intercept)
    turned = _turned(values, header, grid) if grid else header.to_slices(values)
    labels = np.ascontiguousarray(as_labels(turned, file))
    if scan is not None and len(labels) != len(scan):
        raise UnreadableFile(file, f"has {len(labels)} slices, but its scan {len(scan)}: they must agree")
    return labels


def _grid(file: Path, scan: Scan) -> Grid:
    """The scan's block of voxels; raises UnreadableFile for `file` if the scan does not form one."""
    try:
        return scan.grid()
    except NoGrid as error:
        why = f"can't be aligned with its scan: {error}; give a folder with one mask per slice"
        raise UnreadableFile(file, why) from error


def _affine(grid: Grid) -> Affine:
    affine: Affine = grid.header.get_best_affine()
    return affine


def _to_grid(grid: Grid, header: VolumeHeader) -> npt.NDArray[np.float64]:
    """The orientation, as in nibabel.orientations, that turns the axes of the file to (columns, rows, slices)."""
    from nibabel.orientations import io_orientation

    own, its = (affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0) for affine in (_affine(grid), header.affine))
    between = np.eye(4)
    between[:3, :3] = own.T @ its
    turn: npt.NDArray[np.float64] = io_orientation(between)
    return turn


def _corners(grid: Grid, shape: Sequence[int]) -> Sequence[tuple[int, int, int]]:
    """Where the slices begin in labels of a `shape`: that of the grid, or of its slices without empty places."""
    return grid.corners if tuple(shape) == grid.shape else [(index, 0, 0) for index in range(len(grid.corners))]


def _slice_shape(grid: Grid) -> tuple[int, int]:
    """Rows and columns of each slice."""
    _, row, column = np.max(grid.corners, axis=0).tolist()
    return grid.shape[1] - row, grid.shape[2] - column


def _lies_in(grid: Grid, header: VolumeHeader) -> bool:
    """Whether the first and the last pixel of the scan are at the same places by both headers, if both place them."""
    from nibabel.orientations import inv_ornt_aff, io_orientation

    affine = _affine(grid)
    if flags.UNKNOWN_ORIENTATION in header.flags:  # it is assumed to be oriented as radiologists view it
        return np.array_equal(io_orientation(affine), io_orientation(LPS_TO_RAS))
    turn = _to_grid(grid, header)
    shape = dict(zip(turn[:, 0].astype(int).tolist(), header.stored.shape, strict=True))
    shown, own = (shape[2], shape[1], shape[0]), _slice_shape(grid)
    if shown not in (grid.shape, (len(grid.corners), *own)):
        return True  # a wrong size is reported later
    if not header.has_place or grid.header["sform_code"] != SCANNER:
        return True
    its = np.linalg.inv(affine) @ header.affine @ inv_ornt_aff(turn, header.stored.shape)
    size = np.array([(0, 0, 0), (0, *np.subtract(own, 1))])
    here, there = (np.array([corners[0], corners[-1]]) + size for corners in (grid.corners, _corners(grid, shown)))
    first, last = np.abs(there[:, ::-1] @ its[:3, :3].T + its[:3, 3] - here[:, ::-1])
    return bool(first.max() <= NEAR and last.max() <= 1)


def _turned(values: Voxels, header: VolumeHeader, grid: Grid) -> Voxels:
    """The voxels (slices, rows, columns), each slice oriented like that of the scan."""
    from nibabel.orientations import apply_orientation

    block: Voxels = apply_orientation(values, _to_grid(grid, header)).transpose(2, 1, 0)
    if block.shape != grid.shape:
        return block
    rows, columns = _slice_shape(grid)
    return np.stack([block[at, row : row + rows, column : column + columns] for at, row, column in grid.corners])
