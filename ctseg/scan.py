"""What a scan is: an ordered stack of slices, read one at a time."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from ctseg.errors import CallError

if TYPE_CHECKING:
    from ctseg.grid import Grid

Domain = Literal["hu", "grey8"]

DOMAINS: Mapping[str, str] = {"hu": "Hounsfield units", "grey8": "8-bit grey"}
"""What values may be, and what people call it."""

Spacing = tuple[float, float, float]
"""Distance between voxel centres in mm along z (slice to slice), y (row to row), x (column to column)."""

Lengths = tuple[float | None, float | None, float | None]
"""A Spacing as far as it is known."""

Side = Literal["left", "right", "top", "bottom"]
"""A side of a slice as it is stored: its first column, its last, its first row, its last."""

Labels = npt.NDArray[np.uint8]
"""A mask: (H, W), or (slices, H, W) of a scan, each pixel the index of its class."""


# A side of a working size of 384 pixels differs by fewer than 4 then.
_NEARLY_SQUARE = 0.01
_MOST_ASPECT = 100.0
_METRE_MM = 1000


@dataclass(frozen=True, slots=True)
class Slice:
    """One slice: `pixels` (H, W), int16 or float32 Hounsfield units or uint8 grey values, as `domain` says.

    `is_coloured`: they come of more colours than a mark or two. `is_scaled`: what its file's numbers stand for was told
    by those of other slices, too. `aspect`: how many times as high as wide a pixel is.
    """

    pixels: npt.NDArray[np.int16] | npt.NDArray[np.float32] | npt.NDArray[np.uint8]
    domain: Domain
    is_coloured: bool = False
    is_scaled: bool = False
    aspect: float = 1.0


def completed(known: Lengths, said: Spacing | None) -> Spacing | None:
    """What is known, and of the rest what somebody says; None where that leaves any of it open."""
    z, y, x = known if said is None else (said[axis] if own is None else own for axis, own in enumerate(known))
    return None if z is None or y is None or x is None else (z, y, x)


def pixel_aspect(known: Lengths) -> float:
    """How many times as high as wide a pixel is; 1 where nobody knows, where it hardly matters, or beyond belief."""
    _, y, x = known
    if y is None or x is None or not y * _MOST_ASPECT >= x >= y / _MOST_ASPECT:
        return 1.0
    return 1.0 if abs(y / x - 1) < _NEARLY_SQUARE else y / x


def as_spacing(given: Iterable[Any], shown: str) -> Spacing:
    """Three lengths in mm, of slices, rows, columns, whatever they come in; raises CallError for anything else.

    `shown` is what to call it then.
    """
    try:
        z, y, x = map(float, given)
    except (TypeError, ValueError):
        z = y = x = 0.0
    if not are_lengths((z, y, x)):
        wanted = f"three lengths in mm, each above 0 and below {_METRE_MM}"
        raise CallError(f"{shown}: give {wanted}: slices, rows, columns, like 2,0.7,0.7")
    # No slices lie as far apart as their rows, with columns far from that: SimpleITK and nibabel give columns first.
    if abs(z / y - 1) < _NEARLY_SQUARE and not y / 2 <= x <= y * 2:
        raise CallError(f"{shown}: the order is slices, rows, columns: {x:g},{y:g},{z:g}?")
    return z, y, x


def are_lengths(steps: Iterable[float]) -> bool:
    """Whether voxels may be that far apart, in mm: less than a metre."""
    return all(0 < step < _METRE_MM for step in steps)


class WithoutGeometry:
    """What a Scan is of which nothing is known but its pixels."""

    __slots__ = ()

    @property
    def lengths_mm(self) -> Lengths:
        """Pixels do not say."""
        return None, None, None

    @property
    def weights(self) -> None:
        """All slices are alike."""
        return None

    @property
    def flags(self) -> tuple[str, ...]:
        """Without geometry, nothing of it can be doubtful."""
        return ()

    @property
    def patients_right(self) -> None:
        """Pixels do not say."""
        return None


class Scan(Protocol):
    """A series, a stack of frames, a volume or a folder of images. Opening one reads headers; `read` reads the pixels.

    `read` may be called from several threads at once.
    """

    @property
    def files(self) -> tuple[Path, ...]:
        """The file of each slice, in order; once where a file is read as a whole, as a volume is."""
        ...

    @property
    def lengths_mm(self) -> Lengths:
        """The spacing as far as the files say."""
        ...

    @property
    def weights(self) -> tuple[float, ...] | None:
        """For how many voxels of `lengths_mm` one of each slice stands, where slices are uneven; None: each for one."""
        ...

    @property
    def flags(self) -> tuple[str, ...]:
        """What makes the geometry doubtful, in words of `ctseg.flags`: `gap`, `uneven spacing`, `gantry tilt` ..."""
        ...

    @property
    def is_volume(self) -> bool:
        """Whether the slices lie one on the other in space (a series, a volume), so that 3-D rules hold."""
        ...

    @property
    def patients_right(self) -> Side | None:
        """On which side of the slices the patient's right is; None where the files do not say, or differ in it."""
        ...

    def __len__(self) -> int: ...

    def grid(self) -> "Grid":
        """The slices as one block of voxels, for a label map; raises NoGrid where they are none."""
        ...

    def read(self, index: int) -> Slice:
        """The slice at `index`, counted from the feet up; raises UnreadableFile."""
        ...

    def close(self) -> None:
        """Let go of the pixels that are held, if any; the scan can be read again."""
        ...
