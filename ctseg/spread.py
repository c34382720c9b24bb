"""A few of many, for a look at them all."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def evenly_spread(of: Sequence[T], count: int) -> list[T]:
    """At most `count` of a sequence, from its first to its last as far apart as can be."""
    return [of[place] for place in np.unique(np.linspace(0, len(of) - 1, count, dtype=int))] if of else []
