"""What lies below the diaphragm: liver, stomach, spleen, kidneys, pancreas, bowel."""

from dataclasses import dataclass

import numpy as np

from ctseg.phantom.chest import Spaces
from ctseg.phantom.plane import Canvas, Field, discs, polygon
from ctseg.phantom.reference import Reference
from ctseg.phantom.shapes import Contour, Tube, scaled
from ctseg.phantom.texture import Lattice, lattice

LIVER, SPLEEN, STOMACH, KIDNEY, PANCREAS = 58.0, 50.0, 38.0, 32.0, 38.0
MUSCLE, FAT, GAS = 45.0, -102.0, -1000.0


@dataclass(frozen=True)
class Abdomen:
    """The upper abdomen of one patient; the stomach is full behind the y `fluid` in mm, in front of it is gas."""

    liver: Contour
    stomach: Contour
    spleen: Contour
    kidneys: tuple[Tube, ...]
    hepatic_veins: tuple[Tube, ...]
    pancreas: Tube
    colon: Tube
    gas: Tube
    fluid: float
    grain: Lattice

    def paint(self, canvas: Canvas, spaces: Spaces) -> None:
        """Paint what lies below the diaphragm, and the diaphragm itself as a thin layer of muscle."""
        within = spaces.abdomen
        if not within.any():
            return
        plane, z = canvas.plane, canvas.plane.z
        grain = self.grain.on(plane)
        canvas.blend(within, FAT + 4 * grain + 90 * np.clip(grain - 1.4, 0, 1))
        for kidney in self.kidneys:
            canvas.paint(discs(plane, kidney.section(z)), KIDNEY, within)
        self._paint_stomach(canvas, within)
        canvas.paint(polygon(plane, self.spleen.at(z)), SPLEEN, within)
        canvas.paint(polygon(plane, self.liver.at(z)), LIVER, within)
        for vein in self.hepatic_veins:
            canvas.paint(discs(plane, vein.section(z)), LIVER - 15, within)
        canvas.paint(discs(plane, self.pancreas.section(z)), PANCREAS, within)
        self._paint_colon(canvas, within, grain)
        canvas.blend(within * np.clip(1.2 - np.abs(spaces.depth - 1.5) / 3, 0, 1), MUSCLE)

    def _paint_stomach(self, canvas: Canvas, within: Field) -> None:
        """Paint the stomach: a wall, fluid, and the gas that rises to the front."""
        plane = canvas.plane
        outline = self.stomach.at(plane.z)
        inside = polygon(plane, scaled(outline, 0.9))
        canvas.paint(polygon(plane, outline), STOMACH + 5, within)
        canvas.paint(inside, STOMACH, within)
        canvas.paint(inside, GAS, within * np.clip((self.fluid - plane.y) / plane.pitch[1] + 0.5, 0, 1))

    def _paint_colon(self, canvas: Canvas, within: Field, grain: Field) -> None:
        """Paint the colon: a wall, stool with bubbles, and a gas-filled middle."""
        plane, z = canvas.plane, canvas.plane.z
        stool = 10 + 30 * grain - 900 * np.clip(1.4 * (grain - 1.0), 0, 1)
        canvas.paint(discs(plane, self.colon.section(z)), STOMACH, within)
        canvas.paint(discs(plane, self.colon.section(z, -2.2)), stool, within)
        canvas.paint(discs(plane, self.gas.section(z)), GAS, within)


def draw_abdomen(random: np.random.Generator, reference: Reference) -> Abdomen:
    """Draw a patient's upper abdomen."""
    colon = reference.tubes("colon")[0]
    gas = colon.balls.copy()
    gas[:, 1] -= 4
    gas[:, 3] *= random.uniform(0.2, 0.8, len(gas))
    return Abdomen(
        liver=reference.outline("liver", cap=8.0).varied(random, 2.0),
        stomach=reference.outline("stomach", cap=14.0).varied(random, 3.0),
        spleen=reference.outline("spleen", cap=14.0).varied(random, 2.5),
        kidneys=reference.tubes("kidneys"),
        hepatic_veins=reference.tubes("hepatic veins"),
        pancreas=reference.tubes("pancreas")[0],
        colon=colon,
        gas=Tube(gas),
        fluid=float(random.uniform(-96, -78)),
        grain=lattice(random, 4.0),
    )
