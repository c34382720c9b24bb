"""Randomness with a grain: noise that is smooth in space, and the noise of a CT reconstruction."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from ctseg.phantom.plane import Field, Plane

# The box in mm that a lattice fills, as far as its cells reach; beyond, it repeats in z and is mirrored in-plane.
_EXTENT = (400.0, 440.0, 560.0)
_CORNER = (-260.0, -280.0)
_MOST_CELLS = 96


@dataclass(frozen=True)
class Lattice:
    """Noise of mean 0 and deviation about 1 that is smooth over `cell` mm in all three directions."""

    cell: float
    values: npt.NDArray[np.float32]

    def on(self, plane: Plane) -> Field:
        """The noise (H, W) in a plane."""
        place = plane.z / self.cell
        floor = int(np.floor(place))
        part = np.float32(place - floor)
        weight = part * part * (3 - 2 * part)
        below, above = (self.values[level % len(self.values)] for level in (floor, floor + 1))
        # Between two layers the deviation would sink; this keeps it.
        layer = (below * (1 - weight) + above * weight) / np.sqrt(weight**2 + (1 - weight) ** 2)
        # Cells of many pixels are interpolated cubically at every `step`th pixel and linearly between, those of
        # few pixels linearly: it looks the same and is far quicker.
        step = int(np.clip(self.cell / plane.pitch[0] / 4, 1, 4))
        size = -(-plane.size // step)
        to_cells = np.array(
            [
                [plane.pitch[axis] * step / self.cell if axis == row else 0 for axis in (0, 1)]
                + [(plane.corner[row] + (step - 1) / 2 * plane.pitch[row] - _CORNER[row]) / self.cell]
                for row in (0, 1)
            ]
        )
        how = (cv2.INTER_CUBIC if step > 1 else cv2.INTER_LINEAR) | cv2.WARP_INVERSE_MAP
        field = cv2.warpAffine(layer, to_cells, (size, size), flags=how, borderMode=cv2.BORDER_REFLECT)
        if step > 1:
            field = cv2.resize(field, (size * step, size * step))[: plane.size, : plane.size]
        return np.asarray(field, np.float32)


def lattice(random: np.random.Generator, cell: float) -> Lattice:
    """Draw a lattice."""
    shape = [min(int(np.ceil(length / cell)) + 2, _MOST_CELLS) for length in _EXTENT]
    return Lattice(cell, random.standard_normal(shape, dtype=np.float32))


def ct_noise(random: np.random.Generator, plane: Plane, streak: float) -> Field:
    """Noise (H, W) of deviation 1 with the grain of a filtered back projection: neighbours alike, no slow drift.

    `streak` is how strong, beside it, the streaks are that run along the rays through most bone, side to side.
    """
    white = random.standard_normal((plane.size, plane.size), dtype=np.float32)
    fine = cv2.GaussianBlur(white, (0, 0), max(0.45 / plane.pitch[0], 0.3))
    near, along, far = (2 * round(mm / plane.pitch[0]) + 3 for mm in (1.5, 5.0, 14.0))
    grain = fine - cv2.blur(white, (near, near))
    line = np.flip(fine)
    streaks = cv2.blur(line, (along, 1)) - cv2.blur(line, (far, 1))
    mixed = grain / grain.std() + np.float32(streak) * streaks / streaks.std()
    return np.asarray(mixed / np.float32(np.sqrt(1 + streak**2)), np.float32)


def smoothstep(values: Field) -> Field:
    """0 below 0, 1 above 1, smooth between."""
    part = np.clip(values, 0, 1)
    return part * part * (3 - 2 * part)
