"""What lies outside the rib cage: skin, fat, muscle, and the table that the patient lies on."""

from dataclasses import dataclass

import numpy as np

from ctseg.phantom.build import Build
from ctseg.phantom.plane import Canvas, Points, band, polygon
from ctseg.phantom.reference import Reference
from ctseg.phantom.shapes import Contour, halfway, normals, resampled
from ctseg.phantom.texture import Lattice, lattice

SKIN, FAT, MUSCLE, SEPTUM = 15.0, -105.0, 52.0, -65.0

# Planes of fat between muscles: where each starts and ends on the way from the front midline to the back, and
# how deep it lies at its start, middle and end (0: rib cage, 1: surface of the muscles).
_SEPTA = (
    (0.06, 0.30, 0.08, 0.50, 0.62),
    (0.22, 0.62, 0.25, 0.12, 0.42),
    (0.42, 0.78, 0.85, 0.45, 0.62),
    (0.60, 0.97, 0.60, 0.80, 0.74),
    (0.74, 0.94, 0.30, 0.42, 0.30),
)


@dataclass(frozen=True)
class Torso:
    """The wall of one patient's body."""

    skin: Contour
    muscle: Contour
    axilla: Contour
    marbling: Lattice
    strands: Lattice
    patchy: Lattice

    def paint(self, canvas: Canvas, ribcage: Points) -> None:
        """Paint all that lies outside the rib cage, whose inner surface is `ribcage` (m, 2) mm."""
        plane = canvas.plane
        skin, muscle = self.skin.at(plane.z), self.muscle.at(plane.z)
        marbling, strands = self.marbling.on(plane), self.strands.on(plane)
        fat = FAT + 5 * marbling + 55 * np.clip(strands - 1.7, 0, 1)
        canvas.paint(polygon(plane, skin), SKIN)
        canvas.paint(polygon(plane, skin - 2.0 * normals(skin)), fat)
        canvas.paint(polygon(plane, muscle), MUSCLE + 7 * marbling - 45 * np.clip(strands - 1.6, 0, 1))
        # Here a seam of fat is wide, there it is too thin to be seen.
        patchy = np.clip(0.5 + 0.45 * self.patchy.on(plane), 0, 1)
        axilla = self.axilla.at(plane.z)
        for side in (1, -1):
            canvas.paint(polygon(plane, axilla * (side, 1)), fat + 70 * np.clip(strands - 0.9, 0, 1.8))
            for septum in _SEPTA:
                canvas.paint(band(plane, _seam(ribcage, muscle, septum, side), 1.9), SEPTUM, within=patchy)


def draw_torso(random: np.random.Generator, reference: Reference, build: Build) -> Torso:
    """Draw the wall of a patient's body."""
    muscle, skin = reference.symmetric("muscle"), reference.symmetric("skin")
    points = muscle.points + (skin.points - muscle.points) * build.fat
    points = points + _breasts(points, skin.levels, build.breast)
    return Torso(
        skin=Contour(skin.levels, points).varied(random, 1.5),
        muscle=muscle.varied(random, 1.2),
        axilla=reference.outline("axilla", cap=12.0),
        marbling=lattice(random, 5.0),
        strands=lattice(random, 3.0),
        patchy=lattice(random, 14.0),
    )


def paint_table(canvas: Canvas) -> None:
    """Paint the table: a curved shell of carbon fibre around foam, and the mattress on it."""
    plane = canvas.plane
    across = np.linspace(-260, 260, 81)
    upper = np.stack([across, 108 - 0.00115 * across**2], axis=1)
    lower = np.stack([across, 131 - 0.0013 * across**2], axis=1)
    mattress = np.stack([across, 97 - 0.00115 * across**2 + 0.6 * np.sin(across / 11)], axis=1)
    canvas.paint(polygon(plane, np.concatenate([upper, lower[::-1]])), -985.0)
    canvas.paint(polygon(plane, np.concatenate([mattress, upper[::-1]])), -975.0)
    canvas.paint(band(plane, mattress, 0.9), -780.0)
    for shell in (upper, lower):
        canvas.paint(band(plane, shell, 2.2), -120.0)


def _seam(ribcage: Points, muscle: Points, septum: tuple[float, ...], side: int) -> Points:
    """The line (24, 2) in which a plane of fat is cut."""
    start, end, *depths = septum
    places = np.linspace(start, end, 24)
    depth = np.interp(places, (start, (start + end) / 2, end), depths)[:, None]
    near, far = (resampled(halfway(outline, side), places) for outline in (ribcage, muscle))
    return near + (far - near) * depth


def _breasts(points: Points, levels: Points, depth: float) -> Points:
    """How far (L, n, 2) breasts of a depth in mm move the skin."""
    height = np.exp(-(((levels + 45) / 45) ** 2))[:, None]
    side = np.exp(-(((np.abs(points[..., 0]) - 82) / 42) ** 2)) * (points[..., 1] < -60)
    return np.stack([0.2 * np.sign(points[..., 0]) * height * side * depth, -height * side * depth], axis=-1)
