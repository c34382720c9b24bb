"""The size that a picture claims to have, to be checked before memory is taken for its pixels."""

import struct
from dataclasses import dataclass

from ctseg.reading.files import ContentError

LARGEST_PICTURE = 8192 * 8192
"""Pixels; detectors for CT end at 4096 x 4096."""

_TIFF_COLUMNS, _TIFF_ROWS, _TIFF_BITS, _TIFF_PHOTOMETRIC, _TIFF_SAMPLES, _TIFF_DEPTH = 256, 257, 258, 262, 277, 32997
_TIFF_TILE_COLUMNS, _TIFF_TILE_ROWS, _TIFF_TILE_DEPTH = 322, 323, 32998
_TIFF_TAGS = (
    _TIFF_COLUMNS, _TIFF_ROWS, _TIFF_BITS, _TIFF_PHOTOMETRIC, _TIFF_SAMPLES, _TIFF_DEPTH,
    _TIFF_TILE_COLUMNS, _TIFF_TILE_ROWS, _TIFF_TILE_DEPTH,
)  # fmt: skip
_TIFF_VALUES = {1: "B", 3: "H", 4: "I", 16: "Q"}
_BIG_TIFF = 43
_WHITE_IS_ZERO, _PALETTE = 0, 3


def check_size(rows: int, columns: int) -> None:
    """Raise ContentError for a picture that is empty, or larger than a slice can be."""
    if rows <= 0 or columns <= 0:
        raise ContentError("it has no pixels")
    if rows * columns > LARGEST_PICTURE:
        raise ContentError(f"it claims to be {columns} x {rows} pixels: too large for a slice")


def png_size(data: bytes) -> tuple[int, int]:
    """The (rows, columns) of a PNG; raises struct.error where the header is cut off."""
    columns, rows = struct.unpack_from(">II", data, 16)
    return rows, columns


def bmp_size(data: bytes) -> tuple[int, int]:
    """The (rows, columns) of a BMP; raises struct.error where the header is cut off."""
    (header_size,) = struct.unpack_from("<I", data, 14)
    columns, rows = struct.unpack_from("<HH" if header_size == 12 else "<ii", data, 18)
    return abs(rows), columns  # counted from the top, rows are negative


@dataclass(frozen=True, slots=True)
class TiffHeader:
    """The size of a TIFF's first page, its numbers per pixel, what these stand for, and whether more pages follow.

    `tile`: rows and columns of a tile, which is decoded as a whole, and may be larger than the page; 1 without tiles.
    `bits`: of a number, if there is one per pixel.
    """

    rows: int
    columns: int
    samples: int
    tile: tuple[int, int]
    bits: int
    is_zero_white: bool
    has_palette: bool
    has_more_pages: bool


def read_tiff_header(data: bytes) -> TiffHeader:
    """The first directory of a TIFF or BigTIFF (TIFF 6.0, section 2); raises struct.error, KeyError."""
    order = "<" if data.startswith(b"II") else ">"
    is_big = struct.unpack_from(order + "H", data, 2) == (_BIG_TIFF,)
    word, count_format, entry_size = ("Q", "Q", 20) if is_big else ("I", "H", 12)
    (offset,) = struct.unpack_from(order + word, data, 8 if is_big else 4)
    (count,) = struct.unpack_from(order + count_format, data, offset)
    offset += struct.calcsize(order + count_format)
    tags = {}
    for _ in range(count):
        tag, value_type = struct.unpack_from(order + "HH", data, offset)
        if tag in _TIFF_TAGS and tag not in tags:  # libtiff takes the first of two
            value_at = offset + entry_size - struct.calcsize(order + word)
            (tags[tag],) = struct.unpack_from(order + _TIFF_VALUES[value_type], data, value_at)
        offset += entry_size
    (next_page,) = struct.unpack_from(order + word, data, offset)
    return TiffHeader(
        rows=tags[_TIFF_ROWS],
        columns=tags[_TIFF_COLUMNS],
        samples=tags.get(_TIFF_SAMPLES, 1) * tags.get(_TIFF_DEPTH, 1),
        tile=(
            tags.get(_TIFF_TILE_ROWS, 1) * tags.get(_TIFF_TILE_DEPTH, 1),
            tags.get(_TIFF_TILE_COLUMNS, 1),
        ),
        bits=tags.get(_TIFF_BITS, 1),
        is_zero_white=tags.get(_TIFF_PHOTOMETRIC) == _WHITE_IS_ZERO,
        has_palette=tags.get(_TIFF_PHOTOMETRIC) == _PALETTE,
        has_more_pages=next_page != 0,
    )
