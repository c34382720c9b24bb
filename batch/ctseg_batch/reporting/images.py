"""Pictures for a page: a slice in grey as WebP, with its classes as a transparent layer above."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from ctseg.classes import CLASSES, Labels
from ctseg.prepare import Restoration, restore
from ctseg_batch.outputs.overlay import TINTS, Grey

Size = tuple[int, int]
"""Rows and columns."""

_SHARPNESS = 1.5  # pixels of a picture for each of the page's
_GREY_QUALITY = 78
_LOSSLESS = 101
_OPAQUE = 255


@dataclass(frozen=True, slots=True)
class Picture:
    """Data URIs, both of the same shape: the CT and its classes, one of which may be missing.

    `size` is what it takes of the page, in pixels.
    """

    ct: str | None
    classes: str | None
    size: Size
    alt: str

    @property
    def bytes(self) -> int:
        """Its bytes in the page."""
        return len(self.ct or "") + len(self.classes or "")


def picture(grey: Grey | None, labels: Labels, size: Size, alt: str) -> Picture:
    """A slice or a plane and its classes."""
    shape = _embedded(size)
    seen = restore(labels, Restoration(shape, (labels.shape[0], labels.shape[1])))
    if grey is None:
        return Picture(None, _webp(_tinted(seen, dict.fromkeys(TINTS, _OPAQUE)), _LOSSLESS), size, alt)
    return Picture(_webp(_resized(grey, shape), _GREY_QUALITY), _webp(_outlined(seen), _LOSSLESS), size, alt)


def coloured(shown: npt.NDArray[np.uint8], size: Size, alt: str) -> Picture:
    """A picture that contains its classes."""
    return Picture(_webp(_resized(shown, _embedded(size)), _GREY_QUALITY), None, size, alt)


def fit(shape: Sequence[float], box: Size) -> Size:
    """The size of a picture of this height and width (in any unit) that just fits into a box."""
    scale = min(box[0] / shape[0], box[1] / shape[1])
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def _embedded(size: Size) -> Size:
    return max(1, round(size[0] * _SHARPNESS)), max(1, round(size[1] * _SHARPNESS))


def _resized(pixels: npt.NDArray[np.uint8], shape: Size) -> npt.NDArray[np.uint8]:
    shrinks = shape[0] * shape[1] < pixels.shape[0] * pixels.shape[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(pixels, shape[::-1], interpolation=how).astype(np.uint8, copy=False)


def _outlined(labels: Labels) -> npt.NDArray[np.uint8]:
    """The classes tinted, with their outlines in full colour: (H, W, 4), blue, green, red, alpha."""
    layer = _tinted(labels, TINTS)
    inner = cv2.erode(labels, np.ones((3, 3), np.uint8), borderType=cv2.BORDER_REPLICATE)
    layer[..., 3][labels != inner] = _OPAQUE
    return layer


def _tinted(labels: Labels, alpha: Mapping[int, int]) -> npt.NDArray[np.uint8]:
    table = np.zeros((256, 4), np.uint8)
    for tissue in CLASSES:
        table[tissue.index] = (*tissue.colour[::-1], alpha.get(tissue.index, 0))
    found: npt.NDArray[np.uint8] = table[labels]
    return found


def _webp(pixels: npt.NDArray[np.uint8], quality: int) -> str:
    done, encoded = cv2.imencode(".webp", pixels, (cv2.IMWRITE_WEBP_QUALITY, quality))
    if not done:
        raise MemoryError(f"OpenCV could not encode a picture of {pixels.shape}")
    return f"data:image/webp;base64,{base64.b64encode(encoded.tobytes()).decode()}"
