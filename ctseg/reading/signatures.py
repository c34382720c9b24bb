"""Recognise the format of a file by its first bytes."""

import zlib
from typing import Literal

PictureFormat = Literal["PNG", "JPEG", "TIFF", "BMP", "NPY"]

SNIFFED = 512
"""How many first bytes are needed."""

LONGEST_HEADER = 2**16
"""The longest header of a MetaImage or NRRD that is read, in bytes."""

FIRST_GROUPS = (b"\x02\0", b"\x08\0")
"""How a DICOM file without the preamble begins: group 2 (file meta) or 8 (identification), little endian."""

_GZIP, _GZIP_WBITS = b"\x1f\x8b\x08", 31
_NIFTI1_AT, _NIFTI1 = 344, b"n+1\0"
_NIFTI2_AT, _NIFTI2 = 4, b"n+2\0\r\n\032\n"
_DICOM_AT, _DICOM = 128, b"DICM"
_NRRD, _METAIMAGE = b"NRRD000", b"ObjectType"
_PICTURES: tuple[tuple[bytes, PictureFormat], ...] = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"\x93NUMPY", "NPY"),
)
# Many a text begins with "BM": the size of the header that follows must be one of these, too.
_BMP_HEADER_SIZES = (12, 40, 52, 56, 64, 108, 124)


def picture_format(start: bytes) -> PictureFormat | None:
    """The format of the picture that begins with `start`, None for anything else."""
    for signature, name in _PICTURES:
        if start.startswith(signature):
            return name
    if start.startswith(b"BM") and int.from_bytes(start[14:18], "little") in _BMP_HEADER_SIZES:
        return "BMP"
    return None


def is_dicom(start: bytes) -> bool:
    """Whether the DICOM preamble is there (PS3.10, 7.1)."""
    return start.startswith(_DICOM, _DICOM_AT)


def is_bare_dicom(start: bytes) -> bool:
    """Whether `start` is of a data set without the preamble: two elements of its first group, in order (PS3.5, 7.1)."""
    group, element, vr = start[:2], start[2:4], start[4:6]
    if group not in FIRST_GROUPS:
        return False
    if vr == b"OB":
        at, length = 12, start[8:12]
    else:
        at, length = 8, start[6:8] if vr.isalpha() and vr.isupper() else start[4:8]
    after = at + int.from_bytes(length, "little")
    return start[after : after + 2] == group and start[after + 2 : after + 4][::-1] > element[::-1]


def is_gzip(start: bytes) -> bool:
    """Whether the file is gzip-compressed."""
    return start.startswith(_GZIP)


def nifti_version(start: bytes) -> Literal[1, 2] | None:
    """The version of a single-file NIfTI, None for another file; `start` is not compressed."""
    if start.startswith(_NIFTI1, _NIFTI1_AT):
        return 1
    return 2 if start.startswith(_NIFTI2, _NIFTI2_AT) else None


def is_nrrd(start: bytes) -> bool:
    """Whether a file that begins with `start` is an NRRD volume or header."""
    return start.startswith(_NRRD)


def is_metaimage(start: bytes) -> bool:
    """Whether a file that begins with `start` is a MetaImage volume or header, as all programs write it."""
    return start.startswith(_METAIMAGE)


def is_nifti(start: bytes) -> bool:
    """Whether a file that begins with `start` is a single-file NIfTI, gzip-compressed or plain."""
    if is_gzip(start):
        try:
            start = zlib.decompressobj(wbits=_GZIP_WBITS).decompress(start, SNIFFED)
        except zlib.error:
            return False
    return nifti_version(start) is not None
