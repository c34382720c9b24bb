"""A folder of image slices as a scan."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np

from ctseg.reading.files import ContentError, refusing
from ctseg.reading.pictures import Pixels, read_picture
from ctseg.reading.scan_scale import ScanScale
from ctseg.reading.values import Scale, as_slice
from ctseg.scan import Slice, WithoutGeometry

_COLOURS = (np.uint8, np.uint16, np.float32)
# Rows and columns that are sampled for colour; how far red, green and blue differ in a coloured pixel, as a share of
# their range; and the share of coloured pixels that is more than a mark or a line of text.
_GLANCE, _APART, _MARKS = 64, 1 / 16, 0.01


@dataclass(frozen=True, slots=True)
class ImageFolder(WithoutGeometry):
    """Image slices in the given order; their positions are unknown.

    All slices that are not 8-bit share one scale: HU if a sample of them goes below -200, else one range of grey. If
    these are only some of the images of a folder, `scaled_by` are the ones that decide.
    """

    files: tuple[Path, ...]
    scaled_by: tuple[Path, ...] = ()
    _scale: ScanScale = field(default_factory=ScanScale, init=False, repr=False, compare=False)

    @property
    def is_stack(self) -> bool:
        """Image slices need not be neighbours."""
        return False

    def __len__(self) -> int:
        return len(self.files)

    def read(self, index: int) -> Slice:
        """The slice at `index`: colour turned grey, alpha dropped; raises UnreadableFile."""
        return read_image(self.files[index], self._decided)

    def _decided(self) -> Scale | None:
        return self._scale.decided(len(self.scaled_by or self.files), self._numbers)

    def _numbers(self, index: int) -> Pixels | None:
        grey = _as_grey(read_picture((self.scaled_by or self.files)[index]))
        return None if grey.dtype == np.uint8 else grey


def open_images(files: Sequence[Path], scaled_by: Sequence[Path] = ()) -> ImageFolder:
    """Image slices as a scan, in the given order; nothing is opened before `read`.

    `scaled_by`: if a folder is opened in parts, the files that decide for all whether they are HU or grey.
    """
    return ImageFolder(tuple(files), tuple(scaled_by))


def read_image(file: Path, scale: Callable[[], Scale | None]) -> Slice:
    """One image slice: uint8 as it is, any other by `as_slice` with the `scale`; raises UnreadableFile."""
    pixels = read_picture(file)
    with refusing(file, "can't be used as a slice"):
        grey = _as_grey(pixels)
        taken = as_slice(grey, None if grey.dtype == np.uint8 else scale())
        return replace(taken, is_coloured=_is_coloured(pixels))


def _as_grey(pixels: Pixels) -> Pixels:
    if pixels.ndim == 2:
        return pixels
    if pixels.shape[2] < 3:  # grey and alpha
        return pixels[:, :, 0].copy()
    if pixels.dtype not in _COLOURS:
        raise ContentError(f"its colour values are {pixels.dtype}: save it as grey")
    grey: Pixels = cv2.cvtColor(pixels[:, :, :3].copy(), cv2.COLOR_RGB2GRAY)
    return grey


def _is_coloured(pixels: Pixels) -> bool:
    """Whether a picture is in colour, beyond a mark on it, judged by a sample of its pixels."""
    if pixels.ndim == 2 or pixels.shape[2] < 3:
        return False
    rows, columns = (-(-length // _GLANCE) for length in pixels.shape[:2])
    seen = np.ascontiguousarray(pixels[::rows, ::columns, :3].transpose(2, 0, 1))  # a last axis of 3 is slow
    apart = np.ptp(seen, axis=0) > _APART * np.ptp(seen)
    return bool(apart.mean() > _MARKS)
