"""The pixels of a PNG, inflated by libdeflate, which takes less than half of zlib's time for it.

Most of the time that libpng takes for a slice is zlib's. So it is given the same picture with its data inflated
beforehand: as stored blocks (RFC 1951, 3.2.4), which zlib only copies. All else is left to libpng: filters, palettes,
and the refusal of a damaged file.
"""

import ctypes
import struct
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt

_SIGNATURE, _LENGTH_KIND_CRC = 8, 12  # bytes
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
_MOST_BITS = 16
_END = b"\0\0\0\0IEND\xaeB`\x82"

# A zlib stream (RFC 1950): header, blocks of data, and the Adler-32 of what is inflated.
_NO_COMPRESSION = b"\x78\x01"
_LONGEST_BLOCK = 2**16 - 1


def decode_png_pixels(data: bytes) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
    """The pixels of a PNG, (H, W) or (H, W, channels); raises imagecodecs.PngError for one that libpng refuses."""
    with suppress(imagecodecs.DeflateError, struct.error, KeyError):  # libpng tells what is wrong, or manages
        data = _inflated(data) or data
    try:
        pixels: npt.NDArray[np.uint8] | npt.NDArray[np.uint16] = imagecodecs.png_decode(data)
    except imagecodecs.PngError:
        if sys.version_info < (3, 12):
            # imagecodecs 2026.3.6 takes a reference from None here. Where None is not immortal, Python aborts once
            # there is none left, after some 12,000 damaged files.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(None))
        raise
    return pixels


def _inflated(data: bytes) -> bytes | None:
    """The same picture without compression; None for an interlaced one, or if its data are not as they should be."""
    columns, rows, bits, colours, _, _, interlaced = struct.unpack_from(">IIBBBBB", data, 16)
    if interlaced or bits > _MOST_BITS:
        return None
    size = rows * (1 + (columns * bits * _CHANNELS[colours] + 7) // 8)  # with the number of each row's filter
    before, compressed = [data[:_SIGNATURE]], []
    for kind, chunk in png_chunks(data):
        if kind == b"IDAT":
            if struct.pack(">I", imagecodecs.deflate_crc32(chunk[4:-4])) != chunk[-4:]:
                return None
            compressed.append(chunk[8:-4])
        elif compressed:
            break
        else:
            before.append(chunk)
    inflated = bytes(imagecodecs.deflate_decode(b"".join(compressed), out=size))
    if len(inflated) != size:
        return None
    # Not the last bytes of the stream: it may be longer than its own data.
    ending = struct.pack(">I", imagecodecs.deflate_adler32(inflated))
    stored = [b"IDAT", _NO_COMPRESSION, *_blocks(memoryview(inflated)), ending]
    checksum = 0
    for part in stored:
        checksum = imagecodecs.deflate_crc32(part, checksum)
    length = sum(map(len, stored[1:]))
    return b"".join([*before, struct.pack(">I", length), *stored, struct.pack(">I", checksum), _END])


def png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The kind of each chunk of a PNG, and the chunk: length, kind, content, CRC; the last one may be cut off."""
    start = _SIGNATURE
    while start + _LENGTH_KIND_CRC <= len(data):
        length, kind = struct.unpack_from(">I4s", data, start)
        end = start + length + _LENGTH_KIND_CRC
        yield kind, data[start:end]
        start = end


def _blocks(content: memoryview) -> Iterator[Any]:
    """Stored blocks: the header of each, and what it announces, not copied."""
    for start in range(0, len(content), _LONGEST_BLOCK):
        block = content[start : start + _LONGEST_BLOCK]
        is_last = start + len(block) == len(content)
        yield struct.pack("<BHH", is_last, len(block), len(block) ^ _LONGEST_BLOCK)
        yield block
