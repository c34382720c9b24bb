"""How well a measure agrees with its truth over many scans (Bland and Altman, Lancet 1986;327:307)."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

_NORMAL_95 = 1.96


@dataclass(frozen=True, slots=True)
class Agreement:
    """Over `n` scans: the mean difference (measured - true), and the limits that 95 % of the differences lie within.

    The limits are None for fewer than two scans.
    """

    n: int
    bias: float
    lower_limit: float | None
    upper_limit: float | None


def agree(measured: Sequence[float], true: Sequence[float]) -> Agreement | None:
    """Bias and limits of agreement, bias -/+ 1.96 standard deviations of the differences; None without scans."""
    differences = [one - other for one, other in zip(measured, true, strict=True)]
    if not differences:
        return None
    bias = statistics.fmean(differences)
    if len(differences) < 2:
        return Agreement(1, bias, None, None)
    margin = _NORMAL_95 * statistics.stdev(differences)
    return Agreement(len(differences), bias, bias - margin, bias + margin)
