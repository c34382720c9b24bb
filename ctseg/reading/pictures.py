"""Decode a picture file to the numbers it holds; refuse what is cut off, damaged or absurd.

imagecodecs' decoders raise an error for a file that was cut off, where OpenCV silently returns half a picture; they are
as fast, and release the GIL.
"""

import re
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt

from ctseg.errors import UnreadableFile
from ctseg.reading.files import ContentError, read_bytes, refusing
from ctseg.reading.jpeg_header import read_jpeg_header
from ctseg.reading.jpeg_pixels import decode_jpeg_pixels
from ctseg.reading.picture_header import TiffHeader, bmp_size, check_size, png_size, read_tiff_header
from ctseg.reading.png_pixels import decode_png_pixels
from ctseg.reading.signatures import SNIFFED, PictureFormat, picture_format
from ctseg.stages import stage

Pixels = npt.NDArray[Any]
Decoder = Callable[[bytes], Pixels]

_PNG_END = b"IEND\xaeB`\x82"
_MOST_CHANNELS = 4
_LARGEST_TILE = 2048 * 2048
# The header of an NPY is a Python dictionary. It is matched, not evaluated, not even as a literal.
_NPY_ENTRY = re.compile(rb"'(descr|fortran_order|shape)': *('[^']*'|\[.*?\]|True|False|\([\dL, ]*\))")
_NPY_NUMBERS = re.compile(r"[<>|=]?[buif]\d+")


def read_picture(file: Path) -> Pixels:
    """The numbers of a PNG, JPEG, TIFF, BMP or NPY: (H, W), or (H, W, channels) in the order R, G, B, alpha.

    The first bytes decide which it is, not the ending. Raises UnreadableFile.
    """
    return decode_with(DECODERS, file)


def decode_with(decoders: Mapping[PictureFormat, Decoder], file: Path) -> Pixels:
    """Decode `file` by the decoder for its format, which its first bytes tell; raises UnreadableFile."""
    with stage("read"):
        data = read_bytes(file)
    found = picture_format(data[:SNIFFED])
    if found is None:
        raise UnreadableFile(file, "is not a PNG, JPEG, TIFF, BMP or NPY image" if data else "is empty")
    refused, damaged = f"can't be read as {found}", f"is a {found} that is cut off or damaged"
    with refusing(file, refused, damaged), stage("decode"):
        return decoders[found](data)


def decode_png(data: bytes) -> Pixels:
    """The pixels of a PNG, with palettes as colours, fewer than 8 bits scaled to 8; raises ContentError."""
    check_size(*png_size(data))
    if data.rfind(_PNG_END) < 0:
        raise ContentError("its end is missing: the file was cut off")
    return decode_png_pixels(data)


def decode_jpeg(data: bytes) -> Pixels:
    """The pixels of a complete JPEG; raises ContentError."""
    header = read_jpeg_header(data)
    check_size(header.rows, header.columns)
    if not header.is_complete:
        raise ContentError("its end is missing: the file was cut off")
    pixels = decode_jpeg_pixels(data, header)
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        raise ContentError("its colours are CMYK: save it as RGB or grey")
    return pixels


def decode_tiff(data: bytes) -> Pixels:
    """The pixels of a TIFF with a single page, 0 as black; raises ContentError."""
    header = read_tiff_header(data)
    if header.has_palette:
        raise ContentError("its pixels are palette indices: save it as grey")
    pixels = _tiff_samples(data, header)
    return pixels * np.uint8(255 // _largest(header)) if _is_coarse(header) else pixels


def decode_tiff_samples(data: bytes) -> Pixels:
    """The same with palettes left as indices."""
    return _tiff_samples(data, read_tiff_header(data))


def _tiff_samples(data: bytes, header: TiffHeader) -> Pixels:
    check_size(header.rows, header.columns)
    if header.samples > _MOST_CHANNELS:
        raise ContentError(f"it has {header.samples} values per pixel: save it as grey")
    tile_rows, tile_columns = header.tile
    if tile_rows * tile_columns > max(_LARGEST_TILE, 4 * header.rows * header.columns):
        raise ContentError(f"it is made of tiles of {tile_columns} x {tile_rows} pixels: too large for what it shows")
    if header.has_more_pages:
        raise ContentError("it holds several pages: save each slice as a file of its own")
    pixels = imagecodecs.tiff_decode(data)
    if pixels.shape[:2] != (header.rows, header.columns):
        raise ContentError("its colours are in separate planes: save it as grey")
    if header.is_zero_white and pixels.dtype.kind in "bu":
        return _largest(header) - pixels if _is_coarse(header) else ~pixels
    return pixels


def _is_coarse(header: TiffHeader) -> bool:
    """Whether its numbers have 2 or 4 bits, which are decoded as they are: a screen shows the largest as white."""
    return header.samples == 1 and header.bits in (2, 4)


def _largest(header: TiffHeader) -> np.uint8:
    return np.uint8(2**header.bits - 1)


def decode_bmp(data: bytes) -> Pixels:
    """The pixels of a BMP, with palettes as colours; raises ContentError."""
    check_size(*bmp_size(data))
    return imagecodecs.bmp_decode(data)


def decode_npy(data: bytes) -> Pixels:
    """The array (H, W) of an NPY file; raises ContentError for pickled objects and other shapes."""
    entries, start = _npy_header(data)
    described = entries["descr"].strip("'")
    if not _NPY_NUMBERS.fullmatch(described):
        raise ContentError(f"its values are {described}, not numbers")
    dtype = np.dtype(described)
    shape = [int(length) for length in re.findall(r"\d+", entries["shape"])]
    if len(shape) != 2:
        cure = ": save each slice as a file, or all as a volume (.nii.gz, .mha, .nrrd)" if len(shape) == 3 else ""
        raise ContentError(f"its shape is {entries['shape']}, not (rows, columns){cure}")
    rows, columns = shape
    check_size(rows, columns)
    if len(data) - start < rows * columns * dtype.itemsize:
        raise ContentError("the file was cut off")
    flat = np.frombuffer(data, dtype, rows * columns, start)
    pixels = flat.reshape(rows, columns, order="F" if entries["fortran_order"] == "True" else "C")
    return np.ascontiguousarray(pixels, dtype.newbyteorder("="))


def _npy_header(data: bytes) -> tuple[Mapping[str, str], int]:
    """The entries of an NPY's header as text, and the offset of the numbers (NumPy's NEP 1)."""
    length, offset = ("<H", 10) if data[6] == 1 else ("<I", 12)
    start = offset + struct.unpack_from(length, data, 8)[0]
    entries = {name.decode(): value.decode("latin-1") for name, value in _NPY_ENTRY.findall(data, offset, start)}
    if len(entries) < 3:
        raise ContentError("its header is damaged")
    return entries, start


DECODERS: Mapping[PictureFormat, Decoder] = {
    "PNG": decode_png,
    "JPEG": decode_jpeg,
    "TIFF": decode_tiff,
    "BMP": decode_bmp,
    "NPY": decode_npy,
}
