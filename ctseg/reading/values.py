"""From stored numbers to a slice in Hounsfield units or grey values, which the lowest values distinguish."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ctseg.reading.files import ContentError
from ctseg.scan import Domain, Slice

AIR = -1024
"""HU below this are padding outside the field of view (-2000, -3024, -4000 ...), and count as air."""

_LOWEST_GREY = -200
"""Values that go below this are HU: lung and air do, no grey values do."""

_RARE_PERCENT = 0.5
_EVERY = 4

# 16-bit numbers times less than this fit 32 bits with room for the intercept, 32-bit numbers 64.
_EXACT = 2**14
_LARGEST = float(np.finfo(np.float32).max)

Values = npt.NDArray[Any]
"""Numbers of any type, as a file holds them."""


@dataclass(frozen=True, slots=True)
class Glance:
    """What is kept of a slice to decide the scale: its lowest and highest number, and one pixel in 16."""

    lowest: float
    highest: float
    pixels: Values


@dataclass(frozen=True, slots=True)
class Scale:
    """What numbers are if their file does not say: HU, or grey with black and white at the `ends`."""

    domain: Domain
    ends: tuple[float, float]


def rescaled(stored: Values, slope: float, intercept: float) -> Values:
    """`stored * slope + intercept`: integers if that is exact, else float32.

    Raises ContentError if the result is too large for float32, or not finite.
    """
    if slope == 1 and intercept == 0:
        return stored
    is_short = stored.dtype.kind in "iu" and stored.dtype.itemsize <= 2
    if slope == 1 and is_short and stored.size and _fits_16_bits(_range(stored), intercept):
        return np.add(stored, np.int16(intercept), dtype=np.int16, casting="unsafe")
    whole = slope.is_integer() and intercept.is_integer() and max(abs(slope), abs(intercept)) < _EXACT
    # In place, as new memory costs more than the arithmetic.
    if whole and stored.dtype.kind in "iu" and stored.dtype.itemsize <= 4:
        values: Values = stored.astype(np.int32 if stored.dtype.itemsize <= 2 else np.int64)
        values *= int(slope)
        values += int(intercept)
        return values
    with np.errstate(over="ignore", invalid="ignore"):
        values = stored.astype(np.float32)
        values *= slope
        values += intercept
    if values.size:
        finite_range(values)
    return values


def rescaled_in_place(
    stored: Values, slope: float, intercept: float, limits: tuple[int, int]
) -> npt.NDArray[np.int16] | npt.NDArray[np.float32]:
    """`hounsfield(rescaled(...))` of 16-bit numbers within `limits`; in their own memory if the result fits."""
    if slope != 1 or not (_fits_16_bits(limits, intercept) or _fits_16_bits(_range(stored), intercept)):
        return hounsfield(rescaled(stored, slope, intercept))
    values = stored.view(np.int16)
    values = np.add(values, np.int16(intercept), out=values if values.flags.writeable else None)
    return values if limits[0] + intercept >= AIR else np.maximum(values, np.int16(AIR), out=values)


def _range(stored: Values) -> tuple[int, int]:
    return int(stored.min()), int(stored.max())


def _fits_16_bits(limits: tuple[int, int], intercept: float) -> bool:
    """Whether integers within `limits`, and their sums with the intercept, fit 16 bits."""
    if not intercept.is_integer() or abs(intercept) >= _EXACT:
        return False
    (lowest, highest), bits = limits, np.iinfo(np.int16)
    return bits.min <= min(lowest, lowest + intercept) and max(highest, highest + intercept) <= bits.max


def hounsfield(values: Values) -> npt.NDArray[np.int16] | npt.NDArray[np.float32]:
    """Values in HU as int16, or float32 if they are fractions; padding becomes air."""
    if values.dtype.kind == "f":
        return np.maximum(values, AIR, dtype=np.float32)
    if values.dtype == np.int16:
        return np.maximum(values, np.int16(AIR))
    clipped = np.empty(values.shape, np.int16)
    return np.clip(values, AIR, np.iinfo(np.int16).max, out=clipped, casting="unsafe")


def is_hounsfield(lowest: float) -> bool:
    """Whether values that go down to `lowest` are HU."""
    return lowest < _LOWEST_GREY


def glance_at(values: Values) -> Glance:
    """What is to be kept of a slice (H, W); raises ContentError as `finite_range` does."""
    return Glance(*finite_range(values), values[::_EVERY, ::_EVERY].flatten())


def grey_range(slices: Sequence[Glance]) -> tuple[float, float]:
    """The values for black and white over some slices: the 0.5th and 99.5th percentile of the pixels kept.

    So a bit of metal does not darken the rest. If nearly all pixels have one value, as in many masks, it is the lowest
    and the highest value of all.
    """
    seen = np.concatenate([one.pixels for one in slices])
    ends = np.percentile(seen, (_RARE_PERCENT, 100 - _RARE_PERCENT), method="nearest", overwrite_input=True)
    lowest, highest = ends
    if not lowest < highest:
        lowest, highest = min(one.lowest for one in slices), max(one.highest for one in slices)
    return float(lowest), float(highest)


def stretched(values: Values, lowest: float, highest: float) -> npt.NDArray[np.uint8]:
    """Grey values 0..255, linear between `lowest` and `highest` and clipped; all 0 if the two are the same."""
    scale = 255 / (highest - lowest) if highest > lowest else 0.0
    if scale > _LARGEST:  # the range is as good as empty
        scale = 0.0
    grey: Values = values.astype(np.float32)
    np.clip(grey, lowest, highest, out=grey)
    grey -= lowest
    grey *= scale
    return np.rint(grey, out=grey).clip(0, 255).astype(np.uint8)


def scale_of(slices: Sequence[Glance]) -> Scale:
    """HU if any of the slices goes below -200; else grey over their range without the rarest values."""
    lowest = min(one.lowest for one in slices)
    if is_hounsfield(lowest):
        return Scale("hu", (lowest, max(one.highest for one in slices)))
    return Scale("grey8", grey_range(slices))


def as_slice(values: Values, scale: Scale | None = None) -> Slice:
    """The slice from numbers (H, W) whose file does not say what they are.

    uint8 is grey as it is; any other numbers go by the `scale`, by default their own. Raises ContentError for values
    that are not numbers, or not finite.
    """
    if values.dtype == np.uint8:
        return Slice(values, "grey8")
    if scale is None:
        scale = scale_of([glance_at(values)])
    else:
        finite_range(values)
    if scale.domain == "hu":
        return Slice(hounsfield(values), "hu", is_domain_guessed=True)
    return Slice(stretched(values, *scale.ends), "grey8", is_domain_guessed=True, is_stretched=True)


def finite_range(values: Values) -> tuple[float, float]:
    """The lowest and highest value.

    Raises ContentError if they are not numbers, or one is NaN, infinite, or too large for float32.
    """
    if values.dtype.kind not in "buif":
        raise ContentError(f"its values are {values.dtype}, not numbers")
    lowest, highest = float(values.min()), float(values.max())
    if not max(abs(lowest), abs(highest)) <= _LARGEST:
        raise ContentError("it holds values that are not finite (NaN or infinity): save it with others in their place")
    return lowest, highest
