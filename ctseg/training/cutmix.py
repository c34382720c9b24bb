"""CutMix: replace a rectangle of a slice, and of its labels, by that of another slice.

Yun et al. 2019; French et al. 2020 for segmentation. With few patients, a network memorises their shapes; here it never
sees a whole one.
"""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from ctseg.training.augment import Drawn

_SIDES = (0.25, 0.6)
"""The shortest and the longest side of the rectangle, as a share of the canvas."""

Plane = TypeVar("Plane", npt.NDArray[np.float32], npt.NDArray[np.uint8])
Box = tuple[slice, slice]


def cutmix(drawn: Sequence[Drawn], datasets: Sequence[str], chance: float, rng: np.random.Generator) -> list[Drawn]:
    """The slices of a batch, each with probability `chance` with a rectangle of another one, at the same place.

    `datasets` names the data set of each slice: only slices of the same one are mixed, since these look alike, and
    their labels tell the same classes apart.
    """
    mixed = []
    for place, (one, dataset) in enumerate(zip(drawn, datasets, strict=True)):
        others = [number for number, name in enumerate(datasets) if name == dataset and number != place]
        is_mixed = others and rng.random() < chance
        mixed.append(_mixed(one, drawn[int(rng.choice(others))], rng) if is_mixed else one)
    return mixed


def _mixed(one: Drawn, other: Drawn, rng: np.random.Generator) -> Drawn:
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
