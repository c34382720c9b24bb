import struct
import zlib

import cv2
import numpy as np
import pytest

from ctseg.errors import UnreadableFile
from ctseg.reading import read_mask

LABELS = (np.arange(12 * 16).reshape(12, 16) % 4).astype(np.uint8)


def grey_png(depth, colour, lines, palette=b""):
    """A PNG of 12 x 16 made by hand (ISO 15948)."""
    header = struct.pack(">IIBBBBB", 16, 12, depth, colour, 0, 0, 0)
    packed = zlib.compress(b"".join(b"\0" + line for line in lines))
    chunks = [(b"IHDR", header), (b"PLTE", palette), (b"IDAT", packed), (b"IEND", b"")]
    parts = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
        if data or name != b"PLTE"
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def in_two_bits(row):
    return bytes(
        sum(int(v) << shift for v, shift in zip(row[i : i + 4], (6, 4, 2, 0), strict=True)) for i in range(0, 16, 4)
    )


@pytest.mark.parametrize("ending", [".png", ".tif", ".bmp"])
def test_pictures_keep_their_numbers(tmp_path, ending):
    cv2.imwrite(str(tmp_path / f"a{ending}"), LABELS)
    np.testing.assert_array_equal(read_mask(tmp_path / f"a{ending}"), LABELS)


def test_16_bits_and_three_equal_channels_keep_their_numbers(tmp_path):
    cv2.imwrite(str(tmp_path / "wide.png"), LABELS.astype(np.uint16))
    cv2.imwrite(str(tmp_path / "rgb.png"), np.dstack([LABELS] * 3))
    for name in ("wide.png", "rgb.png"):
        np.testing.assert_array_equal(read_mask(tmp_path / name), LABELS)


def test_of_a_palette_its_indices_count_and_not_its_colours(tmp_path):
    colours = bytes([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255])
    (tmp_path / "8.png").write_bytes(grey_png(8, 3, [bytes(row) for row in LABELS], colours))
    (tmp_path / "2.png").write_bytes(grey_png(2, 3, [in_two_bits(row) for row in LABELS], colours))
    for name in ("8.png", "2.png"):
        np.testing.assert_array_equal(read_mask(tmp_path / name), LABELS)


def test_two_bits_are_numbers_and_not_shades(tmp_path):
    (tmp_path / "a.png").write_bytes(grey_png(2, 0, [in_two_bits(row) for row in LABELS]))
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png"), LABELS)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32, np.bool_])
def test_arrays_of_whole_numbers_are_masks(tmp_path, dtype):
    np.save(tmp_path / "a.npy", LABELS.astype(dtype))
    np.testing.assert_array_equal(read_mask(tmp_path / "a.npy"), LABELS.astype(dtype).astype(np.uint8))


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (LABELS + 0.5, "fractions"),
        (LABELS.astype(np.int16) - 1, "from -1"),
        (LABELS.astype(np.uint16) + 300, "to 303"),
    ],
)
def test_what_is_no_label_is_refused(tmp_path, array, said):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(UnreadableFile, match=said):
        read_mask(tmp_path / "a.npy")


def test_jpeg_and_colour_are_refused(tmp_path):
    cv2.imwrite(str(tmp_path / "a.jpg"), LABELS)
    with pytest.raises(UnreadableFile, match="JPEG does not keep exact values"):
        read_mask(tmp_path / "a.jpg")
    cv2.imwrite(str(tmp_path / "a.png"), np.dstack([LABELS, LABELS, LABELS + 1]))
    with pytest.raises(UnreadableFile, match="colour"):
        read_mask(tmp_path / "a.png")


def test_labels_in_alpha_alone_are_refused(tmp_path):
    nothing, whole = np.zeros_like(LABELS), np.full_like(LABELS, 255)
    grey_and_alpha = [bytes(np.stack([row, values], axis=-1)) for row, values in zip(nothing, LABELS, strict=True)]
    (tmp_path / "grey.png").write_bytes(grey_png(8, 4, grey_and_alpha))
    cv2.imwrite(str(tmp_path / "colour.png"), np.dstack([whole, whole, whole, LABELS]))
    for name in ("grey.png", "colour.png"):
        with pytest.raises(UnreadableFile, match=r"alpha channel \(transparency\) alone: save them as grey"):
            read_mask(tmp_path / name)
    for values, alpha in ((LABELS, LABELS), (LABELS, whole), (nothing, whole)):
        cv2.imwrite(str(tmp_path / "fine.png"), np.dstack([values, values, values, alpha]))
        np.testing.assert_array_equal(read_mask(tmp_path / "fine.png"), values)
