"""Augmentation of a slice: geometry, windows, and what scanners and exports do to its grey values."""

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from ctseg.classes import BACKGROUND, CLASSES, bits
from ctseg.prepare import Preparation, to_grey
from ctseg.training.cutmix import cutmix
from ctseg.training.samples import Drawn, Sample

Grey = npt.NDArray[np.float32]
"""Grey values 0..255, (H, W) float32."""


_SURE_OF_BACKGROUND = tuple(255 * (c == BACKGROUND) for c in CLASSES)

QUADRUPLE = 4
"""How many slices `quadruple` makes of one."""


def quadruple(sample: Sample, variant: int, how: Preparation, canvas: int) -> Drawn:
    """The slice itself (0), mirrored left to right (1), upside down (2), or turned by 45 degrees (3)."""
    matrix = (
        np.diag([1.0, 1.0, 1.0]),
        np.diag([-1.0, 1.0, 1.0]),
        np.diag([1.0, -1.0, 1.0]),
        _rotation(45.0),
    )[variant]
    return _draw(sample, to_grey(sample.image, how.window), matrix, 1.0, canvas)


def randomise(
    sample: Sample, rng: np.random.Generator, how: Preparation, canvas: int, plain: float = 0.0,
    partner: Sample | None = None,
) -> Drawn:  # fmt: skip
    """The slice in a random window, place, size and orientation, with random damage to its grey values.

    With probability `plain` it is drawn more as in use: in the model's own window, undamaged, nearly in full size, and
    mirrored and turned as most are, but not by any angle. A rectangle of a `partner` shares its window and its damage:
    a slice in use has one of each.
    """
    is_plain = plain > 0 and rng.random() < plain
    window = how.window if is_plain else _random_window(rng, how)

    def at_random(one: Sample) -> Drawn:
        low, high = (0.85, 1.15) if is_plain else (0.65, 1.35)
        scale = how.long_side / canvas * float(np.exp(rng.uniform(np.log(low), np.log(high))))
        turn = _random_geometry(rng, 0.0 if is_plain else 0.25)
        return _draw(one, to_grey(one.image, window), turn, scale, canvas)

    drawn = at_random(sample)
    if partner is not None:
        drawn = cutmix(drawn, at_random(partner), rng)
    grey = drawn.grey
    for chance, change in () if is_plain else _CHANGES:
        if rng.random() < chance:
            grey = np.clip(change(grey, rng), 0, 255).astype(np.float32)
    return drawn._replace(grey=grey)


def _draw(
    sample: Sample, grey: npt.NDArray[np.float32] | npt.NDArray[np.uint8], turn: npt.NDArray[np.float64],
    scale: float, canvas: int,
) -> Drawn:  # fmt: skip
    """Draw the frame centred on the canvas, its longer side at `scale` x canvas, transformed by `turn`."""
    aspect = sample.image.aspect
    matrix = _placed(grey.shape, turn, scale, canvas, aspect)
    zoom = scale * canvas / max(grey.shape[0] * aspect, grey.shape[1])
    picture = grey.astype(np.float32)
    if zoom < 0.8:
        # Against aliasing: a blur of the size of the step, in place of averaging.
        picture = cv2.GaussianBlur(picture, (0, 0), 0.35 / zoom, sigmaY=0.35 / zoom / aspect).astype(np.float32)
    size = (canvas, canvas)
    drawn = cv2.warpAffine(picture, matrix, size, flags=cv2.INTER_LINEAR, borderValue=0)
    outside = bits([BACKGROUND])
    allowed = cv2.warpAffine(sample.allowed, matrix, size, flags=cv2.INTER_NEAREST, borderValue=outside)
    return Drawn(drawn.astype(np.float32), allowed.astype(np.uint8), _draw_soft_labels(sample, turn, scale, canvas))


def _draw_soft_labels(
    sample: Sample, turn: npt.NDArray[np.float64], scale: float, canvas: int
) -> npt.NDArray[np.uint8] | None:
    if sample.soft_labels is None:
        return None
    matrix, size = _placed(sample.soft_labels.shape[:2], turn, scale, canvas), (canvas, canvas)
    drawn = cv2.warpAffine(sample.soft_labels, matrix, size, flags=cv2.INTER_LINEAR, borderValue=_SURE_OF_BACKGROUND)
    return drawn.astype(np.uint8)


def _placed(
    shape: tuple[int, ...], turn: npt.NDArray[np.float64], scale: float, canvas: int, aspect: float = 1.0
) -> npt.NDArray[np.float64]:
    """The affine map (2, 3) from a frame of `shape` to the canvas, on which its pixels are square.

    `turn` is in units of the frame's longer side.
    """
    height, width = shape
    side = max(height * aspect, width)
    to_centre = np.array([[1, 0, -(width - 1) / 2], [0, aspect, -(height - 1) / 2 * aspect], [0, 0, side]]) / side
    from_centre = np.array([[scale * canvas, 0, (canvas - 1) / 2], [0, scale * canvas, (canvas - 1) / 2], [0, 0, 1.0]])
    matrix: npt.NDArray[np.float64] = (from_centre @ turn @ to_centre)[:2]
    return matrix


def _random_window(rng: np.random.Generator, how: Preparation) -> tuple[float, float]:
    """The model's own window now and then, else anything between a narrow lung and a wide all-purpose window."""
    if rng.random() < 0.35:
        return how.window
    black = rng.uniform(-1400, -950)
    white = rng.choice([rng.uniform(-450, -250), rng.uniform(-450, 300), rng.uniform(300, 1200)])
    return float(black), float(white)


def _random_geometry(rng: np.random.Generator, turned: float) -> npt.NDArray[np.float64]:
    """Nearly upright, or, with a chance of `turned`, at any angle; mirrored, shifted, stretched, sheared a little."""
    angle = rng.uniform(-180, 180) if rng.random() < turned else rng.normal(0, 10)
    stretch = np.exp(rng.normal(0, 0.06))
    shear = rng.normal(0, 0.04)
    mirror = np.diag([1.0 if rng.random() < 0.5 else -1.0, 1.0 if rng.random() < 0.7 else -1.0, 1.0])
    shape = np.array([[stretch, shear, 0], [0, 1 / stretch, 0], [0, 0, 1]])
    across, down = rng.normal(0, 0.06, 2)
    shift = np.array([[1, 0, across], [0, 1, down], [0, 0, 1]])
    matrix: npt.NDArray[np.float64] = _rotation(angle) @ mirror @ shape @ shift
    return matrix


def _rotation(degrees: float) -> npt.NDArray[np.float64]:
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])


def _gamma(grey: Grey, rng: np.random.Generator) -> Grey:
    curved: Grey = np.float32(255) * (grey / np.float32(255)) ** np.float32(np.exp(rng.normal(0, 0.3)))
    return curved


def _levels(grey: Grey, rng: np.random.Generator) -> Grey:
    """Another black and white point, as by another window on a slice that is grey already."""
    black, white = rng.uniform(-30, 50), rng.choice([rng.uniform(120, 180), rng.uniform(180, 400)])
    return (grey - np.float32(black)) * np.float32(255 / (white - black))


def _clahe(grey: Grey, rng: np.random.Generator) -> Grey:
    tiles = int(rng.choice([4, 8, 8, 12]))
    equaliser = cv2.createCLAHE(float(rng.uniform(1.5, 8)), (tiles, tiles))
    return equaliser.apply(grey.astype(np.uint8)).astype(np.float32)


def _blur(grey: Grey, rng: np.random.Generator) -> Grey:
    return cv2.GaussianBlur(grey, (0, 0), rng.uniform(0.4, 1.4)).astype(np.float32)


def _sharpen(grey: Grey, rng: np.random.Generator) -> Grey:
    """A hard reconstruction kernel."""
    smooth = cv2.GaussianBlur(grey, (0, 0), rng.uniform(0.8, 1.5)).astype(np.float32)
    return grey + np.float32(rng.uniform(0.3, 1.2)) * (grey - smooth)


def _noise(grey: Grey, rng: np.random.Generator) -> Grey:
    """Noise, white or with the grain of a reconstruction."""
    noise = rng.standard_normal(grey.shape, np.float32)
    if rng.random() < 0.5:
        noise = cv2.GaussianBlur(noise, (0, 0), rng.uniform(0.5, 1.0)).astype(np.float32)
        noise /= noise.std()
    return grey + np.float32(rng.uniform(2, 16)) * noise


def _coarsen(grey: Grey, rng: np.random.Generator) -> Grey:
    """Loss of resolution, as in a slice that was stored smaller."""
    side = grey.shape[0]
    small = cv2.resize(grey, (int(side * rng.uniform(0.4, 0.8)),) * 2, interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (side, side), interpolation=cv2.INTER_LINEAR).astype(np.float32)


def _jpeg(grey: Grey, rng: np.random.Generator) -> Grey:
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(35, 90))]
    _, encoded = cv2.imencode(".jpg", grey.astype(np.uint8), quality)
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE), np.float32)


_CHANGES: tuple[tuple[float, Callable[[Grey, np.random.Generator], Grey]], ...] = (
    (0.2, _coarsen),
    (0.2, _blur),
    (0.2, _sharpen),
    (0.5, _levels),
    (0.4, _gamma),
    (0.25, _clahe),
    (0.3, _noise),
    (0.15, _jpeg),
)
