"""A folder of image slices as a scan."""

from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import cv2
import numpy as np

from ctseg.errors import UnreadableFile
from ctseg.grid import NoPlaces
from ctseg.reading.files import ContentError
from ctseg.reading.pictures import Pixels, read_picture
from ctseg.reading.values import as_slice
from ctseg.scan import Slice

_COLOURS = (np.uint8, np.uint16, np.float32)


@dataclass(frozen=True, slots=True)
class ImageFolder:
    """Image slices in the order given: nothing is known of where they lie in space."""

    files: tuple[Path, ...]

    @property
    def spacing_mm(self) -> None:
        """Pictures do not say."""
        return None

    @property
    def flags(self) -> tuple[str, ...]:
        """Without geometry, nothing of it can be doubtful."""
        return ()

    @property
    def is_volume(self) -> bool:
        """Image slices need not be neighbours."""
        return False

    @property
    def patients_right(self) -> None:
        """Pictures do not say."""
        return None

    def __len__(self) -> int:
        return len(self.files)

    def grid(self) -> NoReturn:
        """Raises NoPlaces: pictures do not say."""
        raise NoPlaces("images do not say where they lie")

    def read(self, index: int) -> Slice:
        """The slice at `index`: colour turned grey, alpha dropped; raises UnreadableFile."""
        return read_image(self.files[index])

    def close(self) -> None:
        """Nothing is held."""


def read_image(file: Path) -> Slice:
    """One image slice; raises UnreadableFile.

    uint8 is grey as it is, values below -200 mean HU, all others are stretched from the slice's own range.
    """
    pixels = read_picture(file)
    try:
        return as_slice(_as_grey(pixels))
    except ContentError as error:
        raise UnreadableFile(file, f"can't be used as a slice: {error}") from error


def _as_grey(pixels: Pixels) -> Pixels:
    if pixels.ndim == 2:
        return pixels
    if pixels.shape[2] < 3:  # grey and alpha
        return pixels[:, :, 0].copy()
    if pixels.dtype not in _COLOURS:
        raise ContentError(f"its colours are {pixels.dtype}: save it as grey")
    grey: Pixels = cv2.cvtColor(pixels[:, :, :3].copy(), cv2.COLOR_RGB2GRAY)
    return grey
