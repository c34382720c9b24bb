"""From a slice to the network's input, and from its labels back: the steps that are not in the ONNX graph.

Training, export's proof and batch all use these functions, so a slice looks the same to the network everywhere.
"""

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ctseg.classes import Labels
from ctseg.scan import Slice
from ctseg.turn import UPRIGHT, Turn
from ctseg.window import LUNG_WINDOW, Window

Picture = npt.NDArray[Any]

_Box = tuple[slice, slice]

_SHRUNK_MUCH = 0.7
_FARTHEST_HU = 1e6
# A pixel that a class covers fully; even, so that a half is exact. At a tie the lower class wins.
_WHOLE = np.uint8(254)


@dataclass(frozen=True, slots=True)
class Preparation:
    """How a slice becomes the network's input; written into the model file.

    `window`: HU mapped to grey 0..255; slices that are grey already are taken as they are, unless their own is known.
    `long_side`: the side that is longer in mm is resized to this many pixels, and the other in proportion.
    `multiple`: both sides are then padded with 0 (black), at the right and the bottom, to a multiple of this.
    """

    window: Window = LUNG_WINDOW
    long_side: int = 384
    multiple: int = 32

    def __post_init__(self) -> None:
        """Raise ValueError for impossible values, which may come from a model file."""
        if not -_FARTHEST_HU < self.window[0] < self.window[1] < _FARTHEST_HU:
            raise ValueError(f"the window {self.window} is empty or endless")
        if not (1 <= self.multiple <= 512 and self.multiple <= self.long_side <= 8192):
            raise ValueError(f"long side {self.long_side} and multiple {self.multiple} do not fit together")


@dataclass(frozen=True, slots=True)
class Restoration:
    """What is needed to undo a preparation: the sizes (rows, columns) of the upright slice, before and after resizing.

    `turn` is how it was turned upright.
    """

    original: tuple[int, int]
    resized: tuple[int, int]
    turn: Turn = UPRIGHT


def to_grey(source: Slice, window: Window) -> npt.NDArray[np.float32] | npt.NDArray[np.uint8]:
    """Grey values 0..255 (H, W): HU through the `window` as float32, grey slices untouched unless theirs is known."""
    if source.domain == "hu":
        return _through(source.pixels, window)
    grey = source.pixels.astype(np.uint8, copy=False)
    if source.window is None:
        return grey
    table = _through(np.linspace(*source.window, 256, dtype=np.float32), window)
    return np.asarray(cv2.LUT(grey, table), np.float32)


def _through(hu: npt.NDArray[Any], window: Window) -> npt.NDArray[np.float32]:
    low, high = window
    grey: npt.NDArray[np.float32] = np.subtract(hu, np.float32(low), dtype=np.float32)
    grey *= np.float32(255 / (high - low))
    np.clip(grey, 0, 255, out=grey)
    return grey


def working_size(shape: tuple[int, int], long_side: int, aspect: float) -> tuple[int, int]:
    """The (rows, columns) of a slice of `shape` once its longer side is `long_side` and its pixels are square."""
    height, width = shape[0] * aspect, shape[1]
    scale = long_side / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def resize(picture: Picture, shape: tuple[int, int], much: float = 1.0) -> Picture:
    """A picture (H, W) resized to a shape (rows, columns).

    Linear interpolation; but area averaging along a side that shrinks to less than `much` of its length.
    """
    ways = [cv2.INTER_AREA if to < much * of else cv2.INTER_LINEAR for to, of in zip(shape, picture.shape, strict=True)]
    rows, columns = shape
    if ways[0] != ways[1]:
        picture = cv2.resize(picture, (picture.shape[1], rows), interpolation=ways[0])
    return cv2.resize(picture, (columns, rows), interpolation=ways[1])


def prepare(source: Slice, how: Preparation) -> tuple[npt.NDArray[np.float32], Restoration]:
    """The network's input, (1, 1, H, W) float32 grey 0..255, and what is needed to undo the preparation."""
    upright = source.upright()
    grey: npt.NDArray[Any] = to_grey(upright, how.window)
    original = (grey.shape[0], grey.shape[1])
    rows, columns = working_size(original, how.long_side, upright.aspect)
    if (rows, columns) != original:
        # Area averaging keeps noise and thin vessels from aliasing where a slice shrinks much; it takes longer.
        grey = resize(grey, (rows, columns), _SHRUNK_MUCH)
    below, right = -rows % how.multiple, -columns % how.multiple
    if below or right:
        grey = cv2.copyMakeBorder(grey, 0, below, 0, right, cv2.BORDER_CONSTANT, value=0)
    padded = np.ascontiguousarray(grey, np.float32)
    return padded[np.newaxis, np.newaxis], Restoration(original, (rows, columns), source.turn)


def restore(labels: Labels, undo: Restoration) -> Labels:
    """The mask of the slice as it is stored, (H, W), from the network's labels at its working size."""
    rows, columns = undo.resized
    labels = labels[:rows, :columns]
    upright = labels if undo.resized == undo.original else _resized_labels(labels, undo)
    return np.ascontiguousarray(undo.turn.stored(upright))


def _resized_labels(labels: Labels, undo: Restoration) -> Labels:
    """The labels at the slice's own size, larger or smaller."""
    # The mask of each class is resized smoothly, and the class that covers most of a pixel wins: borders stay smooth
    # where nearest-neighbour labels would make stairs. The background gets what the other classes leave.
    strongest = np.full(undo.original, _WHOLE, np.uint8)
    shares: list[tuple[int, _Box, npt.NDArray[np.uint8]]] = []
    for index in range(1, int(labels.max()) + 1):
        mask = (labels == index).view(np.uint8)
        inner, outer = _around(mask, undo)
        size = (outer[0].stop - outer[0].start, outer[1].stop - outer[1].start)
        if not all(size):
            continue
        share = np.asarray(resize(mask[inner] * _WHOLE, size), np.uint8)
        cv2.subtract(strongest[outer], share, strongest[outer])
        shares.append((index, outer, share))
    restored = np.zeros(undo.original, np.uint8)
    for index, outer, share in shares:
        wins = cv2.compare(share, strongest[outer], cv2.CMP_GT)
        cv2.copyTo(np.full(share.shape, index, np.uint8), wins, restored[outer])
        cv2.max(share, strongest[outer], strongest[outer])
    return restored


def _around(mask: npt.NDArray[np.uint8], undo: Restoration) -> tuple[_Box, _Box]:
    """A box around a mask with a margin, at the working size and at the slice's own; empty for an empty mask.

    Its edges lie between pixels at both sizes, so that the box can be resized alone.
    """
    left, top, width, height = cv2.boundingRect(mask)
    inner, outer = [], []
    for first, length, resized, original in zip((top, left), (height, width), undo.resized, undo.original, strict=True):
        step = resized // math.gcd(resized, original)
        start = max(0, (first - 1) // step * step)
        stop = min(resized, -(-(first + length + 1) // step) * step) if length else start
        inner.append(slice(start, stop))
        outer.append(slice(start * original // resized, stop * original // resized))
    return (inner[0], inner[1]), (outer[0], outer[1])
