"""The common look of all charts: figure, axes, and dots, which become a density map if there are many."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ctseg.printable import count
from ctseg_batch.reporting.svg import ACCENT, INK, LINE, MUTED, Mark
from ctseg_batch.reporting.words import with_minus

Numbers = npt.NDArray[np.float64]

# A chart needs at least so many scans.
FEWEST = 3
SIZE = (420, 244)

_MOST_DOTS = 1500
_CELL = 6
_STEPS = (1, 2, 5, 10)

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


@contextmanager
def drawing() -> Iterator[None]:
    """Draw with our own style, whatever the user's matplotlib settings."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_LOOK)
        yield


def new_axes(width: float, height: float, box: tuple[float, float, float, float]) -> tuple[Figure, Axes]:
    """A figure of a size in pixels with axes in a box: left, bottom, width, height in pixels."""
    figure = Figure(figsize=(width / 72, height / 72))
    left, bottom, across, up = box
    return figure, figure.add_axes((left / width, bottom / height, across / width, up / height))


def dots(axes: Axes, x: Numbers, y: Numbers, marks: Sequence[Mark]) -> dict[str, Sequence[Mark]]:
    """A dot for each scan, with its mark; with too many scans for that, squares with their number."""
    if len(x) > _MOST_DOTS:
        return {"dots": _crowd(axes, x, y)}
    axes.scatter(x, y, s=30, color=ACCENT, alpha=0.75, linewidths=0, clip_on=False).set_gid("dots")
    return {"dots": marks}


def finish(axes: Axes, x: str, y: str) -> None:
    """Name the axes, and remove superfluous lines and ticks."""
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(axis="y")
    axes.tick_params(length=0, pad=6)
    axes.spines["left"].set_visible(False)


def few_ticks(axis: Axis, most: int, *, integer: bool = False) -> None:
    """At most so many round numbers on an axis, as `1,200` rather than `1.2e3`."""
    axis.set_major_locator(MaxNLocator(most, integer=integer, steps=_STEPS))
    axis.set_major_formatter(lambda value, _: with_minus(f"{round(value, 6):,.6g}"))


def _crowd(axes: Axes, x: Numbers, y: Numbers) -> list[Mark]:
    """Squares that are darker the more scans they hold."""
    to_pixels = axes.transData
    cells, many = np.unique(to_pixels.transform(np.column_stack([x, y])) // _CELL, axis=0, return_counts=True)
    centres = to_pixels.inverted().transform((cells + 0.5) * _CELL)
    alpha = 0.15 + 0.85 * np.log1p(many) / np.log1p(many.max())
    squares = axes.scatter(
        centres[:, 0], centres[:, 1], s=_CELL**2, marker="s", color=ACCENT, alpha=alpha, linewidths=0, clip_on=False
    )
    squares.set_gid("dots")
    return [Mark(count(int(one), "scan")) for one in many]
