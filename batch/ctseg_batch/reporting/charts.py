"""The charts of all scans: how involvement, lung volume and Dice are spread, ground glass against consolidation."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ctseg.measures import PLAUSIBLE_LUNG_ML
from ctseg.printable import printable
from ctseg_batch.reporting.svg import ACCENT, INK, LINE, MUTED, PAPER, Mark, to_svg
from ctseg_batch.reporting.table import share
from ctseg_batch.reporting.words import count, number
from ctseg_batch.summary import Summary

Numbers = npt.NDArray[np.float64]

_FEWEST = 3
_MOST_BARS = 20
_MOST_DOTS = 1500
_SIZE = (420, 244)
_CELL = 6
_STEPS = (1, 2, 5, 10)
# Shares below this (per cent of the lung) lie on a linear axis, the others on a logarithmic one.
_LINEAR_BELOW = 0.1

_LOOK: Mapping[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "ctseg",
    "font.size": 12,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": LINE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.8,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "figure.dpi": 72,
}


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart with its title and what it says in words. `column` of the table it can narrow down, if any."""

    title: str
    svg: str
    caption: str
    column: str = ""


@dataclass(frozen=True, slots=True)
class _Spread:
    """Which figure of the scans a histogram shows, and how; `limits` are the lowest and highest of what is usual."""

    column: str
    title: str
    axis: str
    unit: str
    digits: int
    limits: tuple[float, float]


_INVOLVEMENT = _Spread("involvement_percent", "Involvement", "share of the lung that is diseased, %", " %", 1, (0, 100))
_VOLUME = _Spread("lung_ml", "Lung volume", "lung, mL", " mL", 0, PLAUSIBLE_LUNG_ML)
_DICE = _Spread("dice_mean", "Agreement with the truth", "mean Dice of a scan", "", 3, (0, 1))


@contextmanager
def drawing() -> Iterator[None]:
    """Figures made inside look alike, whatever the user's matplotlib is told."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_LOOK)
        yield


def charts(summary: Summary) -> tuple[Chart, ...]:
    """The charts that there are enough scans for."""
    scans = summary["scans"]
    with drawing():
        found = [
            _histogram(_INVOLVEMENT, [scan["involvement_percent"] for scan in scans]),
            _histogram(_VOLUME, [scan["lung_ml"] for scan in scans]),
            _scatter(scans),
            _histogram(_DICE, [(scan["dice"] or {}).get("mean") for scan in scans]),
        ]
    return tuple(chart for chart in found if chart)


def new_axes(width: float, height: float, box: tuple[float, float, float, float]) -> tuple[Figure, Axes]:
    """A figure of so many pixels, and axes in a box: left, bottom, width, height in pixels."""
    figure = Figure(figsize=(width / 72, height / 72))
    left, bottom, across, up = box
    return figure, figure.add_axes((left / width, bottom / height, across / width, up / height))


def _histogram(of: _Spread, values: Sequence[float | None]) -> Chart | None:
    known = np.array([value for value in values if value is not None])
    if len(known) < _FEWEST:
        return None
    edges = _edges(known, *of.limits)
    counts, _ = np.histogram(known, edges)
    width, height = _SIZE
    figure, axes = new_axes(width, height, (44, 48, width - 60, height - 54))
    marks = {}
    for bar, (many, low, high) in enumerate(zip(counts.tolist(), edges[:-1], edges[1:], strict=True)):
        drawn = axes.bar(low, many, high - low, align="edge", color=ACCENT, edgecolor=PAPER, linewidth=1.2)
        drawn.patches[0].set_gid(f"bar-{bar}")
        between = f"{of.title} {low:,g} to {high:,g}{of.unit}"
        marks[f"bar-{bar}"] = [
            Mark(f"{between}: {count(many, 'scan')}", {"from": f"{low:g}", "to": f"{high:g}", "label": between})
        ]
    axes.set_xlim(edges[0], edges[-1])
    _finish(axes, of.axis, "scans")
    quarters = [number(float(q), of.digits) for q in np.percentile(known, (25, 50, 75))]
    caption = f"Median {quarters[1]}{of.unit}; half of the scans lie between {quarters[0]} and {quarters[2]}{of.unit}."
    if len(known) < len(values):
        caption += f" Not known of {count(len(values) - len(known), 'scan')}."
    label = f"Histogram. {of.title} of {count(len(known), 'scan')}. {caption}"
    return Chart(of.title, to_svg(figure, f"chart-{of.column}", label, marks), caption, of.column)


def _scatter(scans: Sequence[Mapping[str, Any]]) -> Chart | None:
    pairs = {place: (share("ground_glass", scan), share("consolidation", scan)) for place, scan in enumerate(scans)}
    known = {place: pair for place, pair in pairs.items() if None not in pair}
    if len(known) < _FEWEST:
        return None
    glass, solid = np.array(list(known.values()), float).T
    width, height = _SIZE
    figure, axes = new_axes(width, height, (54, 48, width - 70, height - 54))
    for scale, limit, axis, values in (
        (axes.set_xscale, axes.set_xlim, axes.xaxis, glass),
        (axes.set_yscale, axes.set_ylim, axes.yaxis, solid),
    ):
        scale("symlog", linthresh=_LINEAR_BELOW, linscale=0.4)
        limit(-_LINEAR_BELOW / 4, min(110.0, max(1.0, 1.7 * values.max())))
        axis.set_major_formatter(lambda value, _: f"{value:g}")
    if len(known) > _MOST_DOTS:
        marks = _crowd(axes, glass, solid)
    else:
        axes.scatter(glass, solid, s=30, color=ACCENT, alpha=0.75, linewidths=0, clip_on=False).set_gid("dots")
        marks = [
            Mark(
                f"{printable(scans[place]['scan'])}: {glass:.1f} % ground glass, {solid:.1f} % consolidation",
                {"scan": str(place)},
            )
            for place, (glass, solid) in known.items()
        ]
    axes.grid(axis="x")
    _finish(axes, "ground glass, % of the lung", "consolidation, % of the lung")
    both = int(np.count_nonzero((glass >= 1) & (solid >= 1)))
    caption = (
        f"Ground glass takes 1 % of the lung or more in {count(int(np.count_nonzero(glass >= 1)), 'scan')}, "
        f"consolidation in {count(int(np.count_nonzero(solid >= 1)), 'scan')}, both in {both:,}."
    )
    label = f"Scatter plot of {count(len(known), 'scan')}. {caption}"
    return Chart("Ground glass and consolidation", to_svg(figure, "chart-classes", label, {"dots": marks}), caption)


def _crowd(axes: Axes, x: Numbers, y: Numbers) -> list[Mark]:
    """More scans than can be told apart: squares that are the darker, the more lie in them."""
    to_pixels = axes.transData
    cells, many = np.unique(to_pixels.transform(np.column_stack([x, y])) // _CELL, axis=0, return_counts=True)
    centres = to_pixels.inverted().transform((cells + 0.5) * _CELL)
    alpha = 0.15 + 0.85 * np.log1p(many) / np.log1p(many.max())
    squares = axes.scatter(
        centres[:, 0], centres[:, 1], s=_CELL**2, marker="s", color=ACCENT, alpha=alpha, linewidths=0, clip_on=False
    )
    squares.set_gid("dots")
    return [Mark(count(int(one), "scan")) for one in many]


def _edges(values: Numbers, lowest: float, highest: float) -> Numbers:
    """Round edges of few bars that hold all values; from `lowest`, of what is usual, where they come near it."""
    low, high = float(values.min()), float(values.max())
    low = lowest if low < lowest + (high - lowest) / 3 else low
    span = max(high - low, (highest - lowest) / 50)
    power = 10.0 ** np.floor(np.log10(span / _MOST_BARS))
    step = next(step for step in (power, 2 * power, 5 * power, 10 * power, 20 * power) if span / step <= _MOST_BARS - 1)
    first = np.floor(low / step)
    bars = int(np.floor(high / step) - first) + 1
    edges: Numbers = np.round((first + np.arange(bars + 1)) * step, 6)
    return edges


def _finish(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(axis="y")
    axes.tick_params(length=0, pad=6)
    axes.spines["left"].set_visible(False)
    if y == "scans":
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True, steps=_STEPS))
        axes.xaxis.set_major_locator(MaxNLocator(7, steps=_STEPS))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(lambda value, _: f"{round(value, 6):,.6g}")
