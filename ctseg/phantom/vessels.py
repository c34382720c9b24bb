"""Trees that fill the lungs: arteries with the airways beside them, and veins.

The branching follows Tawhai et al. (J Appl Physiol 2004, doi:10.1152/japplphysiol.00520.2004): a branch serves a
cloud of points, the cloud is split in two, and each half's branch goes part of the way to its centre.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt

from ctseg.phantom.plane import SHIFT, Field, Plane, Points

_ADVANCE = 0.38
# Radii by Murray's law, a little flatter: what leads to n tips is n^(1/2.5) as thick as a tip.
_THINNING = 1 / 2.5


@dataclass(frozen=True)
class Tree:
    """Straight pieces of tapering vessels: `start`, `end` (n, 3) mm, `radii` (n, 2) mm at both ends."""

    start: Points
    end: Points
    radii: Points

    def thicker(self, radius: float) -> "Tree":
        """The pieces of a mean radius in mm from this one up."""
        keep = self.radii.mean(axis=1) >= radius
        return Tree(self.start[keep], self.end[keep], self.radii[keep])

    def beside(self, scale: float) -> "Tree":
        """The airways along these arteries, `scale` times as wide, touching them."""
        away = np.cross(self.end - self.start, (0.3, 0.5, 0.8))
        away /= np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-9)
        aside = away * (self.radii.mean(axis=1, keepdims=True) * (1 + scale) * 1.05)
        return Tree(self.start + aside, self.end + aside, self.radii * scale)

    def cover(self, plane: Plane, wall: float = 0.0) -> Field:
        """How much of each pixel (H, W) of a slice is vessel, seen through the slice's thickness."""
        image = np.zeros((plane.size, plane.size), np.uint8)
        # A slice's sensitivity is bell-shaped along z: some over a broad slab, full over a narrow one.
        for width, strength in ((1.5, 0.4), (0.8, 1.0)):
            within = self._within(plane.z, max(plane.half_thickness, 0.3) * width, wall)
            within.draw(image, plane, strength)
        return image * np.float32(1 / 255)

    @cached_property
    def _extent(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """The lowest and the highest z (n,) of each piece; half its thickness counts as its own."""
        ends, thick = np.stack([self.start[:, 2], self.end[:, 2]]), 0.5 * self.radii.max(axis=1)
        return ends.min(axis=0) - thick, ends.max(axis=0) + thick

    def _within(self, z: float, half: float, wall: float) -> "_Section":
        """What lies in the slab `half` mm to both sides of z, each piece thicker by a `wall`."""
        low, high = self._extent
        margin = half + 0.5 * wall
        near = np.flatnonzero((low - margin < z) & (high + margin > z))
        start, radii = self.start[near], self.radii[near] + wall
        way = self.end[near] - start
        rise = way[:, 2]
        safe = np.where(np.abs(rise) < 1e-6, 1e-6, rise)
        reach = half + 0.5 * radii.max(axis=1)
        crossings = (z - start[:, 2] + np.stack([-reach, reach])).T / safe[:, None]
        part = np.sort(np.clip(crossings, 0, 1), axis=1)
        level = np.sqrt(np.clip(1 - (rise / np.maximum(np.linalg.norm(way, axis=1), 1e-6)) ** 2, 0.02, 1))
        return _Section(
            start + way * part[:, :1],
            start + way * part[:, 1:],
            radii[:, :1] + (radii[:, 1:] - radii[:, :1]) * part,
            np.clip(radii.mean(axis=1) / (level * half), 0, 1),
        )


@dataclass(frozen=True)
class _Section:
    """The pieces of a tree inside a slab; `filled` (n,) is how much of its depth each fills."""

    start: Points
    end: Points
    radii: Points
    filled: npt.NDArray[np.float64]

    def draw(self, image: npt.NDArray[np.uint8], plane: Plane, strength: float) -> None:
        """Draw the pieces into `image` as greys up to 255 times `strength`."""
        # What OpenCV draws smooth reaches about half a pixel too far.
        radii = np.maximum(self.radii - 0.4 * plane.pitch[0], 0.1 * plane.pitch[0])
        quads = plane.pixels(self._outlines(radii).reshape(-1, 2)).reshape(-1, 4, 2)
        caps = plane.pixels(np.concatenate([self.start, self.end])).reshape(2, -1, 2)
        sizes = np.rint(radii / plane.pitch[0] * (1 << SHIFT)).astype(int)
        # What is thinner than a pixel is drawn as wide as one, and fainter.
        thin = np.clip(2 * self.radii.mean(axis=1) / plane.pitch[0], 0, 1)
        greys = np.rint(255 * strength * self.filled * thin).astype(int)
        for piece in np.argsort(greys, kind="stable").tolist():
            grey = int(greys[piece])
            cv2.fillConvexPoly(image, quads[piece], grey, cv2.LINE_AA, SHIFT)
            for tip in (0, 1):
                if sizes[piece, tip] > 4:
                    cv2.circle(image, caps[tip, piece].tolist(), int(sizes[piece, tip]), grey, -1, cv2.LINE_AA, SHIFT)

    def _outlines(self, radii: Points) -> Points:
        """The four corners (n, 4, 2) of each tapering piece as seen from above."""
        way = (self.end - self.start)[:, :2]
        length = np.maximum(np.linalg.norm(way, axis=1, keepdims=True), 1e-6)
        across = np.stack([-way[:, 1], way[:, 0]], axis=1) / length
        first, last = across * radii[:, :1], across * radii[:, 1:]
        a, b = self.start[:, :2], self.end[:, :2]
        return np.stack([a + first, b + last, b - last, a - first], axis=1)


def grow(random: np.random.Generator, root: Points, cloud: Points, tip: float) -> Tree:
    """Grow a tree from `root` (3,) that serves a cloud of points (n, 3), in mm; `tip` is the radius of a twig."""
    table = np.array(list(_branches(random, root, cloud, tip)))
    return Tree(table[:, 0:3], table[:, 3:6], table[:, 6:8])


def join(trees: list[Tree]) -> Tree:
    """Several trees as one."""
    return Tree(
        np.concatenate([tree.start for tree in trees]),
        np.concatenate([tree.end for tree in trees]),
        np.concatenate([tree.radii for tree in trees]),
    )


def _branches(random: np.random.Generator, root: Points, cloud: Points, tip: float) -> Iterator[tuple[float, ...]]:
    """The pieces, two a branch with a slight knee between: start, end, radius at the start, at the end."""
    waiting = [(root, cloud)]
    while waiting:
        here, served = waiting.pop()
        thickness = tip * len(served) ** _THINNING
        for half in _halves(random, here, served):
            centre = half.mean(axis=0)
            there = here + (centre - here) * (_ADVANCE if len(half) > 1 else 0.85)
            thinner = max(tip * len(half) ** _THINNING, 0.7 * tip)
            knee = (here + there) / 2 + random.normal(0, 0.05, 3) * np.linalg.norm(there - here)
            middle = (min(thickness, 1.15 * thinner) + thinner) / 2
            yield (*here, *knee, min(thickness, 1.15 * thinner), middle)
            yield (*knee, *there, middle, thinner)
            if len(half) > 1:
                waiting.append((there, half))


def _halves(random: np.random.Generator, here: Points, served: Points) -> tuple[Points, Points]:
    """Split a cloud by a plane through its centre and `here`, across the direction in which it is wider."""
    centre = served.mean(axis=0)
    forward = centre - here
    forward /= max(float(np.linalg.norm(forward)), 1e-9)
    across = (served - centre) @ _square_to(forward, random.normal(size=3))
    (a, b), (_, d) = across.T @ across
    angle = 0.5 * np.arctan2(2 * b, a - d)
    order = np.argsort(across @ (np.cos(angle), np.sin(angle)))
    cut = int(np.clip(round(len(served) * random.uniform(0.36, 0.64)), 1, len(served) - 1))
    return served[order[:cut]], served[order[cut:]]


def _square_to(forward: Points, hint: Points) -> Points:
    """Two directions, (3, 2), square to `forward` and to each other, turned by a `hint` (3,)."""
    one = hint - (hint @ forward) * forward
    one /= max(float(np.linalg.norm(one)), 1e-9)
    (a, b, c), (d, e, f) = forward.tolist(), one.tolist()
    return np.array([[d, b * f - c * e], [e, c * d - a * f], [f, a * e - b * d]])
