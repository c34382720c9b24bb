"""How far the surface of a mask lies from that of the truth."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ctseg.errors import require
from ctseg.scan import Spacing

MODULE, EXTRA = "meshmetrics", "surface"

# Its sums differ in the last bits from one number of BLAS threads to another: a nanometre has no meaning.
_DIGITS = 6

_Block = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class SurfaceDistances:
    """The 95th percentile of the Hausdorff distance, and the average symmetric surface distance, in mm."""

    hd95_mm: float
    assd_mm: float


def surface_distances(truth: _Block, predicted: _Block, spacing: Spacing) -> SurfaceDistances | None:
    """Distances between two blocks (slices, H, W); None where one of them is empty. Needs the extra `surface`.

    Between the meshes of the two, each element with the weight of its area, as MeshMetrics has them (Podobnik and
    Vrtovec, arXiv 2509.05670): distances between voxels depend on the grid. Of the two directions HD95 takes the
    larger 95th percentile, ASSD the mean over both surfaces.
    """
    if not truth.any() or not predicted.any():
        return None
    metrics = require(MODULE, EXTRA).DistanceMetrics(verbose=False)
    metrics.set_input(truth, predicted, spacing=spacing)
    hd95_mm, assd_mm = (round(float(found), _DIGITS) for found in (metrics.hd(95), metrics.assd()))
    return SurfaceDistances(hd95_mm, assd_mm)
