"""The extent along an axis of what is not 0."""

import numpy as np
import numpy.typing as npt


def extent(held: npt.ArrayLike) -> slice:
    """From the first element that is not 0 to the last; empty if all are 0."""
    indices = np.flatnonzero(held)
    return slice(int(indices[0]), int(indices[-1]) + 1) if len(indices) else slice(0)
