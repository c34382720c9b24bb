"""The distances between the surface of a mask and that of the truth."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ctseg.errors import require
from ctseg.spacing import Spacing

MODULE, EXTRA = "meshmetrics", "surface"

# Sums differ in the last bits with the number of BLAS threads: a nanometre has no meaning.
_DIGITS = 6

_Block = npt.NDArray[np.bool_]


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
    hd95_mm, assd_mm = (round(float(found), _DIGITS) for found in (metrics.hd(95), metrics.assd()))
    return SurfaceDistances(hd95_mm, assd_mm)
