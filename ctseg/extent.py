"""The extent along an axis of what is not 0."""

import numpy as np
import numpy.typing as npt


def extent(held: npt.ArrayLike) -> slice:
    """From the first element that is not 0 to the last; empty if all are 0."""
    places = np.flatnonzero(held)
    return slice(int(places[0]), int(places[-1]) + 1) if len(places) else slice(0)
