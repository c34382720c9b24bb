"""How far apart voxels are, as far as it is known."""

from collections.abc import Iterable
from typing import Any

from ctseg.errors import CallError

Spacing = tuple[float, float, float]
"""Distance between voxel centres in mm along z (slice to slice), y (row to row), x (column to column)."""

Lengths = tuple[float | None, float | None, float | None]
"""A Spacing as far as it is known."""

# With pixels this close to square, a side of 384 pixels differs by less than 4.
_NEARLY_SQUARE = 0.01
_MOST_ASPECT = 100.0
_METRE_MM = 1000


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
