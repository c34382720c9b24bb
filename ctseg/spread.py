"""An even sample of a sequence."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def evenly_spread(of: Sequence[T], count: int) -> list[T]:
    """At most `count` items of a sequence, evenly spaced from the first to the last."""
    return [of[index] for index in dict.fromkeys(np.linspace(0, len(of) - 1, count, dtype=int))] if of else []
