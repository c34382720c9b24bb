"""Solids of the body as a plane cuts them: outlines that change from level to level, and tubes along a path."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.interpolate import PchipInterpolator

from ctseg.phantom.plane import Points

_PER_SPAN = 6


@dataclass(frozen=True)
class Contour:
    """A solid given by its outline at some levels: `levels` (L,) ascending z in mm, `points` (L, n, 2) mm.

    The points are the control points of a closed cubic B-spline, which stays inside them and is smooth. `cap`:
    over so many mm at both ends the outline closes like a dome; with 0 it goes on as it is.
    """

    levels: npt.NDArray[np.float64]
    points: npt.NDArray[np.float64]
    cap: float = 0.0

    def at(self, z: float) -> Points:
        """The outline (m, 2) at a level; (0, 2) where the solid has ended."""
        low, high = self.levels[0], self.levels[-1]
        if self.cap and not low < z < high:
            return np.empty((0, 2))
        outline: Points = self._smoothing @ self._between(np.clip(z, low, high))
        inward = float(min(z - low, high - z))
        if not self.cap or inward >= self.cap:
            return outline
        return scaled(outline, (1 - (1 - inward / self.cap) ** 2) ** 0.5)

    def varied(self, random: np.random.Generator, mm: float) -> "Contour":
        """The same solid in another body: its points moved by about `mm`, alike at all levels."""
        moves = random.normal(0, mm, self.points.shape[1:])
        return Contour(self.levels, self.points + moves, self.cap)

    @cached_property
    def _between(self) -> PchipInterpolator:
        return PchipInterpolator(self.levels, self.points, axis=0)

    @cached_property
    def _smoothing(self) -> npt.NDArray[np.float64]:
        """The matrix (6 n, n) from control points to a closed uniform cubic B-spline."""
        number = self.points.shape[1]
        t = np.arange(_PER_SPAN) / _PER_SPAN
        weights = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
        matrix = np.zeros((number, _PER_SPAN, number))
        for span in range(number):
            for offset, weight in enumerate(weights, start=-1):
                matrix[span, :, (span + offset) % number] += weight / 6
        return matrix.reshape(number * _PER_SPAN, number)


@dataclass(frozen=True)
class Tube:
    """A round tube along a path, as balls strung closely: `balls` (n, 4), x, y, z, radius in mm."""

    balls: npt.NDArray[np.float64]

    def section(self, z: float, wall: float = 0.0) -> Points:
        """The circles (m, 3), x, y, radius, in which a plane cuts the tube made thicker by `wall`."""
        radii = np.maximum(self.balls[:, 3] + wall, 0)
        squared = radii**2 - (self.balls[:, 2] - z) ** 2
        cut = squared > 0
        return np.column_stack([self.balls[cut, :2], np.sqrt(squared[cut])])


def tube(path: npt.NDArray[np.float64]) -> Tube:
    """A tube through stations (n, 4), x, y, z and radius in mm, smooth between them."""
    along = np.r_[0, np.cumsum(np.linalg.norm(np.diff(path[:, :3], axis=0), axis=1))]
    steps = int(along[-1] / 1.5) + 2
    return Tube(PchipInterpolator(along, path, axis=0)(np.linspace(0, along[-1], steps)))


@dataclass(frozen=True)
class Sheet:
    """An open line that changes from level to level: `levels` (L,) ascending z, `points` (L, n, 2), in mm."""

    levels: npt.NDArray[np.float64]
    points: npt.NDArray[np.float64]

    def at(self, z: float) -> Points | None:
        """A curve (8 n, 2) through the points at a level; None beyond the first and the last."""
        if not self.levels[0] <= z <= self.levels[-1]:
            return None
        points = self._between(z)
        way = np.linspace(0, len(points) - 1, 8 * len(points))
        return np.asarray(PchipInterpolator(np.arange(len(points)), points, axis=0)(way))

    @cached_property
    def _between(self) -> PchipInterpolator:
        return PchipInterpolator(self.levels, self.points, axis=0)


def scaled(outline: Points, factor: float) -> Points:
    """An outline (m, 2) drawn larger or smaller about its middle."""
    if not len(outline):
        return outline
    middle = outline.mean(axis=0)
    return np.asarray(middle + (outline - middle) * factor)


def resampled(line: Points, places: npt.NDArray[np.float64]) -> Points:
    """The points (m, 2) at some places of a line, 0 its start and 1 its end, counted by its points."""
    index = places * (len(line) - 1)
    return np.stack([np.interp(index, np.arange(len(line)), line[:, axis]) for axis in (0, 1)], axis=1)


def normals(line: Points) -> Points:
    """The unit vectors (m, 2) to the left of a line; outward, for an outline that runs clockwise on the screen."""
    along = np.gradient(line, axis=0)
    outward = np.stack([along[:, 1], -along[:, 0]], axis=1)
    return np.asarray(outward / np.maximum(np.linalg.norm(outward, axis=1, keepdims=True), 1e-9))


def halfway(outline: Points, side: int) -> Points:
    """One half of a symmetric closed outline, from the front midline to the back: 1 the left, -1 the right."""
    half = len(outline) // 2
    return outline[: half + 1] if side > 0 else np.concatenate([outline[:1], outline[: half - 1 : -1]])


def superellipse(width: float, depth: float, power: float) -> Points:
    """An outline (64, 2) of half axes in mm; power 2 is an ellipse, more is squarer."""
    angle = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    cos, sin = np.cos(angle), np.sin(angle)
    bent = [np.sign(part) * np.abs(part) ** (2 / power) for part in (cos, sin)]
    return np.stack([width * bent[0], depth * bent[1]], axis=1)


def arc(width: float, depth: float, start: float, end: float) -> Points:
    """A piece (16, 2) of an ellipse of half axes in mm between two angles, 0 to the left, pi / 2 to the back."""
    angle = np.linspace(start, end, 16)
    return np.stack([width * np.cos(angle), depth * np.sin(angle)], axis=1)
