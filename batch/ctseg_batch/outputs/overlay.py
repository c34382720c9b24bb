"""The classes in colour over a slice, as people look at it, with a legend under it."""

from collections.abc import Mapping

import cv2
import numpy as np
import numpy.typing as npt

from ctseg.classes import CLASSES, LESION, LUNG, NORMAL_LUNG, Labels
from ctseg.prepare import to_grey
from ctseg.scan import Slice
from ctseg.window import LUNG_WINDOW, Window

Grey = npt.NDArray[np.uint8]
"""A slice as a screen shows it, (H, W)."""

BgrPicture = npt.NDArray[np.uint8]
"""(H, W, 3), channels blue, green, red, as OpenCV has them."""

TINTS: Mapping[int, int] = {NORMAL_LUNG.index: 16, **{tissue.index: 84 for tissue in LESION}}
"""How strongly a class is tinted, out of 255: what is normal is outlined and left to be seen."""

_FONT, _SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.45
_USUAL_WIDTH, _LINE = 512, 24  # columns of a slice, and rows that a line of its legend takes


def as_shown(source: Slice, window: Window | None = None) -> Grey:
    """A slice as a screen shows it: HU in a lung window, so 8-bit grey if its `window` is known; else as it is."""
    if window:
        source = source.in_window(window)
    return to_grey(source, LUNG_WINDOW).astype(np.uint8, copy=False)


def overlay(grey: Grey, labels: Labels) -> BgrPicture:
    """The slice in grey, its classes outlined in their colours and tinted by TINTS: (H, W, 3), and a legend below."""
    picture = cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)
    colours = cv2.applyColorMap(labels, _palette())
    for index, tint in TINTS.items():
        tinted = cv2.addWeighted(picture, 1 - tint / 255, colours, tint / 255, 0)
        cv2.copyTo(tinted, (labels == index).astype(np.uint8), picture)
    outer = labels - cv2.erode(labels, np.ones((3, 3), np.uint8))
    cv2.copyTo(colours, outer, picture)
    return np.concatenate([picture, _legend(picture.shape[1])]).astype(np.uint8, copy=False)


def _palette() -> BgrPicture:
    """The colour of every mask value, (256, 1, 3)."""
    table = np.zeros((256, 1, 3), np.uint8)
    for tissue in CLASSES:
        table[tissue.index, 0] = tissue.colour[::-1]
    return table


def _legend(width: int) -> BgrPicture:
    """A strip as wide as the slice, with the classes' names in their colours: below each other where it is narrow."""
    unit = max(1.0, width / _USUAL_WIDTH)
    scale, strokes, line, gap = _SCALE * unit, round(unit), round(_LINE * unit), round(_LINE * unit / 3)
    widths = [cv2.getTextSize(tissue.title, _FONT, scale, strokes)[0][0] + 3 * gap for tissue in LUNG]
    is_narrow = sum(widths) > width
    if is_narrow:
        scale *= min(1.0, width / max(widths))
    strip = np.zeros((line * len(LUNG) if is_narrow else line, width, 3), np.uint8)
    left, baseline = gap, round(line * 0.68)
    for tissue, taken in zip(LUNG, widths, strict=True):
        cv2.putText(strip, tissue.title, (left, baseline), _FONT, scale, tissue.colour[::-1], strokes, cv2.LINE_AA)
        left, baseline = (left, baseline + line) if is_narrow else (left + taken, baseline)
    return strip
