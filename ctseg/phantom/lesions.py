"""Ground glass and consolidation: patches at the ribs, low and at the back, where pneumonia likes to sit."""

from dataclasses import dataclass, replace

import numpy as np

from ctseg.phantom.plane import Field, Plane, Points
from ctseg.phantom.survey import Survey
from ctseg.phantom.texture import Lattice, lattice

# Patches hold so much more than what they share out: they overlap, and the pleura cuts them.
_GENEROSITY = 1.7


@dataclass(frozen=True)
class Patches:
    """Where the lung is diseased: ragged ellipsoids of `centres` and `radii`, (n, 3) mm.

    Lung whose strength exceeds `glass_edge` is diseased; where its solidity exceeds `solid_edge` too, it is solid.
    """

    centres: Points
    radii: Points
    lobules: Lattice
    ragged: Lattice
    density: Lattice
    glass_edge: float = 0.0
    solid_edge: float = 0.0

    def past_edges(self, plane: Plane) -> tuple[Field, Field]:
        """How far (H, W) each pixel lies past the edge of ground glass, and past that of consolidation."""
        strength = self.strength(plane)
        return strength - self.glass_edge, self.solidity(plane, strength) - self.solid_edge

    def strength(self, plane: Plane) -> Field:
        """How deep (H, W) inside a patch each pixel lies: 1 in the middle of one, -1 far from all."""
        field = np.full((plane.size, plane.size), -1.0, np.float32)
        for centre, radius in zip(self.centres, self.radii, strict=True):
            rise = ((plane.z - centre[2]) / radius[2]) ** 2
            if rise < 4:
                across = np.square((plane.x - centre[0]) / radius[0], dtype=np.float32)
                along = np.square((plane.y - centre[1]) / radius[1], dtype=np.float32)
                np.maximum(field, 1 - np.sqrt(across + along + np.float32(rise)), out=field)
        field += 0.2 * self.lobules.on(plane) + 0.1 * self.ragged.on(plane)
        return field

    def solidity(self, plane: Plane, strength: Field) -> Field:
        """How likely (H, W) a diseased pixel is solid: more so deep inside and at the back."""
        field = 0.9 * strength + np.float32(0.004) * (plane.y + 40)
        field += 0.3 * self.density.on(plane) + 0.12 * self.ragged.on(plane)
        return field


def draw_patches(random: np.random.Generator, survey: Survey, disease: float) -> Patches:
    """Draw patches that take up the share `disease` (above 0) of the lung, some of it solid."""
    number = 5 + round(24 * disease)
    x, y, z = survey.sites.T
    # Not at the spine, which counts as rib cage.
    chance = np.exp(-survey.depths / 10 + 0.012 * y - 0.008 * z) * (np.abs(x) > 45)
    chosen = random.choice(len(x), number, replace=False, p=chance / chance.sum())
    volume = _GENEROSITY * disease * len(x) * survey.voxel_mm3 / number
    radius = (3 * volume / (4 * np.pi)) ** (1 / 3)
    patches = Patches(
        centres=survey.sites[chosen],
        radii=radius * random.uniform(0.55, 1.35, (number, 1)) * random.uniform(0.8, 1.25, (number, 3)),
        lobules=lattice(random, 13.0),
        ragged=lattice(random, 4.5),
        density=lattice(random, 26.0),
    )
    # The edges are set so that the shares come out right.
    strength = survey.sample(patches.strength)
    solidity = survey.sample(lambda plane: patches.solidity(plane, patches.strength(plane)))
    glass_edge = float(np.quantile(strength, 1 - disease))
    solid_share = float(random.uniform(0.15, 0.4))
    solid_edge = float(np.quantile(solidity[strength > glass_edge], 1 - solid_share))
    return replace(patches, glass_edge=glass_edge, solid_edge=solid_edge)
