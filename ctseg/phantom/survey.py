"""The lungs measured on a coarse grid: what the vessels fill and what the disease shares out."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from ctseg.phantom.chest import Chest
from ctseg.phantom.plane import Field, Plane, Points

_SIZE, _PITCH, _STEP = 96, 4.2, 6.0
_CORNER = (-199.5, -240.0)


@dataclass(frozen=True)
class Survey:
    """Each lung voxel of a coarse grid: its place (n, 3) mm, and how many mm (n,) it lies from the rib cage.

    `planes` and `masks` are the slices of the grid, in the order of the voxels.
    """

    planes: tuple[Plane, ...]
    masks: tuple[npt.NDArray[np.bool_], ...]
    sites: Points
    depths: npt.NDArray[np.float64]
    voxel_mm3: float = _PITCH**2 * _STEP

    def sample(self, field: Callable[[Plane], Field]) -> Field:
        """The values (n,) of a field at all voxels."""
        return np.concatenate([field(plane)[mask] for plane, mask in zip(self.planes, self.masks, strict=True)])


def survey_lungs(chest: Chest) -> Survey:
    """Measure the lungs of a chest."""
    planes, masks, sites, depths = [], [], [], []
    for z in np.arange(-170.0, 112.0, _STEP):
        plane = Plane(_SIZE, float(z), _STEP / 2, (_PITCH, _PITCH), _CORNER)
        spaces = chest.spaces(plane)
        mask = spaces.lung > 0.5
        inside = (spaces.inside > 0.5).astype(np.uint8)
        rows, columns = np.nonzero(mask)
        planes.append(plane)
        masks.append(mask)
        sites.append(np.column_stack([plane.x[0, columns], plane.y[rows, 0], np.full(len(rows), z)]))
        depths.append(cv2.distanceTransform(inside, cv2.DIST_L2, 3)[mask] * _PITCH)
    return Survey(tuple(planes), tuple(masks), np.concatenate(sites), np.concatenate(depths).astype(np.float64))
