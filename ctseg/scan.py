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
"""What pixel values may be, and the name of that for people."""

Spacing = tuple[float, float, float]
"""Distance between voxel centres in mm along z (slice to slice), y (row to row), x (column to column)."""

Lengths = tuple[float | None, float | None, float | None]
"""A Spacing as far as it is known."""

Side = Literal["left", "right", "top", "bottom"]
"""A side of a slice as it is stored: its first column, its last, its first row, its last."""

Labels = npt.NDArray[np.uint8]
"""A mask: (H, W), or (slices, H, W) of a scan, each pixel the index of its class."""


# With pixels this close to square, a side of 384 pixels differs by less than 4.
_NEARLY_SQUARE = 0.01
_MOST_ASPECT = 100.0
_METRE_MM = 1000


@dataclass(frozen=True, slots=True)
class Slice:
    """One slice: `pixels` (H, W), int16 or float32 Hounsfield units or uint8 grey values, as `domain` says.

    `is_coloured`: the file is in colour, beyond a mark or two. `is_scaled`: whether its numbers are HU or grey was
    decided from several slices. `aspect`: the height of a pixel over its width.
    """

    pixels: npt.NDArray[np.int16] | npt.NDArray[np.float32] | npt.NDArray[np.uint8]
    domain: Domain
    is_coloured: bool = False
    is_scaled: bool = False
    aspect: float = 1.0


def completed(known: Lengths, said: Spacing | None) -> Spacing | None:
    """The known lengths, completed by those `said`; None if one remains unknown."""
    z, y, x = known if said is None else (said[axis] if own is None else own for axis, own in enumerate(known))
    return None if z is None or y is None or x is None else (z, y, x)


def pixel_aspect(known: Lengths) -> float:
    """The height of a pixel over its width; 1 if that is unknown, implausible, or nearly 1."""
    _, y, x = known
    if y is None or x is None or not y * _MOST_ASPECT >= x >= y / _MOST_ASPECT:
        return 1.0
    return 1.0 if abs(y / x - 1) < _NEARLY_SQUARE else y / x


def as_spacing(given: Iterable[Any], shown: str) -> Spacing:
    """Three lengths in mm (slices, rows, columns) from numbers or texts; raises CallError for anything else.

    `shown` is how the message calls them.
    """
    try:
        z, y, x = map(float, given.split(",") if isinstance(given, str) else given)
    except (TypeError, ValueError):
        z = y = x = 0.0
    if not are_lengths((z, y, x)):
        wanted = f"three lengths in mm, each above 0 and below {_METRE_MM}"
        raise CallError(f"{shown}: give {wanted}: slices, rows, columns, like 2,0.7,0.7")
    # If slices are as far apart as rows, and columns are not, the order is SimpleITK's and nibabel's: columns first.
    if abs(z / y - 1) < _NEARLY_SQUARE and not y / 2 <= x <= y * 2:
        raise CallError(f"{shown}: the order is slices, rows, columns: {x:g},{y:g},{z:g}?")
    return z, y, x


def are_lengths(steps: Iterable[float]) -> bool:
    """Whether all are possible distances of voxels, in mm: above 0 and below a metre."""
    return all(0 < step < _METRE_MM for step in steps)


class WithoutGeometry:
    """The geometry of a Scan of which only the pixels are known: none."""

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
    def is_volume(self) -> bool:
        """Whether the slices lie one on the other in space (a series, a volume), so that 3-D rules hold."""
        ...

    @property
    def patients_right(self) -> Side | None:
        """On which side of the slices the patient's right is; None if the files do not say, or disagree."""
        ...

    def __len__(self) -> int: ...

    def grid(self, spacing: Spacing | None = None, /) -> "Grid":
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
