"""The stored numbers of one slice, decoded from any of the transfer syntaxes hospitals use."""

from collections.abc import Callable, Mapping
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
from pydicom import uid
from pydicom.encaps import get_frame

from ctseg.reading.dicom_pixel_data import PixelHeader
from ctseg.reading.files import ContentError
from ctseg.reading.jpeg2000_header import check_pieces, jpeg2000_codestream, jpeg2000_size
from ctseg.reading.jpeg_header import LOSSLESS, JpegHeader, read_jpeg_header
from ctseg.reading.jpeg_pixels import decode_jpeg_pixels
from ctseg.reading.picture_header import check_size

Pixels = npt.NDArray[Any]
_RLE_HEADER = 64
_SCREEN_BITS = 8


def decode_pixels(data: bytes, header: PixelHeader) -> Pixels:
    """The stored numbers (rows, columns) of a value of PixelData, not yet interpreted as signed.

    Raises ContentError, or what a library raises on damaged data.
    """
    if not data:
        raise ContentError("its pixels are missing: the file may be cut off")
    syntax = header.syntax
    if syntax in _BYTE_ORDERS:
        return _native(data, header, _BYTE_ORDERS[syntax])
    if syntax not in _DECODERS and syntax != uid.RLELossless:
        raise ContentError(f"its transfer syntax can't be decoded: {syntax.name}")
    frame = get_frame(data, 0, number_of_frames=1)
    if syntax == uid.RLELossless:
        if len(frame) > 2 * header.rows * header.columns * header.bits_allocated // 8 + _RLE_HEADER:
            raise ContentError("its data are many times larger than its size allows")
        return _native(imagecodecs.dicomrle_decode(frame, f"<u{header.bits_allocated // 8}"), header, "<")
    pixels = _DECODERS[syntax](frame, header)
    _check_shape(pixels.shape, header)
    return pixels


def is_plain(header: PixelHeader) -> bool:
    """Whether the pixels themselves are not compressed; the data set as a whole may be deflated."""
    return header.syntax in _BYTE_ORDERS


def _native(data: bytes | bytearray, header: PixelHeader, byte_order: str) -> Pixels:
    if not header.fills(len(data)):
        raise ContentError(f"it holds {len(data)} bytes of pixels, not {header.size}: cut off, or of another size")
    stored = np.frombuffer(data, f"{byte_order}u{header.bits_allocated // 8}", header.rows * header.columns)
    return stored.reshape(header.shape)


def _decode_jpeg(frame: bytes, header: PixelHeader) -> Pixels:
    """JPEG baseline, extended and lossless."""
    jpeg = _checked_jpeg(frame)
    # Lossless JPEG and 12 bits are fine in a header with 16 bits; 8 lossy bits are grey values for a screen, not HU.
    if jpeg.process != LOSSLESS and jpeg.precision <= _SCREEN_BITS < header.bits_stored:
        raise ContentError(f"its header says {header.bits_stored} bits, its JPEG data have {jpeg.precision}")
    return decode_jpeg_pixels(frame, jpeg)


def _decode_jpeg_ls(frame: bytes, _: PixelHeader) -> Pixels:
    _checked_jpeg(frame)
    pixels: Pixels = imagecodecs.jpegls_decode(frame)
    return pixels


def _checked_jpeg(frame: bytes) -> JpegHeader:
    header = read_jpeg_header(frame)
    check_size(header.rows, header.columns)
    if not header.is_complete:
        raise ContentError("the end of its JPEG data is missing: the file was cut off")
    return header


def _decode_jpeg2000(frame: bytes, header: PixelHeader) -> Pixels:
    """JPEG 2000 and High-Throughput JPEG 2000: for the latter OpenJPH is twice as fast, but silent on damaged data."""
    codestream = jpeg2000_codestream(frame)
    size = jpeg2000_size(codestream)
    check_size(size.rows, size.columns)
    _check_shape((size.rows, size.columns), header)
    if size.components != 1:
        raise ContentError(f"its JPEG 2000 data hold {size.components} values per pixel")
    check_pieces(codestream, size)
    pixels: Pixels = imagecodecs.jpeg2k_decode(codestream)
    return pixels


def _check_shape(shape: tuple[int, ...], header: PixelHeader) -> None:
    if shape != header.shape:
        found = " x ".join(map(str, shape))
        raise ContentError(f"its header says {header.rows} x {header.columns} pixels, its data {found}")


_BYTE_ORDERS: Mapping[str, str] = {
    uid.ImplicitVRLittleEndian: "<",
    uid.ExplicitVRLittleEndian: "<",
    uid.DeflatedExplicitVRLittleEndian: "<",
    uid.ExplicitVRBigEndian: ">",
}

# imagecodecs is called directly, not as a plug-in of pydicom, whose decoders are registered for the whole process and
# warn, log and copy on the way.
_DECODERS: Mapping[str, Callable[[bytes, PixelHeader], Pixels]] = {
    uid.JPEGBaseline8Bit: _decode_jpeg,
    uid.JPEGExtended12Bit: _decode_jpeg,
    uid.JPEGLossless: _decode_jpeg,
    uid.JPEGLosslessSV1: _decode_jpeg,
    uid.JPEGLSLossless: _decode_jpeg_ls,
    uid.JPEGLSNearLossless: _decode_jpeg_ls,
    uid.JPEG2000Lossless: _decode_jpeg2000,
    uid.JPEG2000: _decode_jpeg2000,
    uid.HTJ2KLossless: _decode_jpeg2000,
    uid.HTJ2KLosslessRPCL: _decode_jpeg2000,
    uid.HTJ2K: _decode_jpeg2000,
}
