"""The spine: vertebral bodies and discs by turns, the arch behind them, the canal with the cord."""

from dataclasses import dataclass

import numpy as np

from ctseg.phantom.plane import Canvas, Field, Patch, Plane, Points, band, discs, polygon
from ctseg.phantom.shapes import arc, superellipse

BONE, DISC, CANAL, CORD = 575.0, 85.0, 5.0, 38.0

_VERTEBRA = 23.0
_DISC_SHARE = 0.16
# The middle, half width and half depth of the vertebral bodies by level, all in mm.
_LEVELS = (-170, -60, 0, 45, 70, 95, 120)
_MIDDLE = (8, 9, 6, -3, -12, -22, -27)
_WIDTH = (21, 17.5, 16, 15, 14.5, 14, 14)
_DEPTH = (16.5, 14.5, 13, 11.3, 10.4, 9.5, 9.5)


@dataclass(frozen=True)
class Spine:
    """One patient's spine; a disc begins at the height `disc_at` in mm."""

    disc_at: float

    def body(self, plane: Plane, margin: float = 0.0) -> Patch:
        """The vertebral body or disc in a plane, wider all round by a `margin` in mm."""
        width, depth, middle = (float(np.interp(plane.z, _LEVELS, by)) for by in (_WIDTH, _DEPTH, _MIDDLE))
        outline = superellipse(width + margin, depth + margin, 2.3) + np.array((0, middle))
        outline[:, 1] = np.minimum(outline[:, 1], _back(plane.z) + margin)
        return polygon(plane, outline)

    def paint(self, canvas: Canvas, marrow: Field) -> None:
        """Paint the spine, its inside as `marrow` (H, W) has it in HU."""
        # 0 at the lower edge of a disc, 1 at the next.
        level = ((canvas.plane.z - self.disc_at) / _VERTEBRA) % 1
        self._paint_arch(canvas, _back(canvas.plane.z), level)
        if level < _DISC_SHARE:
            canvas.paint(self.body(canvas.plane), DISC)
            return
        endplate = level < _DISC_SHARE + 0.08 or level > 0.92
        canvas.paint(self.body(canvas.plane), BONE)
        canvas.paint(self.body(canvas.plane, -1.8), marrow + 60 * endplate)

    def _paint_arch(self, canvas: Canvas, back: float, level: float) -> None:
        """The ring behind a body that ends at `back`, with its processes; each is seen at some levels only."""
        plane, canal = canvas.plane, back + 8.5
        pedicle, transverse = 0.42 < level < 0.86, 0.3 < level < 0.8
        reach = float(np.interp(level, (0, 0.2, 0.5, 0.8, 1), (26, 20, 10, 16, 26)))
        spinous = np.array([(0, canal + 9), (0, canal + 9 + reach)])
        parts = [band(plane, spinous, 5.0)]
        for side in (1, -1):
            mirror = np.array((side, 1))
            parts.append(band(plane, _lamina(canal) * mirror, 4.6))
            parts.append(discs(plane, np.array([(13.5 * side, canal, 5.5 if pedicle else 4.5)])))
            if pedicle:
                parts.append(band(plane, np.array([(11.5, back - 4), (12, canal)]) * mirror, 6.0))
            if transverse:
                parts.append(band(plane, np.array([(14, canal + 1), (21, canal + 7), (26, canal + 11)]) * mirror, 6.5))
        for part in parts:
            canvas.paint(part, BONE)
        canvas.paint(band(plane, spinous + np.array([(0, 1), (0, -3)]), 1.5), BONE - 300)
        canvas.paint(discs(plane, np.array([(0, canal, 8.6)])), CANAL)
        canvas.paint(discs(plane, np.array([(0, canal, 5.6)])), CORD)


def draw_spine(random: np.random.Generator) -> Spine:
    """Draw a patient's spine."""
    return Spine(float(random.uniform(0, _VERTEBRA)))


def _back(z: float) -> float:
    """Where the vertebral bodies end towards the canal: flatter there than in front."""
    return float(np.interp(z, _LEVELS, _MIDDLE)) + 0.8 * float(np.interp(z, _LEVELS, _DEPTH))


def _lamina(canal: float) -> Points:
    """A quarter of the ring round the canal, from its left side to its back."""
    return np.asarray(arc(10.8, 11.0, -0.3, np.pi / 2) + np.array((0, canal)))
