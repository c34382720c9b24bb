"""The charts over all scans: histograms of involvement, volume, severity and Dice; ground glass and consolidation."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ctseg.measures import PLAUSIBLE_LUNG_ML
from ctseg.printable import count, printable
from ctseg_batch.figures.summary import Summary, figure_at
from ctseg_batch.figures.totals import ScanEntry
from ctseg_batch.reporting.canvas import FEWEST, SIZE, Chart, Numbers, dots, drawing, few_ticks, finish, new_axes
from ctseg_batch.reporting.svg import ACCENT, PAPER, Mark, to_svg
from ctseg_batch.reporting.table import SEVERITY, rounded, share
from ctseg_batch.reporting.words import SEVERITY_STEPS, number

_MOST_BARS = 20
# Shares below this (per cent of the lung) lie on a linear axis, the others on a logarithmic one.
_LINEAR_BELOW = 0.1


@dataclass(frozen=True, slots=True)
class _Spread:
    """The figure that a histogram shows, and how; `limits` are the lowest and highest usual values."""

    column: str
    title: str
    axis: str
    unit: str
    digits: int
    limits: tuple[float, float]


_INVOLVEMENT = _Spread("involvement_percent", "Involvement", "disease, % of the lung", " %", 1, (0, 100))
_VOLUME = _Spread("lung_ml", "Lung volume", "lung, mL", " mL", 0, PLAUSIBLE_LUNG_ML)
_SEVERITY = _Spread(SEVERITY, "Severity", "severity of both lungs together", "", 0, (0, 10))
_DICE = _Spread("dice_mean", "Agreement with the reference", "mean Dice of a scan", "", 3, (0, 1))


def charts(summary: Summary) -> tuple[Chart, ...]:
    """The charts for which there are enough scans."""
    scans = summary["scans"]
    with drawing():
        found = [
            _histogram(_INVOLVEMENT, [scan["involvement_percent"] for scan in scans]),
            _histogram(_VOLUME, [scan["lung_ml"] for scan in scans]),
            _scatter(scans),
            _grades(_SEVERITY, [figure_at(scan, "severity", "total") for scan in scans]),
            _histogram(_DICE, [figure_at(scan, "dice", "mean") for scan in scans]),
        ]
    return tuple(chart for chart in found if chart)


def _histogram(of: _Spread, values: Sequence[float | None]) -> Chart | None:
    known = [value for value in values if value is not None]
    if len(known) < FEWEST:
        return None
    shown = np.array([rounded(value, of.digits) for value in known], float)  # as in the table, which a bar filters
    edges = _edges(shown, *of.limits)
    names = [f"{of.title} {low:,g} to {high:,g}{of.unit}" for low, high in pairwise(edges)]
    quarters = [number(float(q), of.digits) for q in np.percentile(known, (25, 50, 75))]
    caption = f"Median {quarters[1]}{of.unit}; half of the scans lie between {quarters[0]} and {quarters[2]}{of.unit}."
    return _bars(of, shown, len(values) - len(known), edges, names, caption)


def _grades(of: _Spread, values: Sequence[float | None]) -> Chart | None:
    """A bar for each grade there is, also for those that no scan has."""
    known = np.array([value for value in values if value is not None])
    if len(known) < FEWEST:
        return None
    lowest, highest = of.limits
    grades = np.arange(lowest, highest + 1)
    edges = np.append(grades, highest + 1) - 0.5
    names = [f"{of.title} {grade:g}" for grade in grades]
    low, middle, high = np.percentile(known, (25, 50, 75))
    caption = f"Median {middle:g}; half of the scans lie between {low:g} and {high:g}. {SEVERITY_STEPS}"
    return _bars(of, known, len(values) - len(known), edges, names, caption)


def _bars(of: _Spread, known: Numbers, unknown: int, edges: Numbers, names: Sequence[str], caption: str) -> Chart:
    """Named bars between the edges, which filter the table to their scans."""
    counts, _ = np.histogram(known, edges)
    width, height = SIZE
    figure, axes = new_axes(width, height, (44, 48, width - 60, height - 54))
    marks = {}
    for bar, (many, name, (low, high)) in enumerate(zip(counts.tolist(), names, pairwise(edges), strict=True)):
        drawn = axes.bar(low, many, high - low, align="edge", color=ACCENT, edgecolor=PAPER, linewidth=1.2)
        drawn.patches[0].set_gid(f"bar-{bar}")
        marks[f"bar-{bar}"] = [
            Mark(f"{name}: {count(many, 'scan')}", {"from": f"{low:g}", "to": f"{high:g}", "label": name})
        ]
    axes.set_xlim(edges[0], edges[-1])
    finish(axes, of.axis, "scans")
    few_ticks(axes.xaxis, 7)
    few_ticks(axes.yaxis, 5, integer=True)
    if unknown:
        caption += f" Not known for {count(unknown, 'scan')}."
    label = f"Histogram. {of.title} of {count(len(known), 'scan')}. {caption}"
    return Chart(of.title, to_svg(figure, f"chart-{of.column}", label, marks), caption, of.column)


def _scatter(scans: Sequence[ScanEntry]) -> Chart | None:
    pairs = {index: (share("ground_glass", scan), share("consolidation", scan)) for index, scan in enumerate(scans)}
    known = {index: pair for index, pair in pairs.items() if None not in pair}
    if len(known) < FEWEST:
        return None
    glass, solid = np.array(list(known.values()), float).T
    width, height = SIZE
    figure, axes = new_axes(width, height, (54, 48, width - 70, height - 54))
    for scale, limit, axis, values in (
        (axes.set_xscale, axes.set_xlim, axes.xaxis, glass),
        (axes.set_yscale, axes.set_ylim, axes.yaxis, solid),
    ):
        scale("symlog", linthresh=_LINEAR_BELOW, linscale=0.4)
        limit(-_LINEAR_BELOW / 4, min(110.0, max(1.0, 1.7 * values.max())))
        axis.set_major_formatter(lambda value, _: f"{value:g}")
    shares = [
        f"{number(glass, 1)} % ground glass, {number(solid, 1)} % consolidation" for glass, solid in known.values()
    ]
    marks = [
        Mark(f"{printable(scans[index]['scan'])}: {told}", {"scan": str(index)})
        for index, told in zip(known, shares, strict=True)
    ]
    drawn = dots(axes, glass, solid, marks)
    axes.grid(axis="x")
    finish(axes, "ground glass, % of the lung", "consolidation, % of the lung")
    both = int(np.count_nonzero((glass >= 1) & (solid >= 1)))
    caption = (
        f"Ground glass takes 1 % of the lung or more in {count(int(np.count_nonzero(glass >= 1)), 'scan')}, "
        f"consolidation in {count(int(np.count_nonzero(solid >= 1)), 'scan')}, both in {both:,}."
    )
    label = f"Scatter plot of {count(len(known), 'scan')}. {caption}"
    return Chart("Ground glass and consolidation", to_svg(figure, "chart-classes", label, drawn), caption)


def _edges(values: Numbers, lowest: float, highest: float) -> Numbers:
    """Round edges of a few bars for all values; from the `lowest` usual value if the values come near it."""
    low, high = float(values.min()), float(values.max())
    low = min(low, lowest) if low < lowest + (high - lowest) / 3 else low
    span = max(high - low, (highest - lowest) / 50)
    power = 10.0 ** np.floor(np.log10(span / _MOST_BARS))
    step = next(step for step in (power, 2 * power, 5 * power, 10 * power, 20 * power) if span / step <= _MOST_BARS - 1)
    first = np.floor(low / step)
    bars = int(np.floor(high / step) - first) + 1
    edges: Numbers = np.round((first + np.arange(bars + 1)) * step, 6)
    return edges
