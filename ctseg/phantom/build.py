"""What differs from one made-up patient to the next."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Build:
    """A patient's build: the reference body is stretched by `stretch` (x, y, z) and shaped by the rest.

    `fat` scales the fat below the skin. `breast` is the depth of the breasts (0 for none), and `domes` is how far
    each half of the diaphragm (right, left) stands above its usual place, in mm. `parenchyma` is normal lung half
    way from front to back, and `noise` the deviation of the noise in the middle of the body, in HU.
    """

    stretch: tuple[float, float, float]
    fat: float
    breast: float
    domes: tuple[float, float]
    parenchyma: float
    noise: float


def draw_build(random: np.random.Generator) -> Build:
    """Draw an adult's build."""
    size = random.normal(1, 0.03)
    x, y, z = np.clip(size * random.normal(1, 0.025, 3), 0.92, 1.08)
    fat = float(np.clip(random.normal(1.0, 0.35), 0.5, 1.8))
    right = float(np.clip(random.normal(0, 6), -12, 12))
    return Build(
        stretch=(float(x), float(y), float(z)),
        fat=fat,
        breast=float(random.uniform(18, 38)) if random.random() < 0.5 else 0.0,
        domes=(right, right + float(random.uniform(-14, 0))),
        parenchyma=float(random.uniform(-892, -872)),
        noise=float(random.uniform(17, 26)),
    )
