"""The lungs: parenchyma, fissures, vessel trees, airways and what is diseased; and their labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ctseg.classes import BACKGROUND, CONSOLIDATION, GROUND_GLASS, NORMAL_LUNG, Labels
from ctseg.phantom.lesions import Patches
from ctseg.phantom.plane import Canvas, Field, Plane
from ctseg.phantom.survey import Survey
from ctseg.phantom.texture import Lattice, lattice, smoothstep
from ctseg.phantom.vessels import Tree, grow, join

VESSEL, AIR, GLASS, SOLID = 42.0, -1000.0, -645.0, 28.0

# Where the trees enter the lungs, at the ends of the vessels of the mediastinum, (x, y, z) in mm: lower right,
# lower left, upper right, upper left.
_ARTERY_ROOTS = ((-54.0, -24.0, -56.0), (52.0, -10.0, -56.0), (-48.0, -48.0, -13.0), (43.0, -28.0, -13.0))
_VEIN_ROOTS = ((-50.0, -27.0, -62.0), (46.0, -22.0, -58.0), (-52.0, -65.0, -18.0), (43.0, -65.0, -9.0))
_TWIGS, _TWIG_RADIUS = 650, 0.32


@dataclass(frozen=True)
class Lungs:
    """The lungs of one patient; `parenchyma` is the HU of normal lung half way from front to back."""

    parenchyma: float
    vessels: Tree
    airways: Tree
    patches: Patches | None
    coarse: Lattice
    middle: Lattice
    fine: Lattice

    def paint(self, canvas: Canvas, lung: Field) -> Labels:
        """Paint the lungs as far as `lung` (H, W), 0 to 1, says; gives back the truth (H, W), class indices."""
        plane = canvas.plane
        labels = np.where(lung > 0.5, np.uint8(NORMAL_LUNG.index), np.uint8(BACKGROUND.index))
        if not lung.any():
            return labels
        middle, fine = self.middle.on(plane), self.fine.on(plane)
        # Lung hangs in the chest: it is stretched thin in front and pressed together at the back.
        gravity = np.float32(0.24) * (plane.y + 45)
        hu = self.parenchyma + gravity + 8 * self.coarse.on(plane) + 7 * middle + 8 * fine
        hu += 75 * (_fissure(plane, 1) + _fissure(plane, -1))
        if self.patches is not None:
            glass, solid = self.patches.past_edges(plane)
            veil = GLASS + gravity + 35 * middle + 45 * fine + 150 * np.clip(glass, 0, 0.8)
            hu += (veil - hu) * smoothstep(glass / 0.3 + 0.5)
            hu += (SOLID + 8 * middle - hu) * smoothstep(solid / 0.3 + 0.5) * smoothstep(glass / 0.2 + 0.5)
            _mark(labels, glass, solid)
        hu += (VESSEL - hu) * self.vessels.cover(plane)
        # Seen through consolidation, the airways make an air bronchogram.
        hu += (-350 - hu) * 0.7 * self._walled_airways.cover(plane, wall=0.5)
        hu += (AIR - hu) * self.airways.cover(plane)
        canvas.blend(lung, hu)
        hilum = np.maximum(self._hilar_vessels.cover(plane), self._hilar_airways.cover(plane, wall=0.7))
        labels[hilum > 0.5] = BACKGROUND.index
        return labels

    @cached_property
    def _walled_airways(self) -> Tree:
        """Those whose wall can be seen."""
        return self.airways.thicker(0.7)

    @cached_property
    def _hilar_vessels(self) -> Tree:
        """Those that a radiologist leaves out of the lung."""
        return self.vessels.thicker(3.6)

    @cached_property
    def _hilar_airways(self) -> Tree:
        return self.airways.thicker(2.0)


def draw_lungs(random: np.random.Generator, survey: Survey, parenchyma: float) -> Lungs:
    """Draw a patient's lungs, healthy."""
    arteries = _lobes(random, survey, _ARTERY_ROOTS)
    return Lungs(
        parenchyma=parenchyma,
        vessels=join([arteries, _lobes(random, survey, _VEIN_ROOTS)]),
        airways=arteries.thicker(0.9).beside(0.62),
        patches=None,
        coarse=lattice(random, 24.0),
        middle=lattice(random, 7.0),
        fine=lattice(random, 2.2),
    )


def _lobes(random: np.random.Generator, survey: Survey, roots: Sequence[tuple[float, float, float]]) -> Tree:
    """Trees from four roots: lower right, lower left, upper right, upper left."""
    x, y, z = survey.sites.T
    upper = z - 0.6 * y > 15
    trees = []
    for root, served in zip(roots, (~upper & (x < 0), ~upper & (x > 0), upper & (x < 0), upper & (x > 0)), strict=True):
        sites = survey.sites[served]
        cloud = sites[random.choice(len(sites), _TWIGS, replace=False)]
        trees.append(grow(random, np.array(root), cloud + random.uniform(-2, 2, cloud.shape), _TWIG_RADIUS))
    return join(trees)


def _mark(labels: Labels, glass: Field, solid: Field) -> None:
    """Label lung that lies past the edges as diseased, in place."""
    diseased = (glass > 0) & (labels == NORMAL_LUNG.index)
    labels[diseased] = GROUND_GLASS.index
    labels[diseased & (solid > 0)] = CONSOLIDATION.index


def _fissure(plane: Plane, side: int) -> Field:
    """How much of each pixel (H, W) is the major fissure: a slanting, slightly bent sheet, under a mm thick."""
    lateral = side * plane.x
    sheet = plane.y - (10 + 0.95 * plane.z) - 0.002 * (lateral - 70) ** 2
    thick = 0.55 + 0.5 * plane.half_thickness
    seen = np.clip(1.2 - np.abs(sheet) / (thick + plane.pitch[1]), 0, 1) * min(1.0, 1.2 / thick)
    return np.asarray(seen * (lateral > 8), np.float32)
