"""The window of grey values: the HU that are shown as black and as white."""

import math
from collections.abc import Iterable
from typing import Any

from ctseg.errors import CallError

Window = tuple[float, float]
"""The HU shown as black and as white; values outside are clipped."""

LUNG_WINDOW: Window = (-1350.0, 150.0)
"""Centre -600, width 1500: the usual lung window."""

# On `covid_p001` (benchmarks/robustness.py), windows from -900 or less to -200 or more bring masks closer to those from
# HU if they are known. Narrower ones don't: what is clipped can't be had back.
_BLACK, _WHITE = -900.0, -200.0


def as_window(given: Iterable[Any], shown: str) -> Window:
    """The window of a centre and a width in HU, from numbers or a text; raises CallError for anything else.

    `shown` is how the message calls them.
    """
    try:
        centre, width = map(float, given.split(",") if isinstance(given, str) else given)
    except (TypeError, ValueError):
        centre = width = math.nan
    # Below -900 HU is only air: nobody centres a window there, but many begin there.
    if centre <= _BLACK and _WHITE <= width < math.inf and (centre + width) / 2 > _BLACK:
        raise CallError(
            f"{shown}: give centre and width: {(centre + width) / 2:g},{width - centre:g}, if that window is from "
            f"{centre:g} to {width:g} HU"
        )
    if not (math.isfinite(centre) and 0 < width < math.inf):
        raise CallError(f"{shown}: give centre and width in HU, like -600,1500")
    low, high = centre - width / 2, centre + width / 2
    if low > _BLACK or high < _WHITE:
        raise CallError(
            f"{shown}: from {low:g} to {high:g} HU is too narrow to restore HU: black must be {_BLACK:g} HU or lower, "
            f"white {_WHITE:g} or higher. Leave it out: the slices are then segmented as they are"
        )
    return low, high
