"""The disease along the body axis: the area of each class, slice by slice, beside the patient seen from the front."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ctseg.classes import CLASSES, LESION, LUNG
from ctseg.measures import involvement
from ctseg.spacing import Spacing
from ctseg_batch.reporting.canvas import drawing, few_ticks, new_axes
from ctseg_batch.reporting.results import own_files
from ctseg_batch.reporting.svg import EDGES, FILLS, LINE, MUTED, to_svg
from ctseg_batch.reporting.words import as_percent, slice_name
from ctseg_batch.slice_figures import SliceFigures

_FEWEST = 3
_WIDTH = 300
_LEFT, _RIGHT, _BELOW = 58, 26, 40  # as `.plot .line` has them in report.css
_USUAL_HEIGHT = 260
_LOWEST = 90


@dataclass(frozen=True, slots=True)
class Profile:
    """The chart; its plot begins at the top and is `height` pixels high, one slice as high as any other.

    `order` says in which its slices are; `data` is what the script needs to read values off.
    """

    svg: str
    order: str
    height: int
    data: dict[str, Any]


def draw_profile(
    rows: Sequence[SliceFigures], order: str, spacing: Spacing | None, height: int | None, name: str
) -> Profile | None:
    """The areas of the classes, the first slice below; None for too few slices to make a line.

    `order` says in which order they are, `spacing` tells cm2 from pixels, where it is that of all. `height`: of the
    picture from the front that it stands beside, if there is one.
    """
    if len(rows) < _FEWEST:
        return None
    area = spacing[1] * spacing[2] / 100 if spacing else 1.0
    areas = area * np.array([row.pixels or (np.nan,) * len(CLASSES) for row in rows], float)
    high = max(_LOWEST, height or _USUAL_HEIGHT)
    with drawing():
        figure, axes = new_axes(_WIDTH, high + _BELOW, (_LEFT, _BELOW, _WIDTH - _LEFT - _RIGHT, high))
        at = np.arange(len(rows))
        start = np.zeros(len(rows))
        for tissue in reversed(LUNG):
            end = start + areas[:, tissue.index]
            axes.fill_betweenx(at, start, end, facecolor=FILLS[tissue], edgecolor=EDGES[tissue], linewidth=0.6)
            start = end
        axes.set_ylim(-0.5, len(rows) - 0.5)
        axes.set_xlim(0, max(1.0, 1.04 * float(np.nanmax(start, initial=0))))
        axes.set_xlabel("area of lung, cm²" if spacing else "area of lung, pixels")
        axes.set_ylabel("slice")
        axes.grid(axis="x", color=LINE)
        axes.tick_params(length=0, labelcolor=MUTED)
        few_ticks(axes.xaxis, 4)
        few_ticks(axes.yaxis, 6, integer=True)
        svg = to_svg(figure, name, _label(rows, order), {})
    data = {
        "names": [slice_name(index, file) for index, file in enumerate(own_files(rows))],
        "unit": "cm²" if spacing else "pixels",
        "areas": [None if row.pixels is None else _rounded(area, row) for row in rows],
    }
    return Profile(svg, order, high, data)


def _rounded(area: float, row: SliceFigures) -> list[float]:
    return [round(area * (row.pixels or ())[tissue.index], 1) for tissue in LUNG]


def _label(rows: Sequence[SliceFigures], order: str) -> str:
    """The chart in words."""
    diseased = [row for row in rows if row.pixels and any(row.pixels[tissue.index] for tissue in LESION)]
    if not diseased:
        return f"Area of the classes in each of {len(rows)} slices {order}: no disease in any of them"
    worst = max(diseased, key=lambda row: sum((row.pixels or ())[tissue.index] for tissue in LESION))
    index = rows.index(worst)
    name = slice_name(index, own_files(rows)[index])
    return (
        f"Area of the classes in each of {len(rows)} slices {order}: disease in {len(diseased)} of "
        f"them, most in slice {name}, where {as_percent(involvement(worst.pixels or ()) or 0)} of the lung is diseased"
    )
