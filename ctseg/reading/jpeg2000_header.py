"""The header of a JPEG 2000 codestream (ISO 15444-1, annex A), and a refusal of those that take too much memory."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from ctseg.reading.files import ContentError

MOST_PIECES = 2**18
"""The limit of precincts over all layers plus code blocks; OpenJPEG takes some hundred bytes for each. A slice has some
hundreds."""

MOST_TILES = 2**12
"""The limit of tiles; some files have tiles of 64 x 64."""

_DAMAGED = "its JPEG 2000 data are damaged"
# A.4.1 and A.5.1: a codestream begins with these two markers, and the size follows.
_START = b"\xff\x4f\xff\x51"
_JP2_CODESTREAM = b"jp2c"
_CODING, _CODING_OF_COMPONENT = 0xFF52, 0xFF53
_TILE, _TILE_DATA = 0xFF90, 0xFF93
# Table A.2, with those of part 2 and ISO 15444-15. After an unknown marker, a decoder may search for the next one.
_MARKERS = frozenset(
    {0xFF50, 0xFF51, _CODING, _CODING_OF_COMPONENT, 0xFF55, 0xFF57, 0xFF58, 0xFF59, 0xFF5C, 0xFF5D, 0xFF5E, 0xFF5F}
) | {0xFF60, 0xFF61, 0xFF63, 0xFF64, 0xFF74, 0xFF75, 0xFF76, 0xFF77, 0xFF78, _TILE}
_TILE_PART = b"\xff\x90"
_HAS_PRECINCTS = 1
_LARGEST_PRECINCTS = b"\xff" * 256


@dataclass(frozen=True, slots=True)
class Jpeg2000Size:
    """The size of the picture, its numbers per pixel, and its number of tiles."""

    rows: int
    columns: int
    components: int
    tiles: int


def jpeg2000_codestream(data: bytes) -> bytes:
    """The codestream, taken out of the boxes of a JP2 file (ISO 15444-1, I.4) if need be; raises ContentError."""
    offset = 0
    while not data.startswith(_START, offset):
        length, kind = struct.unpack_from(">I4s", data, offset) if offset + 8 <= len(data) else (0, b"")
        if kind != _JP2_CODESTREAM and length < 8:
            raise ContentError(_DAMAGED)
        offset += 8 if kind == _JP2_CODESTREAM else length
    return data[offset:]


def jpeg2000_size(codestream: bytes) -> Jpeg2000Size:
    """The size from the SIZ segment (A.5.1); raises struct.error if that is cut off, ContentError if it is invalid."""
    right, bottom, left, top, width, height, x, y, components = struct.unpack_from(">8IH", codestream, 8)
    if not width or not height:
        raise ContentError(_DAMAGED)
    return Jpeg2000Size(bottom - top, right - left, components, -((x - right) // width) * -((y - bottom) // height))


def check_pieces(codestream: bytes, size: Jpeg2000Size) -> None:
    """Raise ContentError for absurdly many tiles, precincts or code blocks (A.6.1, A.6.2)."""
    if size.tiles > MOST_TILES:
        raise ContentError(f"its JPEG 2000 data are cut into {size.tiles} tiles")
    layers = 1
    for marker, content in _segments(codestream):
        if marker == _CODING:
            (layers,) = struct.unpack_from(">H", content, 2)
            style, coding = content[0], content[5:]
        elif marker == _CODING_OF_COMPONENT:
            style, coding = content[1], content[2:]
        else:
            continue
        pieces = _pieces(size, layers, coding, coding[5:] if style & _HAS_PRECINCTS else _LARGEST_PRECINCTS)
        if pieces > MOST_PIECES:
            raise ContentError(f"its JPEG 2000 data are cut into {pieces} pieces")


def _pieces(size: Jpeg2000Size, layers: int, coding: bytes, precincts: bytes) -> int:
    """The number of precincts, over all layers, plus code blocks, at most (table A.20, B.6 and B.7)."""
    levels, *block_sides = coding[:3]
    count = 0
    for resolution in range(levels + 1):
        regions = blocks = 1
        sides = (size.columns, precincts[resolution] & 15), (size.rows, precincts[resolution] >> 4)
        for (length, exponent), block_side in zip(sides, block_sides, strict=True):
            shrunk = (length >> levels - resolution) + 1
            regions *= 1 + (shrunk >> exponent)
            # Except at the lowest resolution, they are in bands of half the size.
            blocks *= 1 + (shrunk >> max(0, min(block_side + 2, exponent - (resolution > 0))))
        count += layers * regions + blocks
    return count


def _segments(codestream: bytes) -> Iterator[tuple[int, bytes]]:
    """The marker segments of the main header and of all tile parts; raises ContentError for unknown ones."""
    offset, end_of_part = len(_START) - 2, 0
    while offset + 4 <= len(codestream):
        marker, length = struct.unpack_from(">HH", codestream, offset)
        if marker == _TILE_DATA:
            if end_of_part <= offset or not codestream.startswith(_TILE_PART, end_of_part):
                return
            offset = end_of_part
            continue
        if marker not in _MARKERS:
            raise ContentError(_DAMAGED)
        if marker == _TILE:
            end_of_part = offset + struct.unpack_from(">I", codestream, offset + 6)[0]
        yield marker, codestream[offset + 4 : offset + 2 + length]
        offset += 2 + length
