"""The classes in colour over a slice, as people look at it, with a legend under it."""

import cv2
import numpy as np
import numpy.typing as npt

from ctseg.classes import CLASSES, LUNG
from ctseg.prepare import LUNG_WINDOW, to_grey
from ctseg.scan import Labels, Slice

Grey = npt.NDArray[np.uint8]
"""A slice as a screen shows it, (H, W)."""

Picture = npt.NDArray[np.uint8]
"""(H, W, 3), channels blue, green, red, as OpenCV has them."""

_OPACITY = 0.35
_FONT, _SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.45
_STRIP = 24  # rows of the legend


def as_shown(source: Slice) -> Grey:
    """A slice as a screen shows it: HU in a lung window, grey values as they are."""
    return to_grey(source, LUNG_WINDOW).astype(np.uint8, copy=False)


def overlay(grey: Grey, labels: Labels) -> Picture:
    """The slice in grey, its classes tinted and outlined in their colours: (H + 24, W, 3), the legend at the bottom."""
    picture = cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)
    colours = cv2.applyColorMap(labels, _palette())
    tinted = cv2.addWeighted(picture, 1 - _OPACITY, colours, _OPACITY, 0)
    cv2.copyTo(tinted, labels, picture)
    outer = labels - cv2.erode(labels, np.ones((3, 3), np.uint8))
    cv2.copyTo(colours, outer, picture)
    return np.concatenate([picture, _legend(picture.shape[1])]).astype(np.uint8, copy=False)


def _palette() -> Picture:
    """The colour of every mask value, (256, 1, 3)."""
    table = np.zeros((256, 1, 3), np.uint8)
    for tissue in CLASSES:
        table[tissue.index, 0] = tissue.colour[::-1]
    return table


def _legend(width: int) -> Picture:
    """A strip (24, width, 3) with the classes' names in their colours, as large as fits."""
    widths = [cv2.getTextSize(tissue.title, _FONT, _SCALE, 1)[0][0] + _STRIP for tissue in LUNG]
    shrink = min(1.0, width / sum(widths))
    strip = np.zeros((_STRIP, width, 3), np.uint8)
    left = 8 * shrink
    for tissue, taken in zip(LUNG, widths, strict=True):
        place = (round(left), round(_STRIP * 0.68))
        cv2.putText(strip, tissue.title, place, _FONT, _SCALE * shrink, tissue.colour[::-1], 1, cv2.LINE_AA)
        left += taken * shrink
    return strip
