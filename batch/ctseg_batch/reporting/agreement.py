"""How well the measures of all scans agree with their truth: a table, and a plot of each (Bland and Altman)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from ctseg.classes import NORMAL_LUNG
from ctseg.printable import count, printable
from ctseg_batch.figures.summary import Summary
from ctseg_batch.figures.totals import Pairs, ScanEntry, paired
from ctseg_batch.reporting.canvas import FEWEST, SIZE, Chart, Numbers, dots, drawing, few_ticks, finish, new_axes
from ctseg_batch.reporting.svg import ACCENT, MUTED, Mark, to_svg
from ctseg_batch.reporting.words import group_title, number, signed

_LEFT, _RIGHT = 58, 76
# Lines closer to each other than this share of the plot have no room for separate labels.
_TOO_NEAR = 0.1
_FEWEST_FOR_A_TREND = 10
_CHANCE = 0.05


@dataclass(frozen=True, slots=True)
class Measure:
    """A measure over `n` scans: the mean of the truth, the bias of the masks, and the limits of agreement."""

    key: str
    title: str
    unit: str
    unit_of_difference: str
    n: int
    truth: float
    bias: float
    lower: float | None
    upper: float | None


@dataclass(frozen=True, slots=True)
class Agreement:
    """The measures that the truth covers, and charts of those with enough scans."""

    measures: tuple[Measure, ...]
    charts: tuple[Chart, ...]


def agreement(summary: Summary) -> Agreement | None:
    """The agreement in the totals of a summary; None if there is none."""
    scans, groups, found = summary["scans"], summary["groups"], summary["totals"]["agreement"]
    pairs = paired(scans, groups) if found and groups else None
    if pairs is None:
        return None
    measured = [
        *_measure(
            "involvement", "Involvement", ("%", "points"), found["involvement_percent"], pairs.involvement_percent
        ),
        *_measure("lung", "Lung", ("mL", "mL"), found["lung_ml"], pairs.lung_ml),
    ]
    for group, of in pairs.volumes_ml.items():
        measured += _measure(group, group_title(group).capitalize(), ("mL", "mL"), found["volumes_ml"][group], of)
    with drawing():
        charts = [
            _plot(measure, of, scans)
            for measure, of in measured
            if measure.n >= FEWEST and measure.key != NORMAL_LUNG.name  # normal lung adds nothing to the others
        ]
    return Agreement(tuple(measure for measure, _ in measured), tuple(charts))


def _measure(
    key: str, title: str, units: tuple[str, str], found: Mapping[str, Any] | None, pairs: Pairs | None
) -> Iterator[tuple[Measure, Pairs]]:
    if found and pairs:
        truth = fmean(true for _, true in pairs.values())
        limits = (found["lower_limit"], found["upper_limit"]) if found["n"] >= FEWEST else (None, None)
        yield Measure(key, title, *units, found["n"], truth, found["bias"], *limits), pairs


def _plot(of: Measure, pairs: Pairs, scans: Sequence[ScanEntry]) -> Chart:
    """Each scan's difference over the mean of mask and reference, with the bias and its limits."""
    measured, true = np.array(list(pairs.values()), float).T
    middle, difference = (measured + true) / 2, measured - true
    width, height = SIZE
    figure, axes = new_axes(width, height, (_LEFT, 48, width - _LEFT - _RIGHT, height - 54))
    low, high = _span([*difference, of.bias, of.lower or 0.0, of.upper or 0.0, 0.0])
    axes.set_ylim(low, high)
    is_near_zero = middle.min() < np.ptp(middle)
    axes.set_xlim(*_span([*middle, 0.0] if is_near_zero else middle.tolist()))
    _lines(axes, of)
    marks = [
        Mark(
            f"{printable(scans[index]['scan'])}: {number(one, 1)} {of.unit} in the mask, "
            f"{number(other, 1)} {of.unit} in the reference",
            {"scan": str(index)},
        )
        for index, (one, other) in pairs.items()
    ]
    drawn = dots(axes, middle, difference, marks)
    finish(axes, f"mean of mask and reference, {of.unit}", f"mask minus reference, {of.unit_of_difference}")
    few_ticks(axes.xaxis, 6)
    few_ticks(axes.yaxis, 6)
    caption = _told(of)
    if _grow(middle, difference):
        caption += (
            " Differences grow with the mean, so the limits are too wide where it is small, and too narrow where it is "
            "large."
        )
    label = f"Bland-Altman plot of {count(of.n, 'scan')}. {of.title}: {caption}"
    return Chart(of.title, to_svg(figure, f"chart-agreement-{of.key}".replace("+", "-"), label, drawn), caption)


def _grow(middle: Numbers, difference: Numbers) -> bool:
    """Whether differences are larger where the mean is, by a rank correlation that is hardly chance."""
    from scipy.stats import spearmanr  # takes longer to load than a report without references takes

    sizes = np.abs(difference)
    if len(sizes) < _FEWEST_FOR_A_TREND or not (np.ptp(middle) and np.ptp(sizes)):
        return False
    found = spearmanr(sizes, middle)
    return bool(found.statistic > 0 and found.pvalue < _CHANCE)


def _lines(axes: Axes, of: Measure) -> None:
    """Lines for the bias, the limits and no difference, each with a label at its end."""
    low, high = axes.get_ylim()
    axes.axhline(0, color=MUTED, linewidth=0.8)
    axes.axhline(of.bias, color=ACCENT, linewidth=1.4)
    labelled = {of.bias: f"bias {signed(of.bias)}"}
    if of.lower is not None and of.upper is not None:
        axes.axhspan(of.lower, of.upper, color=ACCENT, alpha=0.08, linewidth=0)
        for limit in (of.lower, of.upper):
            axes.axhline(limit, color=ACCENT, linewidth=1, linestyle=(0, (4, 3)))
        if of.upper - of.bias > _TOO_NEAR * (high - low):
            labelled |= {limit: signed(limit) for limit in (of.lower, of.upper)}
    for at, text in labelled.items():
        axes.annotate(
            text, (1, at), (5, 0), xycoords=("axes fraction", "data"), textcoords="offset points", va="center", size=11
        )


def _told(of: Measure) -> str:
    difference, unit = number(abs(of.bias), 1), of.unit_of_difference
    where = "below" if of.bias < 0 else "above"
    said = (
        "On average as the reference"
        if float(f"{of.bias:.1f}") == 0
        else f"On average {difference} {unit} {where} the reference"
    )
    return f"{said}; 95 % of the differences are expected between {signed(of.lower)} and {signed(of.upper)} {unit}."


def _span(values: Sequence[float]) -> tuple[float, float]:
    """The range of the values with a margin."""
    low, high = min(values), max(values)
    room = max(0.08 * (high - low), 0.05)
    return low - room, high + room
