"""A slice to paint on: where it lies in the body, and what is drawn into it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.float32]
"""(H, W), or what broadcasts to it."""

Points = npt.NDArray[np.float64]
"""(n, 2), x and y, or (n, 3), x, y and z, in mm of the reference body."""

Grey = npt.NDArray[np.uint8]
Pixels = npt.NDArray[np.int32]

# Fixed-point fraction bits of OpenCV's drawing: corners to a 16th of a pixel.
SHIFT = 4


@dataclass(frozen=True)
class Plane:
    """An axial slice of the reference body: x runs to the patient's left, y to the back, z to the head, in mm.

    The carina is at z = 0, the spine's front near y = 0, the midline at x = 0. `pitch` (x, y) is the distance
    of pixel centres, `corner` (x, y) the centre of the first pixel.
    """

    size: int
    z: float
    half_thickness: float
    pitch: tuple[float, float]
    corner: tuple[float, float]

    @cached_property
    def x(self) -> Field:
        """(1, W) mm."""
        return (self.corner[0] + self.pitch[0] * np.arange(self.size, dtype=np.float32))[None, :]

    @cached_property
    def y(self) -> Field:
        """(H, 1) mm."""
        return (self.corner[1] + self.pitch[1] * np.arange(self.size, dtype=np.float32))[:, None]

    def pixels(self, points: Points) -> Pixels:
        """Points (n, 2 or 3) in mm as (n, 2) fixed-point pixel coordinates."""
        place = (points[:, :2] - self.corner) / self.pitch
        return np.rint(np.clip(place, -8 * self.size, 8 * self.size) * (1 << SHIFT)).astype(np.int32)

    def length(self, mm: float) -> float:
        """A length in mm, in pixels."""
        return mm / self.pitch[0]


@dataclass(frozen=True)
class Patch:
    """How much of each pixel a shape covers: `cover` (h, w), 0 to 1, at `box` of the slice."""

    box: tuple[slice, slice]
    cover: Field


_NOTHING = Patch((slice(0, 0), slice(0, 0)), np.zeros((0, 0), np.float32))


def polygon(plane: Plane, outline: Points) -> Patch:
    """What lies within a closed outline (n, 2) mm; an empty one covers nothing."""
    return _drawn(plane, outline, 0, lambda image, corners: cv2.fillPoly(image, [corners], 255, cv2.LINE_AA, SHIFT))


def band(plane: Plane, line: Points, width: float) -> Patch:
    """What lies within `width` / 2 mm of an open line (n, 2) mm; lines thinner than a pixel cover less of it."""
    pixels = plane.length(width)
    thickness, grey = max(1, round(pixels)), round(255 * min(1.0, pixels))

    def draw(image: Grey, corners: Pixels) -> None:
        cv2.polylines(image, [corners], False, grey, thickness, cv2.LINE_AA, SHIFT)

    return _drawn(plane, line, thickness, draw)


def discs(plane: Plane, circles: Points) -> Patch:
    """What lies within circles, (n, 3): x, y, radius in mm; none cover nothing."""
    radii = np.rint(np.maximum(circles[:, 2], 0) / plane.pitch[0] * (1 << SHIFT)).astype(int)

    def draw(image: Grey, centres: Pixels) -> None:
        for centre, radius in zip(centres.tolist(), radii.tolist(), strict=True):
            cv2.circle(image, centre, radius, 255, -1, cv2.LINE_AA, SHIFT)

    return _drawn(plane, circles, (int(radii.max(initial=0)) >> SHIFT) + 1, draw)


def union(plane: Plane, patches: Iterable[Patch]) -> Field:
    """The cover (H, W) of several shapes as one."""
    whole = np.zeros((plane.size, plane.size), np.float32)
    for patch in patches:
        np.maximum(whole[patch.box], patch.cover, out=whole[patch.box])
    return whole


def _drawn(plane: Plane, points: Points, margin: int, draw: Callable[[Grey, Pixels], object]) -> Patch:
    """What `draw` paints white, on a picture just large enough for `points` and a margin in pixels."""
    if not len(points):
        return _NOTHING
    corners = plane.pixels(points)
    low = np.maximum((corners.min(axis=0) >> SHIFT) - margin - 1, 0)
    high = np.minimum((corners.max(axis=0) >> SHIFT) + margin + 3, plane.size)
    if (low >= high).any():
        return _NOTHING
    image = np.zeros((high[1] - low[1], high[0] - low[0]), np.uint8)
    draw(image, corners - (low << SHIFT))
    return Patch((slice(low[1], high[1]), slice(low[0], high[0])), image * np.float32(1 / 255))


class Canvas:
    """The slice being painted: `hu` (H, W) float32, air to begin with."""

    def __init__(self, plane: Plane) -> None:
        self.plane = plane
        self.hu = np.full((plane.size, plane.size), -1000, np.float32)

    def paint(self, patch: Patch, hu: float | Field, within: Field | None = None) -> None:
        """Mix `hu` in, pixel by pixel, as far as the patch covers it, and no further than `within` (H, W) reaches.

        A field of HU is of the whole slice, (H, W).
        """
        under = self.hu[patch.box]
        over = hu[patch.box] if isinstance(hu, np.ndarray) else np.float32(hu)
        cover = patch.cover if within is None else patch.cover * within[patch.box]
        under += (over - under) * cover

    def blend(self, cover: Field, hu: float | Field) -> None:
        """The same with a cover of the whole slice."""
        self.hu += (hu - self.hu) * cover
