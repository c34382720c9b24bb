"""CutMix: replace a rectangle of a slice, and of its labels, by that of another slice.

Yun et al. 2019; French et al. 2020 for segmentation. With few patients, a network memorises their shapes; here it never
sees a whole one.
"""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from ctseg.training.samples import Drawn

_SIDES = (0.25, 0.6)
"""The shortest and the longest side of the rectangle, as a share of the canvas."""

Plane = TypeVar("Plane", npt.NDArray[np.float32], npt.NDArray[np.uint8])
Box = tuple[slice, slice]


def partners(datasets: Sequence[str], chance: float, rng: np.random.Generator) -> list[int | None]:
    """For each slice of a batch, with probability `chance`, the index of another one to mix it with; else None.

    `datasets` names the data set of each slice: only slices of the same one are mixed, since these look alike, and
    their labels tell the same classes apart.
    """
    chosen = []
    for index, dataset in enumerate(datasets):
        others = [number for number, name in enumerate(datasets) if name == dataset and number != index]
        is_mixed = others and rng.random() < chance
        chosen.append(int(rng.choice(others)) if is_mixed else None)
    return chosen


def cutmix(one: Drawn, other: Drawn, rng: np.random.Generator) -> Drawn:
    """The one slice with a rectangle of the other, at the same place."""
    canvas = len(one.grey)
    height, width = (int(canvas * rng.uniform(*_SIDES)) for _ in range(2))
    top, left = (int(rng.integers(0, canvas - side)) for side in (height, width))
    box = slice(top, top + height), slice(left, left + width)
    soft_labels = one.soft_labels
    if soft_labels is not None and other.soft_labels is not None:
        soft_labels = _pasted(soft_labels, other.soft_labels, box)
    return Drawn(_pasted(one.grey, other.grey, box), _pasted(one.allowed, other.allowed, box), soft_labels)


def _pasted(into: Plane, of: Plane, box: Box) -> Plane:
    result = into.copy()
    result[box] = of[box]
    return result
