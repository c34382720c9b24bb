"""The lungs of a slice without disease, by their Hounsfield units alone: labels for slices without a mask."""

import cv2
import numpy as np
import numpy.typing as npt

_BODY_HU = -300
_LUNG_HU = -450
# Trachea and bowel gas are pure air; even the darkest lung is not.
_AIR_HU = -940
# Fractions of the side of the frame.
_SMALLEST = 1 / 50
_WALL = 1 / 170
_CLOSING = 9 / 256


def lung_field(hu: npt.NDArray[np.int16]) -> npt.NDArray[np.bool_]:
    """Which pixels of a slice (H, W) in HU are healthy lung.

    Below -450 HU inside the body; components of some size whose mean is above -940 HU; closed, so that the
    vessels belong to it as they do in masks drawn by hand.
    """
    side = max(hu.shape)
    inside = _body(hu)
    dark = cv2.morphologyEx(((hu < _LUNG_HU) & inside).astype(np.uint8), cv2.MORPH_OPEN, _disc(3))
    count, components, stats, _ = cv2.connectedComponentsWithStats(dark, connectivity=4)
    # The mean of the core only: near its wall even the trachea is no darker than lung.
    core = components * cv2.erode(dark, _disc(2 * round(_WALL * side) + 1))
    sums = np.bincount(core.ravel(), weights=np.maximum(hu, -1024).ravel(), minlength=count)
    cores = np.bincount(core.ravel(), minlength=count)
    keep = (cores > 0) & (sums / np.maximum(cores, 1) > _AIR_HU)
    keep &= stats[:, cv2.CC_STAT_AREA] >= (_SMALLEST * side) ** 2
    keep[0] = False
    lung = keep[components].astype(np.uint8)
    reach = round(_CLOSING * side) | 1  # a disc of an even diameter has no centre, and would shift what it closes
    # Padded, so that closing does not connect the lung with the frame.
    padded = cv2.copyMakeBorder(lung, reach, reach, reach, reach, cv2.BORDER_CONSTANT, value=0)
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, _disc(reach))[reach:-reach, reach:-reach]
    return (closed > 0) & inside


def _body(hu: npt.NDArray[np.int16]) -> npt.NDArray[np.bool_]:
    """The largest solid object of the slice with its holes filled; the frame's edge does not close a hole."""
    solid = cv2.morphologyEx((hu > _BODY_HU).astype(np.uint8), cv2.MORPH_OPEN, _disc(7))
    count, components, stats, _ = cv2.connectedComponentsWithStats(solid, connectivity=4)
    if count == 1:
        return np.zeros(hu.shape, bool)
    largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    contours, _ = cv2.findContours((components == largest).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(np.zeros(hu.shape, np.uint8), contours, -1, 1, cv2.FILLED).astype(bool)


def _disc(diameter: int) -> npt.NDArray[np.uint8]:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (diameter, diameter)).astype(np.uint8)
