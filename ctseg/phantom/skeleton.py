"""The bones: ribs, breastbone, shoulder blades and collar bones, and the spine."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ctseg.phantom.plane import Canvas, Field, Points, band, discs, polygon
from ctseg.phantom.reference import Reference
from ctseg.phantom.shapes import Sheet, Tube, halfway, normals, resampled, superellipse
from ctseg.phantom.spine import Spine, draw_spine
from ctseg.phantom.texture import Lattice, lattice

CORTEX, MARROW, CARTILAGE = 680.0, 170.0, 95.0

# Ribs 1 to 12: height of the head, how far the rib falls towards the front, both in mm; where along the
# wall it ends and where it turns to cartilage, as shares of the way from the spine to the breastbone.
_RIBS = (
    (92, 32, 0.95, 0.78),
    (68, 44, 0.95, 0.82),
    (46, 56, 0.95, 0.83),
    (23, 66, 0.95, 0.83),
    (0, 73, 0.95, 0.82),
    (-23, 76, 0.95, 0.80),
    (-46, 76, 0.93, 0.78),
    (-69, 74, 0.86, 0.74),
    (-92, 70, 0.80, 0.70),
    (-115, 62, 0.74, 0.66),
    (-138, 50, 0.55, 0.52),
    (-161, 36, 0.34, 0.32),
)
_RIB_HALF_HEIGHT, _RIB_THICKNESS, _RIB_OFFSET = 6.8, 8.2, 5.5
# The cartilages of the lower ribs climb back to the breastbone.
_TRUE_RIB_ABOVE = -20

# Half width and half thickness in mm of the breastbone by level.
_STERNUM_LEVELS = (-92, -84, -40, 20, 26, 52, 72)
_STERNUM_WIDTH = (4, 13, 18, 15, 20, 26, 31)
_STERNUM_DEPTH = (3, 5, 5.5, 5.5, 6, 7, 8)


@dataclass(frozen=True)
class Skeleton:
    """The bones of one patient; by `lean` mm the left ribs stand lower than usual, the right ones higher."""

    spine: Spine
    blade: Sheet
    blade_spine: Sheet
    shoulder: tuple[Tube, ...]
    grain: Lattice
    lean: float

    def paint(self, canvas: Canvas, ribcage: Points) -> None:
        """Paint the bones; the inner surface of the rib cage is `ribcage` (m, 2) mm."""
        marrow = MARROW + 22 * self.grain.on(canvas.plane)
        for side in (1, -1):
            self._paint_ribs(canvas, halfway(ribcage, side)[::-1], side)
            for bone in self.shoulder:
                _paint_round_bone(canvas, bone, side)
            _paint_plate(canvas, self.blade, 3.4, side)
            _paint_plate(canvas, self.blade_spine, 4.6, side)
        _paint_sternum(canvas, float(ribcage[0, 1]), marrow)
        self.spine.paint(canvas, marrow)

    def _paint_ribs(self, canvas: Canvas, wall: Points, side: int) -> None:
        """Ribs slope, so a plane cuts each obliquely: a long sliver that moves forward from slice to slice."""
        line = resampled(wall, np.linspace(0, 1, 320))
        along = np.r_[0, np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))]
        along /= along[-1]
        outward = normals(line) * -side
        slender = np.interp(along, (0.07, 0.16, 0.3), (0.62, 0.75, 1))
        for head, fall, end, cartilage in _RIBS:
            lift = 0.86 if head > _TRUE_RIB_ABOVE else 0.55
            fallen = fall * np.interp(along, (0.07, 0.25, 0.5, 0.76, 0.86, 1), (0, 0.26, 0.64, 1, 0.97, lift))
            off = (canvas.plane.z + self.lean * side - head + fallen) / _RIB_HALF_HEIGHT
            half = 0.5 * _RIB_THICKNESS * slender * np.sqrt(np.clip(1 - off**2, 0, 1))
            for run in _runs((np.abs(off) < 1) & (along > 0.075) & (along < end)):
                middle = line[run] + _RIB_OFFSET * outward[run]
                reach = half[run, None] * outward[run]
                bone = along[run] < cartilage
                _paint_sliver(canvas, middle[~bone], reach[~bone], (CARTILAGE, CARTILAGE - 15))
                _paint_sliver(canvas, middle[bone], reach[bone], (CORTEX + 40, MARROW))


def draw_skeleton(random: np.random.Generator, reference: Reference) -> Skeleton:
    """Draw a patient's bones."""
    return Skeleton(
        spine=draw_spine(random),
        blade=reference.line("shoulder blade"),
        blade_spine=reference.line("spine of the shoulder blade"),
        shoulder=reference.tubes("shoulder"),
        grain=lattice(random, 1.6),
        lean=float(random.normal(0, 4)),
    )


def _paint_sternum(canvas: Canvas, behind: float, marrow: Field) -> None:
    z = canvas.plane.z
    if not _STERNUM_LEVELS[0] < z < _STERNUM_LEVELS[-1]:
        return
    width, depth = (float(np.interp(z, _STERNUM_LEVELS, by)) for by in (_STERNUM_WIDTH, _STERNUM_DEPTH))
    for shrink, hu in ((0.0, CORTEX - 160), (1.8, marrow - 60)):
        outline = superellipse(width - shrink, max(depth - shrink, 0.5), 3.5) + np.array((0, behind - depth - 1.5))
        canvas.paint(polygon(canvas.plane, outline), hu)


def _paint_plate(canvas: Canvas, sheet: Sheet, width: float, side: int) -> None:
    """Paint a thin flat bone with its thicker rims."""
    line = sheet.at(canvas.plane.z)
    if line is None:
        return
    line = line * (side, 1)
    canvas.paint(band(canvas.plane, line, width), CORTEX - 80)
    for end, radius in ((line[0], 5.5), (line[-1], 2.6)):
        canvas.paint(discs(canvas.plane, np.array([[*end, radius]])), CORTEX - 40)
        canvas.paint(discs(canvas.plane, np.array([[*end, radius - 2]])), MARROW + 60)


def _paint_round_bone(canvas: Canvas, bone: Tube, side: int) -> None:
    for wall, hu in ((0.0, CORTEX - 20), (-2.2, MARROW + 60)):
        canvas.paint(discs(canvas.plane, bone.section(canvas.plane.z, wall) * (side, 1, 1)), hu)


def _paint_sliver(canvas: Canvas, middle: Points, reach: Points, rim_and_core: tuple[float, float]) -> None:
    """A strip round the line `middle` (n, 2), half as thick as `reach` (n, 2) is long, and its core."""
    half = np.linalg.norm(reach, axis=1, keepdims=True)
    for rim, hu in zip((0.0, 1.6), rim_and_core, strict=True):
        inner = reach * np.maximum(1 - rim / np.maximum(half, 1e-6), 0)
        thick = inner.any(axis=1)
        if thick.sum() > 1:
            outline = np.concatenate([(middle + inner)[thick], (middle - inner)[thick][::-1]])
            canvas.paint(polygon(canvas.plane, outline), hu)


def _runs(flags: npt.NDArray[np.bool_]) -> Iterator[slice]:
    """The stretches of True."""
    edges = np.flatnonzero(np.diff(np.r_[False, flags, False].astype(np.int8)))
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        yield slice(start, stop)
