"""What a scan is: an ordered stack of slices, read one at a time."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NoReturn, Protocol

import numpy as np
import numpy.typing as npt

from ctseg.grid import Grid, NoPlaces
from ctseg.spacing import Lengths, Spacing
from ctseg.turn import UPRIGHT, Side, Turn
from ctseg.window import Window

Domain = Literal["hu", "grey8"]

DOMAINS: Mapping[str, str] = {"hu": "Hounsfield units", "grey8": "8-bit grey"}
"""What pixel values may be, and the name of that for people."""


@dataclass(frozen=True, slots=True)
class Slice:
    """One slice: `pixels` (H, W), int16 or float32 Hounsfield units or uint8 grey values, as `domain` says.

    `is_coloured`: the file is in colour, beyond a mark or two. `is_domain_guessed`: the file does not say whether its
    numbers are HU or grey, so their range decided. `is_stretched`: its numbers were stretched to grey values. `window`:
    that of its grey values, None if it is not known. `aspect`: the height of a pixel over its width. `turn`: how to
    turn it upright.
    """

    pixels: npt.NDArray[np.int16] | npt.NDArray[np.float32] | npt.NDArray[np.uint8]
    domain: Domain
    is_coloured: bool = False
    is_domain_guessed: bool = False
    is_stretched: bool = False
    window: Window | None = None
    aspect: float = 1.0
    turn: Turn = UPRIGHT

    def in_window(self, window: Window) -> "Slice":
        """The slice with the `window` in which its grey values were saved; HU and stretched values as they are."""
        return self if self.domain == "hu" or self.is_stretched else replace(self, window=window)

    def upright(self) -> "Slice":
        """The slice turned upright."""
        if self.turn == UPRIGHT:
            return self
        pixels = np.ascontiguousarray(self.turn.upright(self.pixels))
        aspect = 1 / self.aspect if self.turn.transposed else self.aspect
        return replace(self, pixels=pixels, aspect=aspect, turn=UPRIGHT)


class WithoutGeometry:
    """No geometry: for a Scan of which only the pixels are known."""

    __slots__ = ()

    @property
    def lengths_mm(self) -> Lengths:
        """Unknown."""
        return None, None, None

    @property
    def weights(self) -> None:
        """All slices are alike."""
        return None

    @property
    def flags(self) -> tuple[str, ...]:
        """There is no geometry that could be doubtful."""
        return ()

    @property
    def patients_right(self) -> None:
        """Unknown."""
        return None

    def grid(self, _: Spacing | None = None, /) -> NoReturn:
        """Raises NoPlaces."""
        raise NoPlaces("images do not say where they lie")

    def close(self) -> None:
        """Nothing is held."""


class Scan(Protocol):
    """A series, a stack of frames, a volume or a folder of images. Opening one reads headers; `read` reads the pixels.

    `read` may be called from several threads at once.
    """

    @property
    def files(self) -> tuple[Path, ...]:
        """The file of each slice, in order; a volume, which is read as a whole, has one file."""
        ...

    @property
    def lengths_mm(self) -> Lengths:
        """The spacing, as far as the files give it."""
        ...

    @property
    def weights(self) -> tuple[float, ...] | None:
        """For each slice the volume of its voxels, relative to `lengths_mm`; None if all are alike."""
        ...

    @property
    def flags(self) -> tuple[str, ...]:
        """What makes the scan doubtful, in the words of `ctseg.flags`: `gap`, `uneven spacing`, `gantry tilt` ..."""
        ...

    @property
    def is_stack(self) -> bool:
        """Whether the slices lie one on the other in space (a series, a volume), so that 3-D rules hold."""
        ...

    @property
    def patients_right(self) -> Side | None:
        """On which side of the slices the patient's right is; None if the files do not say, or disagree."""
        ...

    def __len__(self) -> int: ...

    def grid(self, spacing: Spacing | None = None, /) -> Grid:
        """The slices as one block of voxels, for a label map; raises NoGrid if they do not form one.

        `spacing` is used as far as the files do not give theirs.
        """
        ...

    def read(self, index: int) -> Slice:
        """The slice at `index`, counted from the feet up; raises UnreadableFile."""
        ...

    def close(self) -> None:
        """Free the pixels that are held, if any; the scan can be read again."""
        ...
