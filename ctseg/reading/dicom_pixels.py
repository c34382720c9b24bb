"""The pixels of one DICOM slice in Hounsfield units: what its stored numbers stand for."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from ctseg.reading.dicom_decoders import decode_pixels
from ctseg.reading.dicom_pixel_data import PixelHeader, read_pixel_data
from ctseg.reading.files import ContentError, refusing
from ctseg.reading.values import AIR, Scale, as_slice, rescaled_in_place
from ctseg.scan import Slice
from ctseg.stages import stage

Pixels = npt.NDArray[Any]
T = TypeVar("T")
_DENSE_HU, _AIRY_HU = 500, -500


def read_slice(file: Path, header: PixelHeader, scale: Scale | None) -> Slice:
    """The slice of one file, (rows, columns), in HU; raises UnreadableFile.

    HU are RescaleSlope * stored + RescaleIntercept (PS3.3, C.11.1.1.2); values below -1024 are padding and become air,
    as do those in the range of PixelPaddingValue. The numbers of a file with neither slope nor intercept go through
    `as_slice`, by the `scale` of its series.
    """
    return _decoded(file, header, partial(_in_hounsfield, header, scale))


def read_numbers(file: Path, header: PixelHeader) -> Pixels:
    """The stored numbers of one file, (rows, columns), its padding as low as the rest; raises UnreadableFile."""
    return _decoded(file, header, partial(_numbers, header=header))


def _decoded(file: Path, header: PixelHeader, convert: Callable[[Pixels], T]) -> T:
    damaged = f"is cut off or damaged: its pixels can't be decoded ({header.syntax.name})"
    with refusing(file, damaged=damaged):
        header.check()
        with stage("read"):
            data = read_pixel_data(file, header)
        with stage("decode"):
            return convert(_from_lowest_bit(decode_pixels(data, header), header))


def is_scale_unknown(header: PixelHeader) -> bool:
    """Whether the file leaves open what its numbers are: there is no rescale, and they are not 8 bits of grey."""
    rescale = header.rescale
    return rescale.slope is None and rescale.intercept is None and _limits(header) != (0, 255)


def _from_lowest_bit(pixels: Pixels, header: PixelHeader) -> Pixels:
    """The numbers shifted down if HighBit says that their lowest bit is not bit 0; raises ContentError."""
    below = header.bits_below
    if below and np.bitwise_and(pixels, (1 << below) - 1).any():
        raise ContentError(f"its HighBit is {header.high_bit}, but its numbers also use the bits below")
    return pixels >> below if below else pixels


def _in_hounsfield(header: PixelHeader, scale: Scale | None, pixels: Pixels) -> Slice:
    """The slice that the stored numbers stand for.

    MONOCHROME1 says how to show the numbers (the lowest is white), not what they are: the rescale to HU is the same,
    and only grey values are turned. But some writers also inverted them. A chest holds more air than bone; if it does
    not, the complement is the CT.
    """
    slope, intercept = header.rescale.slope, header.rescale.intercept
    if slope is None and intercept is None:
        numbers = _numbers(pixels, header)
        shown = as_slice(numbers, scale) if is_scale_unknown(header) else as_slice(numbers.astype(np.uint8))
        if header.photometric != "MONOCHROME1" or shown.domain != "grey8":
            return shown
        turned = 255 - shown.pixels
        if header.padding is not None:
            turned[_lies_within(_signed(pixels, header), header.padding)] = 0
        return replace(shown, pixels=turned)
    if slope == 0:
        raise ContentError("its RescaleSlope is 0")
    rescale = partial(rescaled_in_place, slope=slope or 1.0, intercept=intercept or 0.0, limits=_limits(header))
    stored = _signed(pixels, header)
    padded = _padded(stored, header)

    def convert(numbers: Pixels) -> Pixels:
        values = rescale(numbers)
        if padded is not None:
            values[padded] = AIR
        return values

    if header.photometric != "MONOCHROME1":
        return Slice(convert(stored), "hu")
    values = convert(stored.copy())
    return Slice(convert(_signed(~stored, header)) if _is_inverted(values) else values, "hu")


def _padded(stored: Pixels, header: PixelHeader) -> npt.NDArray[np.bool_] | None:
    """Which pixels are padding that the rescale would not turn into air; None if there can't be any.

    Padding surrounds a picture. The same number within it is tissue, as where a careless program names 0 HU.
    """
    slope, intercept = header.rescale.slope or 1.0, header.rescale.intercept or 0.0
    if header.padding is None or max(end * slope + intercept for end in header.padding) <= AIR:
        return None
    padded = _lies_within(stored, header.padding)
    _, pieces = cv2.connectedComponents(padded.astype(np.uint8), connectivity=4)
    around: npt.NDArray[np.bool_] = np.isin(pieces, np.setdiff1d(pieces[[0, 0, -1, -1], [0, -1, 0, -1]], [0]))
    return around


def _numbers(pixels: Pixels, header: PixelHeader) -> Pixels:
    """The stored numbers; padding becomes the lowest of the others, since it tells nothing of what these stand for."""
    numbers = _signed(pixels, header)
    if header.padding is not None:
        padded = _lies_within(numbers, header.padding)
        if padded.any() and not padded.all():
            return np.where(padded, numbers[~padded].min(), numbers)
    return numbers


def _lies_within(numbers: Pixels, ends: tuple[int, int]) -> npt.NDArray[np.bool_]:
    lowest, highest = ends
    return (numbers >= lowest) & (numbers <= highest)


def _signed(pixels: Pixels, header: PixelHeader) -> Pixels:
    """The lowest BitsStored bits of each number, signed if PixelRepresentation says so (PS3.5, 8.1.1).

    The bits above may hold anything, and decoders ignore the sign. Works in place if possible.
    """
    numbers = pixels.astype(np.uint16, copy=False)
    unused = 16 - header.bits_stored
    place = numbers if numbers.flags.writeable else None
    if not header.is_signed:
        return np.bitwise_and(numbers, np.uint16(0xFFFF >> unused), out=place) if unused else numbers
    if not unused:
        return numbers.view(np.int16)
    upper = np.left_shift(numbers, unused, out=place).view(np.int16)
    return np.right_shift(upper, unused, out=upper)


def _limits(header: PixelHeader) -> tuple[int, int]:
    """The lowest and highest number that can be stored."""
    count = 1 << header.bits_stored
    return (-(count // 2), count // 2 - 1) if header.is_signed else (0, count - 1)


def _is_inverted(values: Pixels) -> bool:
    return bool(np.count_nonzero(values > _DENSE_HU) > np.count_nonzero(values < _AIRY_HU))
