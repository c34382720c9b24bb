"""How well a mask agrees with the truth: counts first, scores after, so that they add up over slices."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np
import numpy.typing as npt

Confusion = npt.NDArray[np.int64]
"""(C, C): pixels by true class (row) and predicted class (column)."""


def confusion(truth: npt.NDArray[np.uint8], predicted: npt.NDArray[np.uint8], classes: int) -> Confusion:
    """Count pixels by (true, predicted) class, as a (C, C) table; the two masks must be of one shape.

    A pixel whose true class is the number of classes, which stands for unknown, is left out.
    """
    if truth.shape != predicted.shape:
        raise ValueError(f"the reference is {truth.shape}, the mask {predicted.shape}: they must be of one shape")
    # One pass: the pair of classes as one number, counted.
    pairs = truth.ravel() * np.uint8(classes) + predicted.ravel()
    counts = np.bincount(pairs, minlength=(classes + 1) * classes).reshape(classes + 1, classes)
    return counts[:classes].astype(np.int64)


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores in 0..1 by class; None for a class absent from truth and prediction.

    Means are over the classes that are not None, background included; a class that only the mask has counts as 0.
    `mean_iou_present` and `mean_dice_present` are over the classes that are `present` in the truth.
    """

    iou: tuple[float | None, ...]
    dice: tuple[float | None, ...]
    present: tuple[bool, ...]

    @property
    def mean_iou(self) -> float | None:
        """Mean over the classes in truth or prediction."""
        return _mean(self.iou)

    @property
    def mean_dice(self) -> float | None:
        """Mean over the classes in truth or prediction."""
        return _mean(self.dice)

    @property
    def mean_iou_present(self) -> float | None:
        """Mean over the classes in the truth."""
        return _mean(list(compress(self.iou, self.present)))

    @property
    def mean_dice_present(self) -> float | None:
        """Mean over the classes in the truth."""
        return _mean(list(compress(self.dice, self.present)))


def scores(counts: Confusion) -> Scores:
    """IoU (Jaccard 1901) and Dice (Dice 1945) of each class from a table of `confusion`."""
    hits = np.diag(counts)
    true, predicted = counts.sum(axis=1), counts.sum(axis=0)
    union, both = true + predicted - hits, true + predicted
    return Scores(
        tuple(int(h) / int(u) if u else None for h, u in zip(hits, union, strict=True)),
        tuple(2 * int(h) / int(b) if b else None for h, b in zip(hits, both, strict=True)),
        tuple(bool(t) for t in true),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return sum(present) / len(present) if present else None
