"""The four classes that every pixel of a slice belongs to."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

RGB = tuple[int, int, int]

Labels = npt.NDArray[np.uint8]
"""A mask: (H, W), or (slices, H, W) of a scan, each pixel the index of its class."""


@dataclass(frozen=True, slots=True)
class TissueClass:
    """One class: `index` is its pixel value in a mask, `colour` (R, G, B) how it is drawn."""

    index: int
    name: str
    colour: RGB

    @property
    def title(self) -> str:
        """The name as people write it: `ground glass`."""
        return self.name.replace("_", " ")


# Colours that differ in lightness as well as hue, so that they stay apart for colour-blind readers and in print.
BACKGROUND = TissueClass(0, "background", (0, 0, 0))
NORMAL_LUNG = TissueClass(1, "normal_lung", (58, 134, 255))
GROUND_GLASS = TissueClass(2, "ground_glass", (255, 190, 11))
CONSOLIDATION = TissueClass(3, "consolidation", (230, 57, 70))

CLASSES = (BACKGROUND, NORMAL_LUNG, GROUND_GLASS, CONSOLIDATION)
LUNG = (NORMAL_LUNG, GROUND_GLASS, CONSOLIDATION)
LESION = (GROUND_GLASS, CONSOLIDATION)


def class_named(name: str) -> TissueClass:
    """The class with this `name`; raises ValueError for any other, listing the names."""
    for tissue in CLASSES:
        if tissue.name == name:
            return tissue
    raise ValueError(f"no class is called {name!r}; the classes are {', '.join(c.name for c in CLASSES)}")


def bits(classes: Iterable[TissueClass]) -> int:
    """A set of classes as a bit field, bit i for class i: which classes a pixel may be."""
    return sum({1 << tissue.index for tissue in classes})
