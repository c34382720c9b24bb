"""The spaces of the chest: its cavity, the mediastinum in the middle, the diaphragm below, and so the lungs."""

from dataclasses import dataclass

import numpy as np

from ctseg.phantom.build import Build
from ctseg.phantom.plane import Field, Plane, Points, polygon, union
from ctseg.phantom.reference import Reference
from ctseg.phantom.shapes import Contour

# The usual height of a dome of the diaphragm, and over how many mm the domes flow into each other.
_DOME, _FLOW = -88.0, 9.0


@dataclass(frozen=True)
class Spaces:
    """A plane's share in each space, (H, W), 0 to 1: `inside` is all within the rib cage.

    `depth` is how many mm a pixel lies below the diaphragm, negative above it.
    """

    inside: Field
    lung: Field
    mediastinum: Field
    abdomen: Field
    depth: Field


@dataclass(frozen=True)
class Chest:
    """The spaces of one patient."""

    cavity: Contour
    mediastinum: Contour
    domes: tuple[float, float]

    def wall(self, z: float) -> Points:
        """The inner surface of the rib cage at a level, (m, 2) mm."""
        return self.cavity.at(z)

    def spaces(self, plane: Plane) -> Spaces:
        """Who owns which pixel of a plane."""
        inside = union(plane, [polygon(plane, self.wall(plane.z))])
        middle = union(plane, [polygon(plane, self.mediastinum.at(plane.z))])
        depth = self._diaphragm(plane) - plane.z
        # Partial volume: a thick slice that a dome touches is part lung, part liver.
        soft = np.float32(max(plane.half_thickness, 0.5) * 2)
        below = np.clip(depth / soft + 0.5, 0, 1)
        above = np.clip((plane.z - _cupola(plane)) / soft + 0.5, 0, 1)
        return Spaces(
            inside=inside,
            lung=inside * (1 - middle) * (1 - below) * (1 - above),
            mediastinum=inside * (1 - below) * np.maximum(middle, above),
            abdomen=inside * below,
            depth=depth,
        )

    def _diaphragm(self, plane: Plane) -> Field:
        """The height (H, W) of the diaphragm: two domes, and between them the tendon on which the heart lies."""
        right, left = (_DOME + higher for higher in self.domes)
        above = max(right, left) + 2 * _FLOW
        if plane.z - 2 * plane.half_thickness > above + 1:
            return np.full((plane.size, plane.size), above, np.float32)
        heights = np.stack(
            [
                _bowl(-plane.x - 92, plane.y + 62, right, (80, 44), (64, 79)),
                _bowl(plane.x - 92, plane.y + 62, left, (80, 44), (64, 79)),
                _bowl(plane.x, plane.y + 82, _DOME - 13, (90, 90), (64, 50)),
            ]
        )
        # A soft maximum: the domes flow into each other.
        highest = heights.max(axis=0)
        flow = np.log(np.exp((heights - highest) / _FLOW).sum(axis=0)) - 0.5
        return np.asarray(highest + _FLOW * flow, np.float32)


def draw_chest(random: np.random.Generator, reference: Reference, build: Build) -> Chest:
    """Draw a patient's chest."""
    return Chest(
        cavity=reference.symmetric("rib cage").varied(random, 1.5),
        mediastinum=reference.outline("mediastinum").varied(random, 0.8),
        domes=build.domes,
    )


def _bowl(x: Field, y: Field, top: float, across: tuple[float, float], along: tuple[float, float]) -> Field:
    """A paraboloid (H, W) that falls by 34 mm over its half axes, which differ for negative and positive sides."""
    a, b = np.where(x < 0, *across), np.where(y < 0, *along)
    return np.asarray(top - 34 * ((x / a) ** 2 + (y / b) ** 2), np.float32)


def _cupola(plane: Plane) -> Field:
    """The height (H, W) of the top of the lungs."""
    across = (np.abs(plane.x) - 46) / 62
    along = (plane.y + 26) / 80
    return np.asarray(108 - 52 * (across**2 + along**2), np.float32)
