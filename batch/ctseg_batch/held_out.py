"""The scores that a model file holds of its held-out patients, as people read them."""

import math
from collections.abc import Mapping
from statistics import fmean
from typing import Any

from ctseg.datasets.mask_meaning import place_of_group

MEAN = "mean"
MEAN_PRESENT = "mean of the classes that occur"


def by_class(of: Any) -> dict[str, float | None]:
    """IoU or Dice of a set: classes in their order, None for one that no slice of it shows, and one mean.

    A file of an early version has only the mean that counts such a class as 0 if the mask has a little of it.
    """
    found = sorted(of.items(), key=lambda figure: place_of_group(str(figure[0]))) if isinstance(of, Mapping) else ()
    figures = {str(name): float(value) if isinstance(value, int | float) else None for name, value in found}
    present = figures.pop("mean_present", None)
    if present is None:
        return figures
    figures.pop(MEAN, None)
    if _leaves_zeros_out(present, figures):
        figures = {name: value or None for name, value in figures.items()}
    return {**figures, MEAN_PRESENT: present}


def most_classes_first(scores: Mapping[str, Any]) -> dict[str, Any]:
    """The scores of the sets that tell of most classes first."""
    return dict(sorted(scores.items(), key=lambda one: -_classes(one[1])))


def _leaves_zeros_out(mean: float, figures: Mapping[str, float | None]) -> bool:
    """Whether a mean is that of the classes above 0: of those that are 0, the truth has none."""
    above_0 = [value for value in figures.values() if value]
    return bool(above_0) and math.isclose(fmean(above_0), mean)


def _classes(figures: Any) -> int:
    iou = by_class(figures.get("iou")) if isinstance(figures, Mapping) else {}
    return sum(value is not None for name, value in iou.items() if name not in (MEAN, MEAN_PRESENT))
