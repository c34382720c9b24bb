"""The header of a JPEG (ITU-T T.81, annex B) or JPEG-LS (T.87, annex C)."""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ctseg.reading.files import ContentError

END_OF_IMAGE = b"\xff\xd9"
"""The marker that ends any JPEG, and occurs nowhere else after the start of its pixels."""

LOSSLESS = 0xC3
PROGRESSIVE = frozenset({0xC2, 0xCA})
ARITHMETIC = frozenset({0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF})
START_OF_SCAN = 0xDA

_HUFFMAN_TABLES, _RESTART_INTERVAL = 0xC4, 0xDD
# Markers without a length (T.81, table B.1: TEM, RST0 to RST7, SOI, EOI). None belongs in a header; decoders treat one
# there differently, so it could hide the true size.
_BARE_MARKERS = frozenset({0x01, *range(0xD0, 0xDA)})
# ITU-T T.81, table B.1: C0 to CF but for the Huffman, arithmetic and reserved ones; and JPEG-LS, T.87, table C.1.
_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}


@dataclass(frozen=True, slots=True)
class JpegHeader:
    """The frame of a JPEG, its first scan, and where the data of its scans are.

    `process` is the marker of the frame, `scan` the content of the first scan's header. `tables` are the Huffman tables
    by class and number: how many codes there are of each length, and their symbols (B.2.4.2). `end` is the offset of
    the last end-of-image marker, -1 without one.
    """

    rows: int
    columns: int
    process: int
    precision: int
    components: int
    scan: bytes
    tables: Mapping[int, bytes]
    has_restarts: bool
    start: int
    end: int

    @property
    def is_complete(self) -> bool:
        """Whether the data reach the end-of-image marker.

        Inside a scan every 0xFF byte is followed by 0 or a restart marker (T.81, B.1.1.5), so an end-of-image marker
        after its start is the picture's own, not that of a thumbnail in the header. What may follow it (padding, a
        second picture) does not matter.
        """
        return self.end >= self.start

    @property
    def has_several_scans(self) -> bool:
        """Whether the pixels are coded in more than one pass."""
        return self.process in PROGRESSIVE or self.scan[0] < self.components


def read_jpeg_header(data: bytes) -> JpegHeader:
    """Walk a JPEG's segments up to its first scan; raises ContentError where there is none."""
    rows = columns = process = precision = components = interval = 0
    tables: dict[int, bytes] = {}
    for marker, content, end in segments(data, 2):
        if marker in _FRAME_MARKERS:
            process = marker
            precision, rows, columns, components = struct.unpack_from(">BHHB", data, content)
        elif marker == _HUFFMAN_TABLES:
            tables |= _tables(data[content:end])
        elif marker == _RESTART_INTERVAL:
            (interval,) = struct.unpack_from(">H", data, content)
        elif marker == START_OF_SCAN and end > content:
            return JpegHeader(
                rows, columns, process, precision, components, data[content:end], tables, interval > 0,
                start=end, end=data.rfind(END_OF_IMAGE),
            )  # fmt: skip
    raise ContentError("it ends before its pixels, or its header is damaged")


def segments(data: bytes, offset: int) -> Iterator[tuple[int, int, int]]:
    """The markers from `offset` to the first scan, inclusive, with the start and the end of each one's content.

    Stops early at anything that is no such marker.
    """
    while offset + 4 <= len(data) and data[offset] == 0xFF:
        marker = data[offset + 1]
        if marker == 0xFF:  # a fill byte
            offset += 1
            continue
        if marker in _BARE_MARKERS:
            return
        (length,) = struct.unpack_from(">H", data, offset + 2)
        yield marker, offset + 4, offset + 2 + length
        if marker == START_OF_SCAN:
            return
        offset += 2 + length


def _tables(content: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset + 17 <= len(content):
        end = offset + 17 + sum(content[offset + 1 : offset + 17])
        yield content[offset], content[offset + 1 : end]
        offset = end
