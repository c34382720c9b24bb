"""Where in a DICOM file its pixels lie and how they are stored, noted once; their bytes, read when they are needed."""

import struct
from dataclasses import dataclass
from pathlib import Path

from pydicom import uid
from pydicom.dataset import FileDataset

from ctseg.errors import UnreadableFile
from ctseg.reading.dicom_file import number, open_dicom, whole
from ctseg.reading.files import LARGEST_FILE, ContentError, check_regular, unopened
from ctseg.reading.picture_header import check_size

PIXEL_TAGS = (
    "Rows", "Columns", "BitsAllocated", "BitsStored", "PixelRepresentation", "PhotometricInterpretation",
    "RescaleSlope", "RescaleIntercept",
)  # fmt: skip

_PIXEL_DATA = (0x7FE0, 0x0010)
_VRS = (b"OW", b"OB", b"UN")
_UNDEFINED = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class PixelHeader:
    """How one slice is stored.

    `offset` is that of the PixelData element; None in a file that is deflated as a whole. `slope` and `intercept` lead
    to HU (PS3.3, C.11.1.1.2), and are None where the file does not say; other numbers are 0 then.
    """

    offset: int | None
    syntax: uid.UID
    is_little: bool
    rows: int
    columns: int
    bits_allocated: int
    bits_stored: int
    is_signed: bool
    photometric: str
    slope: float | None
    intercept: float | None

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.rows, self.columns

    @property
    def is_rescaled(self) -> bool:
        """Whether the file says how its numbers become HU."""
        return None not in (self.slope, self.intercept)

    def check(self) -> None:
        """Raise ContentError for what is no plain grey slice."""
        needed = {"Rows": self.rows, "Columns": self.columns, "BitsAllocated": self.bits_allocated}
        missing = [tag for tag, value in {**needed, "BitsStored": self.bits_stored}.items() if not value]
        if missing:
            raise ContentError(f"its header lacks {', '.join(missing)}")
        check_size(*self.shape)
        if self.photometric not in ("MONOCHROME1", "MONOCHROME2"):
            raise ContentError(f"it is a colour picture ({self.photometric})")
        if self.bits_allocated not in (8, 16):
            raise ContentError(f"its pixels have {self.bits_allocated} bits, not 8 or 16")
        if self.bits_stored > self.bits_allocated:
            raise ContentError(f"its pixels use {self.bits_stored} of {self.bits_allocated} bits")


def pixel_header(dataset: FileDataset, offset: int) -> PixelHeader:
    """From the `PIXEL_TAGS` of a file that was read up to `offset`, where its PixelData begin."""
    syntax = uid.UID(dataset.file_meta.get("TransferSyntaxUID", uid.ImplicitVRLittleEndian))
    _, is_little = dataset.original_encoding
    return PixelHeader(
        offset=None if syntax == uid.DeflatedExplicitVRLittleEndian else offset,
        syntax=syntax,
        is_little=is_little is not False,
        rows=whole(dataset, "Rows") or 0,
        columns=whole(dataset, "Columns") or 0,
        bits_allocated=whole(dataset, "BitsAllocated") or 0,
        bits_stored=whole(dataset, "BitsStored") or 0,
        is_signed=whole(dataset, "PixelRepresentation") == 1,
        photometric=str(dataset.get("PhotometricInterpretation") or "MONOCHROME2"),
        slope=number(dataset, "RescaleSlope"),
        intercept=number(dataset, "RescaleIntercept"),
    )


def read_pixel_data(file: Path, header: PixelHeader) -> bytes:
    """The value of PixelData as it is stored; encapsulated, with whatever follows it.

    Raises UnreadableFile, and ContentError where there are no pixels: the file is cut off, or another one by now.
    """
    if header.offset is None:
        with open_dicom(file, ["PixelData"]) as (dataset, _):
            return bytes(dataset.get("PixelData") or b"")
    if (size := check_regular(file) - header.offset) > LARGEST_FILE:
        raise UnreadableFile(file, f"is too large for one slice ({size / LARGEST_FILE:.1f} GiB)")
    try:
        with file.open("rb", buffering=0) as stream:
            stream.seek(header.offset)
            element = stream.readall()
    except OSError as error:
        raise unopened(file, error) from error
    return _value(element, header)


def _value(element: bytes, header: PixelHeader) -> bytes:
    """What follows tag, VR and length (PS3.5, 7.1); all that is left where the length is undefined."""
    order = "<" if header.is_little else ">"
    # Some files are not encoded as their transfer syntax says. Letters here are a VR; as a length they would be odd.
    form, at = (f"{order}HH4xI", 12) if element[4:6] in _VRS else (f"{order}HHI", 8)
    if len(element) <= at:
        raise ContentError("its pixels are missing, the file may be cut off")
    *tag, length = struct.unpack_from(form, element)
    if tuple(tag) != _PIXEL_DATA:
        raise ContentError("its pixels are not where they were when its header was read")
    return element[at:] if length == _UNDEFINED else element[at : at + length]
