"""The pixels of a JPEG, or a refusal if its data do not lead to all of them.

libjpeg silently fills missing pixels, with grey or with what zero bits stand for, and ignores data that are left over.
But it stops at the last pixel. So bytes inserted after the data change pixels only if data are missing, and bytes that
replace the last ones change pixels only if no data are left over. Each of these tests takes a decoding. A lossless
picture can nearly always be tested without: its data must end in the code of its last pixels.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt

from ctseg.reading.files import ContentError
from ctseg.reading.jpeg_header import ARITHMETIC, LOSSLESS, PROGRESSIVE, START_OF_SCAN, JpegHeader, segments

Pixels = npt.NDArray[Any]
Samples = npt.NDArray[np.int32]

MOST_SCANS = 100
"""Each is a pass over all pixels; encoders make some 10."""

# No 0xFF, and little repetition: by no table does this stand for a picture.
_PUT_IN = bytes(number * number * 37 % 251 for number in range(5, 69))
_OTHERS_PUT_IN = (_PUT_IN, _PUT_IN[::-1], _PUT_IN[17:])
_LAST_BYTES = 32
_LARGE, _SHORT, _SPARSE = 1 / 8, 512, 1 / 256
_MARKER = re.compile(rb"\xff([^\x00\xff])")
_RESTART, _RESTARTS, _FILL = 0xD0, 8, 0xFF

_END_OF_BLOCK, _COEFFICIENTS = 0, 64
_PREDICTORS: Mapping[int, Callable[[Samples, Samples, Samples], Samples]] = {
    1: lambda left, _above, _corner: left,
    2: lambda _left, above, _corner: above,
    3: lambda _left, _above, corner: corner,
    4: lambda left, above, corner: left + above - corner,
    5: lambda left, above, corner: left + ((above - corner) >> 1),
    6: lambda left, above, corner: above + ((left - corner) >> 1),
    7: lambda left, above, _corner: (left + above) >> 1,
}
"""The prediction of a sample from its neighbours to the left, above, and above to the left (T.81, table H.1)."""

_LAST_ROWS, _LAST_SAMPLES = 9, 16


@dataclass(frozen=True, slots=True)
class _Scan:
    """A scan: its header, where its data begin, and where each interval of them ends, before a marker."""

    header: bytes
    start: int
    ends: Sequence[int]

    @property
    def is_first(self) -> bool:
        """Whether no earlier scan has given bits of its coefficients (T.81, G.1.1.1.2)."""
        return self.header[-1] >> 4 == 0

    @property
    def finished(self) -> int:
        """How many coefficients of a block, over its components, it completes to the last bit (T.81, G.1.1.1.1)."""
        first, last, bits = self.header[-3:]
        return self.header[0] * (last - first + 1) if bits & 15 == 0 else 0


def decode_jpeg_pixels(data: bytes, header: JpegHeader) -> Pixels:
    """The pixels of a DCT or lossless JPEG of up to 16 bits: (H, W), or (H, W, channels).

    Raises ContentError for too many scans, ValueError if data are missing. Arithmetic coding may omit its end (T.81,
    D.1.8), so it can't be tested. A loss of a few bytes in the middle may go unnoticed; with several scans also a
    larger one, since the last bytes of a scan may make no difference.
    """
    scans = _scans(data, header) if header.has_several_scans else ()
    decode = imagecodecs.jpeg8_decode
    pixels: Pixels = decode(data)
    if header.process in ARITHMETIC or (header.process == LOSSLESS and _ends_in_its_last_samples(data, header, pixels)):
        return pixels
    scans = scans or _scans(data, header)
    is_one_piece = len(scans) == 1 and len(scans[0].ends) == 1
    is_sure = is_one_piece and _ends_in_a_block(data, header, pixels)
    if not is_sure and not np.array_equal(pixels, decode(_lengthened(data, scans))):
        raise ValueError("its data end before its last pixels")
    is_flat = (pixels == pixels[0, 0]).all()  # its tables may have no other value
    if is_flat or header.process == LOSSLESS:
        return pixels
    for scan in _main_scans(data, scans, header.rows * header.columns):
        if all(np.array_equal(pixels, decode(other)) for other in _with_other_ends(data, scan)):
            raise ValueError("its data continue after its last pixels")
    return pixels


def _main_scans(data: bytes, scans: Sequence[_Scan], pixels: int) -> Sequence[_Scan]:
    """The scans whose last bytes make a difference, and that hold much of the data in one piece.

    A loss between restart markers does not reach beyond them. Of several scans, some only add a bit, which rounding may
    swallow, and those with a few bits per block may end in bits without effect.
    """
    smallest = max(_LARGE * len(data), _SHORT, _SPARSE * pixels) if len(scans) > 1 else 0
    return [scan for scan in scans if scan.is_first and len(scan.ends) == 1 and scan.ends[0] - scan.start >= smallest]


def _scans(data: bytes, header: JpegHeader) -> Sequence[_Scan]:
    scans = list(islice(_each_scan(data, header), MOST_SCANS + 1))
    if len(scans) > MOST_SCANS:
        raise ContentError(f"its pixels are spread over more than {MOST_SCANS} scans")
    if header.process in PROGRESSIVE and sum(scan.finished for scan in scans) < header.components * _COEFFICIENTS:
        raise ValueError("a scan is missing")
    return scans


def _each_scan(data: bytes, header: JpegHeader) -> Iterator[_Scan]:
    content, start = header.scan, header.start
    while content:
        ends = []
        marker, after = 0, start
        for found in _MARKER.finditer(data, start):
            marker, after = found[1][0], found.end()
            end = found.start()
            while data[end - 1] == _FILL:
                end -= 1
            ends.append(end)
            if marker != _RESTART + (len(ends) - 1) % _RESTARTS:
                break
        if marker in range(_RESTART, _RESTART + _RESTARTS):
            raise ValueError("an interval of its data is missing")
        yield _Scan(content, start, ends)
        content = b""
        for marker, begin, start in segments(data, after - 2):
            if marker == START_OF_SCAN:
                content = data[begin:start]


def _lengthened(data: bytes, scans: Sequence[_Scan]) -> bytes:
    """The data with bytes inserted wherever a decoder should need no more.

    After a scan, the next restart marker and more bytes follow, for a decoder that lacks whole intervals.
    """
    parts, done = [], 0
    for scan in scans:
        for end in scan.ends:
            parts += [data[done:end], _PUT_IN]
            done = end
        parts += [bytes([0xFF, _RESTART + (len(scan.ends) - 1) % _RESTARTS]), _PUT_IN]
    return b"".join([*parts, data[done:]])


def _with_other_ends(data: bytes, scan: _Scan) -> Iterator[bytes]:
    """The data with the last bytes of a scan replaced, before zeros and 0xFF that fill it up."""
    *_, end = scan.ends
    offset = max(scan.start, scan.start + len(data[scan.start : end].rstrip(b"\0\xff")) - _LAST_BYTES)
    return (data[:offset].rstrip(b"\xff") + other + data[end:] for other in _OTHERS_PUT_IN)


def _ends_in_a_block(data: bytes, header: JpegHeader, pixels: Pixels) -> bool:
    """Whether the last block is not grey, as a block without data would be, and the data end with an end of block.

    Only for one component. Data that are cut off may end like this by chance.
    """
    if header.process == LOSSLESS or header.components > 1:
        return False
    end_of_block = _codes(header.tables.get(0x10 | header.scan[2] & 15, b"")).get(_END_OF_BLOCK)
    middle = 1 << (header.precision - 1)
    return abs(int(pixels[-1, -1]) - middle) > middle // 2 and _ends_in(data, header, end_of_block)


def _ends_in_its_last_samples(data: bytes, header: JpegHeader, pixels: Pixels) -> bool:
    """Whether the data of a lossless picture end in the code of its last samples; False if that is not tested.

    After data that end within a row, the rest of the row is what zero bits stand for, and the rows below are grey.
    """
    if header.has_restarts or header.components > 1 or header.scan[3] not in _PREDICTORS:
        return False
    if (pixels[-1] == 1 << (header.precision - 1)).all():
        return False
    table = header.tables.get(header.scan[2] >> 4, b"")
    rows = pixels[-_LAST_ROWS:].astype(np.int32) >> (header.scan[5] & 15)
    return _ends_in(data, header, _last_samples(_differences(rows, header.scan[3]), table))


def _differences(rows: Samples, predictor: int) -> npt.NDArray[np.int16]:
    """The samples of all rows but the first, minus their predictions; in the first column that is the one above."""
    predicted = rows[:-1].copy()
    predicted[:, 1:] = _PREDICTORS[predictor](rows[1:, :-1], rows[:-1, 1:], rows[:-1, :-1])
    return (rows[1:] - predicted).ravel().astype(np.int16)


def _last_samples(differences: npt.NDArray[np.int16], table: bytes) -> str | None:
    """The code of the last samples, as bits (T.81, H.1.2).

    It reaches back to the last sample that zero bits do not stand for, and to some before it; None if there is no such
    sample, or one has no code.
    """
    codes = _codes(table)
    zeros = next(iter(codes), 0)
    others = np.flatnonzero(differences != 1 - (1 << zeros))
    if not codes or not len(others):
        return None
    end = int(others[-1]) + 1
    samples = [_sample_code(int(number), codes) for number in differences[max(0, end - _LAST_SAMPLES) : end]]
    filled = "0" * (len(codes[zeros]) + zeros) * (len(differences) - end)
    return None if None in samples else "".join(filter(None, samples)) + filled


def _sample_code(difference: int, codes: Mapping[int, str]) -> str | None:
    """The code of the difference's size and, except for 0 and -32768, that many bits of its value (H.1.2.2)."""
    size = abs(difference).bit_length()
    if size not in codes or not 0 < size < 16:
        return codes.get(size)
    return codes[size] + f"{difference if difference > 0 else difference + (1 << size) - 1:0{size}b}"


def _codes(table: bytes) -> Mapping[int, str]:
    """The codes of a Huffman table by symbol (T.81, annex C); the first consists of zero bits."""
    codes, code, offset = {}, 0, 16
    for length, count in enumerate(table[:16], start=1):
        for symbol in table[offset : offset + count]:
            codes[symbol] = f"{code:0{length}b}"
            code += 1
        offset, code = offset + count, code << 1
    return codes


def _ends_in(data: bytes, header: JpegHeader, code: str | None) -> bool:
    """Whether the data end in a code, padded to a byte with ones (T.81, F.1.2.3)."""
    if code is None:
        return False
    longest = len(code) // 4 + 4  # each byte may be followed by a stuffed 0
    tail = data[max(header.start, header.end - longest) : header.end].rstrip(b"\xff").replace(b"\xff\0", b"\xff")
    bits = f"{int.from_bytes(tail):0{8 * len(tail)}b}"
    return any(bits.endswith(code + "1" * filled) for filled in range(8))
