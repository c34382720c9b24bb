"""The distances between the surface of a mask and that of the truth."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ctseg.errors import require
from ctseg.spacing import Spacing

MODULE, EXTRA = "meshmetrics", "surface"

# Sums differ in the last bits with the number of BLAS threads: a nanometre has no meaning.
_DIGITS = 6

_Block = npt.NDArray[np.bool_]
_Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SurfaceDistances:
    """The 95th percentile of the Hausdorff distance, and the average symmetric surface distance, in mm."""

    hd95_mm: float
    assd_mm: float


def surface_distances(truth: _Block, predicted: _Block, spacing: Spacing) -> SurfaceDistances | None:
    """Distances between two blocks (slices, H, W); None if one of them is empty. Needs the extra `surface`.

    Between the meshes of the two, weighted by the area of mesh elements, as in MeshMetrics (Podobnik and Vrtovec, arXiv
    2509.05670), since distances between voxels depend on the grid. HD95 is the larger 95th percentile of the two
    directions, ASSD the mean over both surfaces.
    """
    if not truth.any() or not predicted.any():
        return None
    metrics = require(MODULE, EXTRA).DistanceMetrics(verbose=False)
    metrics.set_input(truth, predicted, spacing=spacing)
    metrics.distances = _both_ways(metrics.ref_vtk, metrics.pred_vtk)
    hd95_mm, assd_mm = (round(float(found), _DIGITS) for found in (metrics.hd(95), metrics.assd()))
    return SurfaceDistances(hd95_mm, assd_mm)


def _both_ways(one: Any, other: Any) -> tuple[_Numbers, _Numbers, _Numbers, _Numbers]:
    """The `distances` of MeshMetrics: of each triangle of a mesh from the other mesh, ascending, with its area.

    Distances are from a triangle's centre. Most triangles are in both meshes: their distance is 0 without a search. The
    library itself also measures from all corners and tells inside from outside, neither of which is used here.
    """
    (centres, areas), (others, others_areas) = map(_triangles, (one, other))
    keys, others_keys = np.split(_keys(np.concatenate([centres, others])), [len(centres)])
    there = _distances(centres, ~np.isin(keys, others_keys), other)
    back = _distances(others, ~np.isin(others_keys, keys), one)
    order, others_order = np.argsort(there), np.argsort(back)
    return there[order], areas[order], back[others_order], others_areas[others_order]


def _triangles(mesh: Any) -> tuple[_Numbers, _Numbers]:
    """Their centres (N, 3) and areas (N,)."""
    from vtk.util.numpy_support import vtk_to_numpy

    corners = vtk_to_numpy(mesh.GetPolys().GetConnectivityArray()).reshape(-1, 3).T
    a, b, c = vtk_to_numpy(mesh.GetPoints().GetData())[corners]
    return (a + b + c) / 3, np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2


def _keys(places: _Numbers) -> npt.NDArray[np.int64]:
    """Points (N, 3) as single numbers, 21 bits per axis: equal for points that agree to a millionth of the extent."""
    fine = (places - places.min(axis=0)) / np.ptp(places, axis=0).max() * 2**20
    x, y, z = np.rint(fine).astype(np.int64).T
    keys: npt.NDArray[np.int64] = (x << 42) + (y << 21) + z
    return keys


def _distances(points: _Numbers, chosen: npt.NDArray[np.bool_], mesh: Any) -> _Numbers:
    """The distances of the chosen points (N, 3) from a mesh, 0 for the others."""
    import vtk

    locator = vtk.vtkStaticCellLocator()
    locator.SetDataSet(mesh)
    locator.BuildLocator()
    nearest, cell, squared = [0.0, 0.0, 0.0], vtk.vtkGenericCell(), vtk.mutable(0.0)
    cell_number, part_number = vtk.mutable(0), vtk.mutable(0)

    def distance(point: list[float]) -> float:
        locator.FindClosestPoint(point, nearest, cell, cell_number, part_number, squared)
        return float(squared.get())

    found = np.zeros(len(points))
    found[chosen] = np.sqrt([distance(point) for point in points[chosen].tolist()])
    return found
