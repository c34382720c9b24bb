"""PNGs against what was encoded by OpenCV, or by hand."""

import sys

import cv2
import imagecodecs
import numpy as np
import pytest

from ctseg.errors import UnreadableFile
from ctseg.reading.pictures import read_picture

LINES = (bytes([1, 2, 3]), bytes([4, 5, 6]))
FILTERS = (cv2.IMWRITE_PNG_FILTER_NONE, cv2.IMWRITE_PNG_FILTER_SUB, cv2.IMWRITE_PNG_ALL_FILTERS)


@pytest.fixture
def read(tmp_path):
    def read(content):
        (tmp_path / "a.png").write_bytes(content)
        return read_picture(tmp_path / "a.png")

    return read


@pytest.mark.parametrize("level", [0, 1, 9])
@pytest.mark.parametrize("row_filter", FILTERS)
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (300, 257), (40, 30, 3), (7, 9, 4)])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_a_png_is_what_was_encoded(read, level, row_filter, shape, kind):
    picture = np.random.default_rng(0).integers(0, np.iinfo(kind).max, shape, kind, endpoint=True)
    how = [cv2.IMWRITE_PNG_COMPRESSION, level, cv2.IMWRITE_PNG_FILTER, row_filter]
    done, encoded = cv2.imencode(".png", picture, how)
    assert done
    order = {2: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[len(shape) if len(shape) == 2 else shape[2]]
    expected = picture if len(shape) == 2 else picture[..., order]
    decoded = read(encoded.tobytes())
    assert decoded.dtype == kind
    np.testing.assert_array_equal(decoded, expected)


@pytest.mark.parametrize("pieces", [1, 2, 5])
def test_the_data_may_be_in_several_chunks(read, png, pieces):
    assert read(png(2, 3, 8, 0, LINES, pieces=pieces)).tolist() == [[1, 2, 3], [4, 5, 6]]


def test_an_interlaced_png_and_one_of_few_bits_and_one_with_a_palette(read, png):
    assert read(png(1, 1, 8, 0, [b"M"], interlaced=1)).tolist() == [[77]]
    assert read(png(1, 4, 2, 0, [bytes([0b00011011])])).tolist() == [[0, 85, 170, 255]]
    palette = (b"PLTE", bytes([9, 8, 7, 6, 5, 4]))
    assert read(png(1, 2, 8, 3, [bytes([0, 1])], palette)).tolist() == [[[9, 8, 7], [6, 5, 4]]]


def test_data_beyond_the_last_row_are_ignored(read, png):
    assert read(png(1, 3, 8, 0, LINES)).tolist() == [[1, 2, 3]]
    for beyond in (b"\0", b"more", bytes(100)):
        assert read(png(2, 3, 8, 0, LINES, beyond=beyond)).tolist() == [[1, 2, 3], [4, 5, 6]]


def test_libpng_has_nothing_left_to_inflate(read, monkeypatch):
    """Its zlib takes more than twice as long for it."""
    given, decode = [], imagecodecs.png_decode
    monkeypatch.setattr(imagecodecs, "png_decode", lambda data: given.append(len(data)) or decode(data))
    read(cv2.imencode(".png", np.zeros((400, 300), np.uint8))[1].tobytes())
    assert given[0] > 400 * 301


@pytest.mark.parametrize("at", [-20, -16, 45, 33])
def test_a_damaged_png_is_refused(read, png, at):
    content = bytearray(png(2, 3, 8, 0, LINES))
    content[at] ^= 0xFF
    with pytest.raises(UnreadableFile, match="damaged"):
        read(bytes(content))


def test_data_that_end_before_the_last_row_are_refused(read, png):
    with pytest.raises(UnreadableFile, match="damaged"):
        read(png(3, 3, 8, 0, LINES))


def test_damaged_pngs_do_not_wear_out_the_interpreter(read, png):
    """Where None is not immortal, Python aborts when its references are used up."""
    damaged = bytearray(png(2, 3, 8, 0, LINES))
    damaged[45] ^= 0xFF
    before = sys.getrefcount(None)
    for _ in range(1000):
        with pytest.raises(UnreadableFile):
            read(bytes(damaged))
    assert sys.getrefcount(None) > before - 500
