"""The pixels of a JPEG, or a refusal where its data do not lead to all of them.

libjpeg fills what is missing, with grey or with what zero bits stand for, passes over what is left, and says nothing.
But it reads no further than to the last pixel: bytes put in behind the data change the pixels only where data are
missing, bytes put in place of the last ones only where none are left over. Each takes a decoding. Of a lossless picture
it can nearly always be told without: its data end in the code of its last pixels.
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

# No 0xFF, and little that repeats: what it stands for by any table is no picture.
_PUT_IN = bytes(place * place * 37 % 251 for place in range(5, 69))
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
"""What a sample is told from: its neighbours to the left, above, and above to the left (T.81, table H.1)."""

_LAST_ROWS, _LAST_SAMPLES = 9, 16


@dataclass(frozen=True, slots=True)
class _Scan:
    """What its header says, where its data begin, and where each interval of them ends: before a marker."""

    header: bytes
    start: int
    ends: Sequence[int]

    @property
    def is_first(self) -> bool:
        """Whether its coefficients were not led to any bit before (T.81, G.1.1.1.2)."""
        return self.header[-1] >> 4 == 0

    @property
    def finished(self) -> int:
        """How many coefficients of a block, of all components, it leads to the last bit of (T.81, G.1.1.1.1)."""
        first, last, bits = self.header[-3:]
        return self.header[0] * (last - first + 1) if bits & 15 == 0 else 0


def decode_jpeg_pixels(data: bytes, header: JpegHeader) -> Pixels:
    """The pixels of a JPEG with DCT or without losses, of up to 16 bits: (H, W), or (H, W, channels).

    Raises ContentError for too many scans, ValueError where data are missing. An arithmetic code may leave out its end
    (T.81, D.1.8), so there nothing is known. Of a loss in the middle, a few bytes may go unnoticed; and where several
    scans lead to the pixels, more, since the last bytes of one may make no difference.
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
        raise ValueError("its data end before its pixels")
    is_flat = (pixels == pixels[0, 0]).all()  # that may be all that its tables know
    if is_flat or header.process == LOSSLESS:
        return pixels
    for scan in _main_scans(data, scans, header.rows * header.columns):
        if all(np.array_equal(pixels, decode(other)) for other in _with_other_ends(data, scan)):
            raise ValueError("its pixels end before its data")
    return pixels


def _main_scans(data: bytes, scans: Sequence[_Scan], pixels: int) -> Sequence[_Scan]:
    """Those whose last bytes make a difference, and that hold much of the data in one piece.

    What is lost between restart markers stays between them. Of several scans, some add a bit to what is there, which
    rounding may swallow, and those of a few bits a block may end in what says nothing.
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
        for marker, place, start in segments(data, after - 2):
            if marker == START_OF_SCAN:
                content = data[place:start]


def _lengthened(data: bytes, scans: Sequence[_Scan]) -> bytes:
    """The same with bytes put in wherever a decoder expects no more.

    Behind a scan stand the next restart marker and more of them, for a decoder that misses whole intervals.
    """
    parts, done = [], 0
    for scan in scans:
        for end in scan.ends:
            parts += [data[done:end], _PUT_IN]
            done = end
        parts += [bytes([0xFF, _RESTART + (len(scan.ends) - 1) % _RESTARTS]), _PUT_IN]
    return b"".join([*parts, data[done:]])


def _with_other_ends(data: bytes, scan: _Scan) -> Iterator[bytes]:
    """The same with others for the last bytes, but for zeros and 0xFF that somebody filled it up with."""
    *_, end = scan.ends
    place = max(scan.start, scan.start + len(data[scan.start : end].rstrip(b"\0\xff")) - _LAST_BYTES)
    return (data[:place].rstrip(b"\xff") + other + data[end:] for other in _OTHERS_PUT_IN)


def _ends_in_a_block(data: bytes, header: JpegHeader, pixels: Pixels) -> bool:
    """Whether the last block is not grey, as blocks without data are, and the data end as a block does.

    Only of one component. A part of the block may be filled all the same, where data that are cut off end so by chance.
    """
    if header.process == LOSSLESS or header.components > 1:
        return False
    end_of_block = _codes(header.tables.get(0x10 | header.scan[2] & 15, b"")).get(_END_OF_BLOCK)
    middle = 1 << (header.precision - 1)
    return abs(int(pixels[-1, -1]) - middle) > middle // 2 and _ends_in(data, header, end_of_block)


def _ends_in_its_last_samples(data: bytes, header: JpegHeader, pixels: Pixels) -> bool:
    """Whether the data of a lossless picture end in the code of its last samples; False where that is not looked at.

    Where the data end within a row, all that follows is what zero bits stand for; the rows below are grey.
    """
    if header.has_restarts or header.components > 1 or header.scan[3] not in _PREDICTORS:
        return False
    if (pixels[-1] == 1 << (header.precision - 1)).all():
        return False
    table = header.tables.get(header.scan[2] >> 4, b"")
    rows = pixels[-_LAST_ROWS:].astype(np.int32) >> (header.scan[5] & 15)
    return _ends_in(data, header, _last_samples(_differences(rows, header.scan[3]), table))


def _differences(rows: Samples, predictor: int) -> npt.NDArray[np.int16]:
    """Samples of all rows but the first, each less what its neighbours predict; of a first column, the one above."""
    predicted = rows[:-1].copy()
    predicted[:, 1:] = _PREDICTORS[predictor](rows[1:, :-1], rows[:-1, 1:], rows[:-1, :-1])
    return (rows[1:] - predicted).ravel().astype(np.int16)


def _last_samples(differences: npt.NDArray[np.int16], table: bytes) -> str | None:
    """The code of the last samples (T.81, H.1.2).

    It goes back to some that zero bits don't stand for; None where there are none, or where one has no code.
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
    """The code of its size and, but for 0 and -32768, as many bits that tell which of that size it is (H.1.2.2)."""
    size = abs(difference).bit_length()
    if size not in codes or not 0 < size < 16:
        return codes.get(size)
    return codes[size] + f"{difference if difference > 0 else difference + (1 << size) - 1:0{size}b}"


def _codes(table: bytes) -> Mapping[int, str]:
    """The codes of a Huffman table by what they stand for (T.81, annex C); that of zero bits alone is the first."""
    codes, code, place = {}, 0, 16
    for length, count in enumerate(table[:16], start=1):
        for symbol in table[place : place + count]:
            codes[symbol] = f"{code:0{length}b}"
            code += 1
        place, code = place + count, code << 1
    return codes


def _ends_in(data: bytes, header: JpegHeader, code: str | None) -> bool:
    """Whether the data end in a code, filled up to a byte with ones (T.81, F.1.2.3)."""
    if code is None:
        return False
    longest = len(code) // 4 + 4  # each byte may have a 0 put in behind it
    tail = data[max(header.start, header.end - longest) : header.end].rstrip(b"\xff").replace(b"\xff\0", b"\xff")
    bits = f"{int.from_bytes(tail):0{8 * len(tail)}b}"
    return any(bits.endswith(code + "1" * filled) for filled in range(8))
