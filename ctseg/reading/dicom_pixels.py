"""The pixels of one DICOM slice, from any of the transfer syntaxes hospitals use, in Hounsfield units."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
from pydicom import uid
from pydicom.dataset import FileDataset
from pydicom.encaps import get_frame

from ctseg.reading.dicom_file import number, open_dicom
from ctseg.reading.files import ContentError
from ctseg.reading.picture_header import check_size, read_jpeg_header
from ctseg.reading.values import as_slice, hounsfield, rescaled
from ctseg.scan import Slice
from ctseg.stages import stage

_NEEDED = ("Rows", "Columns", "BitsAllocated", "BitsStored", "PixelData")
_TAGS = (
    *_NEEDED, "PixelRepresentation", "PhotometricInterpretation", "SamplesPerPixel", "NumberOfFrames",
    "RescaleSlope", "RescaleIntercept",
)  # fmt: skip

Pixels = npt.NDArray[Any]
_DENSE_HU, _AIRY_HU = 500, -500


def read_slice(file: Path) -> Slice:
    """The slice of one file, (rows, columns), in HU; raises UnreadableFile.

    HU are RescaleSlope * stored + RescaleIntercept (PS3.3, C.11.1.1.2); what is lower than -1024 is padding and
    becomes air. A file that has neither tag is taken as `as_slice` takes numbers.
    """
    with ExitStack() as held:
        with stage("read"):
            dataset = held.enter_context(open_dicom(file, _TAGS))
        with stage("decode"):
            _check(dataset)
            return _in_hounsfield(dataset, _pixels(dataset))


def _check(dataset: FileDataset) -> None:
    """Raise ContentError for what is no plain grey slice."""
    if not dataset.get("PixelData"):
        raise ContentError("its pixels are missing, the file may be cut off")
    missing = [tag for tag in _NEEDED if not dataset.get(tag)]
    if missing:
        raise ContentError(f"its header lacks {', '.join(missing)}")
    check_size(dataset.Rows, dataset.Columns)
    photometric = dataset.get("PhotometricInterpretation", "MONOCHROME2")
    if photometric not in ("MONOCHROME1", "MONOCHROME2") or dataset.get("SamplesPerPixel", 1) != 1:
        raise ContentError(f"it is a colour picture ({photometric})")
    if (dataset.get("NumberOfFrames") or 1) > 1:
        raise ContentError(f"{dataset.NumberOfFrames} frames in one file: convert it to a file a slice first")
    if dataset.BitsAllocated not in (8, 16) or dataset.BitsStored > dataset.BitsAllocated:
        raise ContentError(f"its pixels have {dataset.BitsStored} of {dataset.BitsAllocated} bits")


def _pixels(dataset: FileDataset) -> Pixels:
    """The stored numbers (rows, columns) as they come out of a file, their signs not told; raises ContentError."""
    syntax = uid.UID(dataset.file_meta.get("TransferSyntaxUID", uid.ImplicitVRLittleEndian))
    if syntax in _BYTE_ORDERS:
        return _native(dataset.PixelData, dataset, _BYTE_ORDERS[syntax])
    if syntax not in _DECODERS and syntax != uid.RLELossless:
        raise ContentError(f"its transfer syntax can't be decoded: {syntax.name}")
    frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
    if syntax == uid.RLELossless:
        return _native(imagecodecs.dicomrle_decode(frame, f"<u{dataset.BitsAllocated // 8}"), dataset, "<")
    pixels = _DECODERS[syntax](frame)
    if pixels.shape != (dataset.Rows, dataset.Columns):
        raise ContentError(f"its header says {dataset.Rows} x {dataset.Columns} pixels, its data {pixels.shape}")
    return pixels


def _native(data: bytes | bytearray, dataset: FileDataset, byte_order: str) -> Pixels:
    rows, columns, width = dataset.Rows, dataset.Columns, dataset.BitsAllocated // 8
    needed = rows * columns * width
    # Some writers pad to a block; a row or more means that the size is wrong.
    if not needed <= len(data) < needed + columns * width:
        raise ContentError(f"it holds {len(data)} bytes of pixels, not {needed}: cut off, or of another size")
    return np.frombuffer(data, f"{byte_order}u{width}", rows * columns).reshape(rows, columns)


def _decode_jpeg(frame: bytes) -> Pixels:
    """JPEG baseline, extended and lossless are all libjpeg-turbo's, which keeps silent at a missing end."""
    header = read_jpeg_header(frame)
    check_size(header.rows, header.columns)
    if not header.is_complete:
        raise ContentError("the end of its JPEG data is missing, the file was cut off")
    pixels: Pixels = imagecodecs.jpeg8_decode(frame)
    return pixels


_BYTE_ORDERS: Mapping[str, str] = {
    uid.ImplicitVRLittleEndian: "<",
    uid.ExplicitVRLittleEndian: "<",
    uid.DeflatedExplicitVRLittleEndian: "<",
    uid.ExplicitVRBigEndian: ">",
}

# In imagecodecs rather than as plug-ins of pydicom's own decoders, which are registered for the whole process and
# warn, log and copy on the way: the few steps around a decoder are below.
_DECODERS: Mapping[str, Callable[[bytes], Pixels]] = {
    uid.JPEGBaseline8Bit: _decode_jpeg,
    uid.JPEGExtended12Bit: _decode_jpeg,
    uid.JPEGLossless: _decode_jpeg,
    uid.JPEGLosslessSV1: _decode_jpeg,
    uid.JPEGLSLossless: imagecodecs.jpegls_decode,
    uid.JPEGLSNearLossless: imagecodecs.jpegls_decode,
    uid.JPEG2000Lossless: imagecodecs.jpeg2k_decode,
    uid.JPEG2000: imagecodecs.jpeg2k_decode,
    # By OpenJPEG as well: OpenJPH is twice as fast, but passes over damaged data in silence.
    uid.HTJ2KLossless: imagecodecs.jpeg2k_decode,
    uid.HTJ2KLosslessRPCL: imagecodecs.jpeg2k_decode,
    uid.HTJ2K: imagecodecs.jpeg2k_decode,
}


def _in_hounsfield(dataset: FileDataset, pixels: Pixels) -> Slice:
    """The slice that the stored numbers stand for.

    MONOCHROME1 says how to show the numbers (the lowest is white), not what they are: HU come from the rescale
    all the same. But some writers turned the numbers around with it. A chest holds more air than bone; where it
    does not, the complement is the CT.
    """
    slope, intercept = number(dataset, "RescaleSlope"), number(dataset, "RescaleIntercept")
    if slope is None and intercept is None:
        return as_slice(_signed(pixels, dataset))
    if slope == 0:
        raise ContentError("its RescaleSlope is 0")
    rescale = partial(rescaled, slope=slope or 1.0, intercept=intercept or 0.0)
    values = rescale(_signed(pixels, dataset))
    if dataset.get("PhotometricInterpretation") == "MONOCHROME1" and _is_inverted(values):
        values = rescale(_signed(~pixels, dataset))
    return Slice(hounsfield(values), "hu")


def _signed(pixels: Pixels, dataset: FileDataset) -> Pixels:
    """The lowest BitsStored bits of each number, signed or not as PixelRepresentation says (PS3.5, 8.1.1).

    The bits above may be anything, and decoders do not know of the sign.
    """
    unused = 16 - int(dataset.BitsStored)
    shifted = pixels.astype(np.uint16) << unused
    if dataset.get("PixelRepresentation") == 1:
        return shifted.view(np.int16) >> unused
    return shifted >> unused


def _is_inverted(values: Pixels) -> bool:
    return bool(np.count_nonzero(values > _DENSE_HU) > np.count_nonzero(values < _AIRY_HU))
