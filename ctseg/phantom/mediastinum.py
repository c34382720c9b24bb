"""The middle of the chest: heart, great vessels, oesophagus, windpipe and main bronchi."""

from dataclasses import dataclass

import numpy as np

from ctseg.phantom.chest import Spaces
from ctseg.phantom.plane import Canvas, Field, discs, polygon, union
from ctseg.phantom.reference import Reference
from ctseg.phantom.shapes import Contour, Tube, scaled
from ctseg.phantom.texture import Lattice, lattice

BLOOD, MYOCARDIUM, FAT, SOFT, THYROID, AIR = 42.0, 50.0, -98.0, 40.0, 95.0, -1000.0

# Where lymph nodes lie, (x, y, z) in mm.
_NODES = ((-18, -52, 22), (-22, -48, 34), (24, -46, 14), (4, -34, -12), (-4, -90, 40), (12, -78, 30))
# The fat in the grooves of the heart: where along its outline, and its radius in mm.
_GROOVES = ((0.13, 6.5), (0.42, 7.0), (0.88, 12.0))
_WALL = 1.3


@dataclass(frozen=True)
class Mediastinum:
    """The middle of one patient's chest; `collapsed` is how many mm of the oesophagus's radius are not air."""

    heart: Contour
    vessels: tuple[Tube, ...]
    airways: tuple[Tube, ...]
    oesophagus: Tube
    thyroid: tuple[Tube, ...]
    nodes: Tube
    collapsed: float
    grain: Lattice

    def paint(self, canvas: Canvas, spaces: Spaces) -> Field:
        """Paint it; gives back how much of each pixel (H, W) heart, vessels or airways take from the lung."""
        plane, z = canvas.plane, canvas.plane.z
        grain = self.grain.on(plane)
        canvas.blend(spaces.mediastinum, FAT + 4 * grain + 70 * np.clip(grain - 1.3, 0, 1))
        towards_neck = spaces.mediastinum * np.clip((z - 78) / 25, 0, 1)
        canvas.blend(towards_neck, np.clip(30 + 60 * grain, -100, 60))
        heart = self._paint_heart(canvas, 1 - spaces.abdomen)
        vessels = union(plane, [discs(plane, vessel.section(z)) for vessel in self.vessels])
        canvas.blend(vessels, BLOOD)
        canvas.paint(discs(plane, self.nodes.section(z)), SOFT - 5, within=spaces.mediastinum)
        canvas.paint(discs(plane, self.oesophagus.section(z)), SOFT - 4)
        canvas.paint(discs(plane, self.oesophagus.section(z, -self.collapsed)), -700.0)
        for lobe in self.thyroid:
            canvas.paint(discs(plane, lobe.section(z)), THYROID)
        walls = union(plane, [discs(plane, airway.section(z, _WALL)) for airway in self.airways])
        canvas.blend(walls, 10.0)
        for airway in self.airways:
            canvas.paint(discs(plane, airway.section(z)), AIR)
        return np.maximum(np.maximum(heart, vessels), walls)

    def _paint_heart(self, canvas: Canvas, above: Field) -> Field:
        """Paint the heart as far as it lies above the diaphragm; gives back its cover (H, W)."""
        plane = canvas.plane
        outline = self.heart.at(plane.z)
        if not len(outline):
            return np.zeros_like(above)
        whole = union(plane, [polygon(plane, outline)]) * above
        canvas.blend(whole, MYOCARDIUM)
        canvas.paint(polygon(plane, scaled(outline, 0.87)), BLOOD + 3, within=above)
        rim = scaled(outline, 1.06)
        grooves = np.array([(*rim[int(place * len(rim))], radius) for place, radius in _GROOVES])
        canvas.paint(discs(plane, grooves), FAT + 25, within=whole)
        return whole


def draw_mediastinum(random: np.random.Generator, reference: Reference) -> Mediastinum:
    """Draw the middle of a patient's chest."""
    heart = reference.outline("heart", cap=12.0)
    # The spline lies inside its control points, the more so the fewer they are.
    fuller = np.stack([scaled(points, 1.08) for points in heart.points])
    places = np.array(_NODES) + random.normal(0, (2, 2, 4), (len(_NODES), 3))
    sizes = random.uniform(2.5, 4.5, (len(_NODES), 1))
    return Mediastinum(
        heart=Contour(heart.levels, fuller, heart.cap).varied(random, 1.5),
        vessels=reference.tubes("great vessels"),
        airways=reference.tubes("airways"),
        oesophagus=reference.tubes("oesophagus")[0],
        thyroid=reference.tubes("thyroid"),
        nodes=Tube(np.hstack([places, sizes])),
        collapsed=float(random.uniform(4.0, 7.0)),
        grain=lattice(random, 4.0),
    )
