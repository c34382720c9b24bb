"""How far along an axis there is anything."""

import numpy as np
import numpy.typing as npt


def extent(held: npt.ArrayLike) -> slice:
    """From the first place that is not 0 to the last; empty where all are."""
    places = np.flatnonzero(held)
    return slice(int(places[0]), int(places[-1]) + 1) if len(places) else slice(0)
