"""Read label images exactly: each pixel is the number that was saved."""

import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ctseg.classes import Labels
from ctseg.errors import UnreadableFile
from ctseg.reading.files import ContentError
from ctseg.reading.pictures import DECODERS, Decoder, Pixels, decode_png, decode_tiff_samples, decode_with
from ctseg.reading.png_pixels import png_chunks
from ctseg.reading.signatures import PictureFormat

_GREY, _PALETTE = 0, 3
_IHDR = struct.Struct(">II5B")


def read_mask(file: Path) -> Labels:
    """The labels (H, W) of a PNG, TIFF, BMP or NPY; of a palette in PNG or TIFF, its indices.

    A colour picture is taken where its channels agree, without alpha. Raises UnreadableFile for one where they do not,
    or where only alpha differs between pixels, for values outside 0..255, fractions, and JPEG, which keeps no exact
    values.
    """
    pixels = decode_with(_EXACT, file)
    if pixels.ndim == 3:
        pixels = _common_channel(pixels, file)
    return as_labels(pixels, file)


def as_labels(values: npt.NDArray[Any], file: Path) -> Labels:
    """Whole numbers 0..255 as uint8; raises UnreadableFile for any other."""
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind not in "buif":
        raise UnreadableFile(file, f"is not a mask: its values are {values.dtype}")
    lowest, highest = values.min(), values.max()
    if not (lowest >= 0 and highest <= 255):
        raise UnreadableFile(file, f"is not a mask: its values run from {lowest} to {highest}, labels from 0 to 255")
    labels = values.astype(np.uint8)
    if values.dtype.kind == "f" and (labels != values).any():
        raise UnreadableFile(file, "is not a mask: some of its values are fractions")
    return labels


def _common_channel(pixels: Pixels, file: Path) -> Pixels:
    if pixels.shape[2] >= 3 and (pixels[:, :, :1] != pixels[:, :, 1:3]).any():
        raise UnreadableFile(file, "is a colour picture: a mask has one value per pixel (save it as grey)")
    values = pixels[:, :, 0].copy()
    if pixels.shape[2] in (2, 4) and np.ptp(pixels[:, :, -1]) and not np.ptp(values):
        raise UnreadableFile(file, "has its labels in the alpha channel (transparency) alone: save them as grey")
    return values


def _refuse_jpeg(_data: bytes) -> Pixels:
    raise ContentError("JPEG does not keep exact values, so it can't hold a mask: save it as PNG")


def _decode_png_samples(data: bytes) -> Pixels:
    """The pixels of a PNG without the palette, and without the stretch of fewer than 8 bits to 0..255."""
    _, _, depth, colour, *_ = _IHDR.unpack_from(data, 16)
    if colour != _PALETTE and (colour != _GREY or depth >= 8):
        return decode_png(data)
    pixels = decode_png(_as_grey_png(data))
    return pixels if depth == 8 else pixels // np.uint8(255 // (2**depth - 1))


def _as_grey_png(data: bytes) -> bytes:
    """The same PNG with its palette taken away and its indices declared to be grey values."""
    kept = [data[:8]]
    for kind, chunk in png_chunks(data):
        if kind == b"IHDR":
            columns, rows, depth, _, *rest = _IHDR.unpack(chunk[8:-4])
            header = kind + _IHDR.pack(columns, rows, depth, _GREY, *rest)
            kept.append(chunk[:4] + header + struct.pack(">I", zlib.crc32(header)))
        elif kind in (b"IDAT", b"IEND"):
            kept.append(chunk)
    return b"".join(kept)


_EXACT: Mapping[PictureFormat, Decoder] = {
    **DECODERS,
    "PNG": _decode_png_samples,
    "TIFF": decode_tiff_samples,
    "JPEG": _refuse_jpeg,
}
