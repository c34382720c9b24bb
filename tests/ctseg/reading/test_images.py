import io
import pickle
import struct

import cv2
import imagecodecs
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ctseg.errors import UnreadableFile
from ctseg.reading import images, open_images
from ctseg.reading.masks import read_mask
from ctseg.reading.pictures import read_picture

RAMP = (np.arange(24 * 20).reshape(24, 20) % 256).astype(np.uint8)
CT = (np.arange(24 * 20).reshape(24, 20) * 5 - 1024).astype(np.int16)


def read(file):
    return open_images([file]).read(0)


@pytest.mark.parametrize("ending", [".png", ".bmp", ".tif", ".npy"])
def test_8_bit_grey_is_taken_as_it_is(tmp_path, ending):
    file = tmp_path / f"a{ending}"
    np.save(file, RAMP) if ending == ".npy" else cv2.imwrite(str(file), RAMP)
    seen = read(file)
    assert seen.domain == "grey8"
    np.testing.assert_array_equal(seen.pixels, RAMP)


def test_a_jpeg_is_close_to_what_was_stored(tmp_path):
    smooth = cv2.resize(RAMP[:4, :4], (40, 40), interpolation=cv2.INTER_LINEAR)
    cv2.imwrite(str(tmp_path / "a.jpg"), smooth, [cv2.IMWRITE_JPEG_QUALITY, 98])
    np.testing.assert_allclose(read(tmp_path / "a.jpg").pixels.astype(int), smooth, atol=4)


@pytest.mark.parametrize("ending", [".png", ".tif", ".npy"])
def test_16_bits_without_low_values_are_stretched_to_grey_but_for_rare_ones(tmp_path, ending):
    shown = np.tile(np.arange(-8, 264).clip(0, 255).repeat(8), (40, 1))
    wide = (shown * 100 + 500).astype(np.uint16)
    wide[0, [0, -4]] = 0, 60_000
    file = tmp_path / f"a{ending}"
    np.save(file, wide) if ending == ".npy" else cv2.imwrite(str(file), wide)
    seen = read(file)
    assert seen.domain == "grey8"
    np.testing.assert_array_equal(seen.pixels, shown)


@pytest.mark.parametrize("share", [0, 1, 100])
def test_of_a_16_bit_mask_no_value_is_lost_however_rare(tmp_path, share):
    mask = np.zeros((200, 160), np.uint16)
    mask.ravel()[:share] = 3
    np.save(tmp_path / "a.npy", mask)
    np.testing.assert_array_equal(read(tmp_path / "a.npy").pixels, np.where(mask, 255, 0))


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float32, np.float64])
def test_numbers_that_go_low_are_hounsfield(tmp_path, dtype):
    np.save(tmp_path / "a.npy", CT.astype(dtype))
    seen = read(tmp_path / "a.npy")
    assert seen.domain == "hu"
    np.testing.assert_array_equal(seen.pixels, CT)


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_a_tiff_may_hold_hounsfield(tmp_path, dtype):
    (tmp_path / "a.tif").write_bytes(imagecodecs.tiff_encode(CT.astype(dtype)))
    seen = read(tmp_path / "a.tif")
    assert seen.domain == "hu"
    np.testing.assert_array_equal(seen.pixels, CT)


def tiff(*extra, columns=20, rows=24, photometric=1, bits=8, pixels=RAMP):
    """Pixels as a TIFF made by hand (TIFF 6.0), `extra` numbers (tag, value) put before its own."""
    tags = [(256, columns), (257, rows), (258, bits), (259, 1), (262, photometric), (273, 300), (278, rows), (279, 480)]
    entries = b"".join(
        struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted([*extra, *tags], key=lambda t: t[0])
    )
    directory = struct.pack("<IH", 8, len(tags) + len(extra)) + entries + bytes(4)
    return (b"II*\0" + directory).ljust(300, b"\0") + pixels.tobytes()


def test_a_tiff_whose_zero_is_white_is_turned(tmp_path):
    (tmp_path / "a.tif").write_bytes(tiff(photometric=0))
    np.testing.assert_array_equal(read(tmp_path / "a.tif").pixels, 255 - RAMP)


@pytest.mark.parametrize("bits", [2, 4])
def test_a_tiff_of_few_bits_is_as_bright_as_one_of_many_and_a_mask_keeps_its_numbers(tmp_path, bits):
    numbers = np.arange(24 * 20, dtype=np.uint8).reshape(24, 20) % 2**bits
    a_byte = 8 // bits
    packed = sum((numbers[:, n::a_byte] << (8 - bits * (n + 1))).astype(np.uint8) for n in range(a_byte))
    for photometric, shown in ((1, numbers), (0, 2**bits - 1 - numbers)):
        (tmp_path / "a.tif").write_bytes(tiff(bits=bits, pixels=packed, photometric=photometric))
        np.testing.assert_array_equal(read(tmp_path / "a.tif").pixels, shown * (255 // (2**bits - 1)))
        np.testing.assert_array_equal(read_mask(tmp_path / "a.tif"), shown)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (tiff(columns=50_000, rows=50_000), "too large"),
        (tiff((256, 50_000), (257, 50_000)), "too large"),  # said twice: libtiff takes the first
        (tiff((277, 60_000), columns=8000, rows=8000), "60000 values per pixel"),
        (tiff((32997, 5000), columns=8000, rows=8000), "5000 values per pixel"),
        (tiff((322, 32768), (323, 32768)), "tiles of 32768 x 32768 pixels: too large"),
        (tiff((322, 2048), (323, 2048), (32998, 1000)), "tiles of 2048 x 2048000 pixels: too large"),
    ],
)
def test_a_tiff_that_claims_to_be_huge_is_refused_before_it_is_decoded(tmp_path, monkeypatch, content, said):
    monkeypatch.delattr(imagecodecs, "tiff_decode")
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(UnreadableFile, match=said):
        read(tmp_path / "a.tif")


@pytest.mark.parametrize("side", [16, 256, 512])
def test_a_tiff_in_tiles_is_read_though_they_go_beyond_it(tmp_path, side):
    (tmp_path / "a.tif").write_bytes(imagecodecs.tiff_encode(CT, tile=(side, side)))
    np.testing.assert_array_equal(read(tmp_path / "a.tif").pixels, CT)


def test_a_jpeg_cannot_hide_its_size_from_the_check(tmp_path, monkeypatch):
    """To libjpeg a marker D0 stands alone; who takes what follows for a length passes over the size of the picture."""
    monkeypatch.delattr(imagecodecs, "jpeg8_decode")
    whole = WHOLE["jpeg"]
    frame, scan = whole.index(b"\xff\xc0"), whole.index(b"\xff\xda")
    small = whole[frame:scan]
    huge = small[:5] + struct.pack(">HH", 60_000, 60_000) + small[9:]
    comment = b"\xff\xfe\xff\xfe"
    passed_over = (huge + comment).ljust(0xFFC0, b"\0")  # FF C0, its first bytes, as a length
    (tmp_path / "a.jpg").write_bytes(whole[:frame] + b"\xff\xd0" + passed_over + small + whole[scan:])
    with pytest.raises(UnreadableFile, match="damaged"):
        read(tmp_path / "a.jpg")


def test_colour_is_turned_grey_and_alpha_dropped(tmp_path):
    colours = np.zeros((8, 8, 3), np.uint8)
    colours[:4] = (255, 0, 0)  # blue, as OpenCV has it
    colours[4:] = (0, 0, 255)
    cv2.imwrite(str(tmp_path / "rgb.png"), colours)
    expected = np.repeat([[29], [76]], 4, axis=0) * np.ones((1, 8), int)  # ITU-R BT.601
    np.testing.assert_array_equal(read(tmp_path / "rgb.png").pixels, expected)
    alpha = np.dstack([RAMP, RAMP, RAMP, np.zeros_like(RAMP)])
    cv2.imwrite(str(tmp_path / "rgba.png"), alpha)
    np.testing.assert_array_equal(read(tmp_path / "rgba.png").pixels, RAMP)


def test_a_palette_is_looked_up(tmp_path, png):
    palette = (b"PLTE", bytes([10, 10, 10, 200, 200, 200]))
    (tmp_path / "a.png").write_bytes(png(1, 4, 8, 3, [bytes([0, 1, 1, 0])], palette))
    np.testing.assert_array_equal(read(tmp_path / "a.png").pixels, [[10, 200, 200, 10]])


def test_a_tiff_with_a_palette_is_no_slice(tmp_path):
    """Its numbers are places in the palette: taken for grey they would be another picture."""
    colours = np.repeat(np.arange(255, -1, -1, dtype=np.uint16)[None] * 257, 3, axis=0)
    (tmp_path / "a.tif").write_bytes(imagecodecs.tiff_encode(RAMP, photometric="palette", colormap=colours))
    with pytest.raises(UnreadableFile, match="palette indices: save it as grey"):
        read(tmp_path / "a.tif")
    np.testing.assert_array_equal(read_mask(tmp_path / "a.tif"), RAMP)


def test_the_content_and_not_the_ending_says_what_a_file_is(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), RAMP)
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    np.testing.assert_array_equal(read(tmp_path / "a.jpg").pixels, RAMP)


def encoded(ending, options=()):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.uint8)
    return cv2.imencode(ending, noise, options)[1].tobytes()


WHOLE = {
    "png": encoded(".png"),
    "jpeg": encoded(".jpg"),
    "progressive jpeg": encoded(".jpg", (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)),
    "jpeg with restarts": encoded(".jpg", (cv2.IMWRITE_JPEG_RST_INTERVAL, 2)),
    "tiff": encoded(".tif"),
    "bmp": encoded(".bmp"),
}


@pytest.mark.parametrize("content", WHOLE.values(), ids=WHOLE)
def test_a_picture_that_was_cut_off_anywhere_is_refused(tmp_path, content):
    file = tmp_path / "a.png"
    file.write_bytes(content)
    assert read(file).pixels.shape == (64, 64)
    for end in range(0, len(content) - 12, max(1, len(content) // 60)):
        file.write_bytes(content[:end])
        with pytest.raises(UnreadableFile, match=r"a\.png"):
            read(file)


def disc():
    """A disc of noise on black."""
    y, x = np.mgrid[:160, :160] - 80
    noise = np.random.default_rng(0).normal(120, 20, (160, 160)).clip(0, 255)
    return np.where(x**2 + y**2 < 70**2, noise, 0).astype(np.uint8)


@pytest.mark.parametrize(
    ("pixels", "options"),
    [
        (disc(), ()),
        (np.dstack([disc(), disc().T, disc()]), ()),
        (disc(), (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)),
        (np.dstack([disc(), disc().T, disc()]), (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)),
        (disc(), (cv2.IMWRITE_JPEG_RST_INTERVAL, 20)),
        (disc(), (cv2.IMWRITE_JPEG_RST_INTERVAL, 1)),
    ],
    ids=["grey", "colour", "progressive", "progressive in colour", "with restarts", "with many restarts"],
)
def test_a_jpeg_whose_data_are_not_all_there_is_refused_though_it_has_an_end(tmp_path, pixels, options):
    whole = cv2.imencode(".jpg", pixels, options)[1].tobytes()
    file = tmp_path / "a.jpg"
    file.write_bytes(whole)
    assert read(file).pixels.shape == (160, 160)
    start, end = whole.index(b"\xff\xda") + 14, len(whole) - 2
    for first, last in ((1 / 2, 1), (1 / 3, 2 / 3), (0.9, 1), (0.4, 0.6), (0, 0.5)):
        a, b = (int(start + (end - start) * share) for share in (first, last))
        file.write_bytes(whole[:a] + whole[b:])
        with pytest.raises(UnreadableFile, match="is a JPEG that is cut off or damaged"):
            read(file)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(["black", "grey", "noise", "dot"]),
    st.sampled_from([1, 50, 90, 100]),
    st.tuples(st.booleans(), st.booleans(), st.booleans(), st.sampled_from([0, 1, 3, 50])),
)
def test_a_whole_jpeg_is_never_taken_for_a_damaged_one(tmp_path, seed, kind, quality, how):
    rng = np.random.default_rng(seed)
    is_coloured, is_progressive, is_optimal, restarts = how
    shape = (*rng.integers(1, 70, 2), 3) if is_coloured else rng.integers(1, 70, 2)
    pixels = np.full(shape, 128 if kind == "grey" else 0, np.uint8)
    if kind == "noise":
        pixels = rng.integers(0, 256, shape).astype(np.uint8)
    elif kind == "dot":
        pixels[rng.integers(shape[0]), rng.integers(shape[1])] = 255
    options = (
        cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_PROGRESSIVE, int(is_progressive),
        cv2.IMWRITE_JPEG_OPTIMIZE, int(is_optimal), cv2.IMWRITE_JPEG_RST_INTERVAL, restarts,
    )  # fmt: skip
    (tmp_path / "a.jpg").write_bytes(cv2.imencode(".jpg", pixels, options)[1].tobytes())
    assert read(tmp_path / "a.jpg").pixels.shape == pixels.shape[:2]


@pytest.mark.parametrize("quality", [50, 75, 95])
@pytest.mark.parametrize("grey", [0, 128, 255])
@pytest.mark.parametrize("mark", ["dot", "line", "disc"])
def test_a_whole_progressive_jpeg_of_little_but_background_is_read(tmp_path, mark, grey, quality):
    """Whole scans of it make next to no difference."""
    pixels = np.full((512, 512), grey, np.uint8)
    if mark == "disc":
        cv2.circle(pixels, (256, 256), 100, 60, cv2.FILLED)
    else:
        pixels[507, : 512 if mark == "line" else 1] = 255 - grey
    options = (cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_OPTIMIZE, 1)
    for shown in (pixels, np.dstack([pixels] * 3)):
        (tmp_path / "a.jpg").write_bytes(cv2.imencode(".jpg", shown, options)[1].tobytes())
        assert read(tmp_path / "a.jpg").pixels.shape == (512, 512)


def test_a_jpeg_in_very_many_scans_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    """Each takes as long as to decode all pixels, and a hundred bytes of the file."""
    whole = WHOLE["progressive jpeg"]
    last = whole[whole.rindex(b"\xff\xda") : -2]
    file = tmp_path / "a.jpg"
    file.write_bytes(whole[:-2] + 20 * last + whole[-2:])
    read(file)
    monkeypatch.delattr(imagecodecs, "jpeg8_decode")
    file.write_bytes(whole[:-2] + 100 * last + whole[-2:])
    with pytest.raises(UnreadableFile, match="spread over more than 100 scans"):
        read(file)


def test_an_array_that_was_cut_off_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", CT)
    whole = (tmp_path / "a.npy").read_bytes()
    for end in (0, 5, 60, 128, 400, len(whole) - 1):
        (tmp_path / "a.npy").write_bytes(whole[:end])
        with pytest.raises(UnreadableFile):
            read(tmp_path / "a.npy")


def test_pickled_objects_are_refused_and_never_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "boom"), "w"))

    np.save(tmp_path / "a.npy", np.array([[Bomb()]], object), allow_pickle=True)
    (tmp_path / "b.npy").write_bytes(pickle.dumps(Bomb()))
    for name in ("a.npy", "b.npy"):
        with pytest.raises(UnreadableFile):
            read(tmp_path / name)
    assert not (tmp_path / "boom").exists()


@pytest.mark.parametrize("shape", [(4,), (2, 4, 4), (0, 4)])
def test_an_array_of_another_shape_is_refused(tmp_path, shape):
    np.save(tmp_path / "a.npy", np.zeros(shape, np.int16))
    with pytest.raises(UnreadableFile):
        read(tmp_path / "a.npy")


def test_colours_in_numbers_that_nobody_shows_are_refused_in_our_own_words(tmp_path):
    cv2.imwrite(str(tmp_path / "a.tif"), np.ones((4, 4, 3), np.float64))
    with pytest.raises(UnreadableFile, match="its colour values are float64: save it as grey"):
        read(tmp_path / "a.tif")


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300])
def test_values_that_are_not_finite_are_refused(tmp_path, bad):
    np.save(tmp_path / "a.npy", np.array([[bad, -1000.0]]))
    with pytest.raises(UnreadableFile, match="not finite"):
        read(tmp_path / "a.npy")


def test_values_that_hardly_differ_are_all_black(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[0.0, 1e-310]]))
    np.testing.assert_array_equal(read(tmp_path / "a.npy").pixels, [[0, 0]])


def test_colours_of_another_depth_are_refused_in_words(tmp_path):
    (tmp_path / "a.tif").write_bytes(imagecodecs.tiff_encode(np.dstack([CT.astype(np.int32)] * 3), photometric="rgb"))
    with pytest.raises(UnreadableFile, match="its colour values are int32: save it as grey"):
        read(tmp_path / "a.tif")


def with_npy_header(header):
    text = header.ljust(118).encode()
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text + CT.tobytes()


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("{'descr': '<i2', 'fortran_order': False, 'shape': (24L, 20L), }", CT),  # as Python 2 wrote it
        ("{'shape':(20,24),'fortran_order':True,'descr':'<i2'}", CT.T),
    ],
)
def test_the_header_of_an_array_may_be_written_otherwise(tmp_path, header, expected):
    (tmp_path / "a.npy").write_bytes(with_npy_header(header))
    np.testing.assert_array_equal(read(tmp_path / "a.npy").pixels, expected)


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("{'descr': '<i2', 'fortran_order': False, 'shape': (24, __import__('os').getpid()), }", "damaged"),
        ("{'descr': '<i2', 'fortran_order': False}", "damaged"),
        ("{'descr': [('a', '<i2')], 'fortran_order': False, 'shape': (24, 20), }", "not numbers"),
        ("{'descr': '|O', 'fortran_order': False, 'shape': (24, 20), }", "not numbers"),
    ],
)
def test_the_header_of_an_array_is_read_and_not_evaluated(tmp_path, header, said):
    (tmp_path / "a.npy").write_bytes(with_npy_header(header))
    with pytest.raises(UnreadableFile, match=said):
        read(tmp_path / "a.npy")


def test_a_picture_that_claims_to_be_huge_takes_no_memory(tmp_path, png, peak_memory):
    (tmp_path / "a.png").write_bytes(png(50_000, 50_000, 8, 0, [bytes(50)]))
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<i2", "fortran_order": False, "shape": (50_000, 50_000)})
    (tmp_path / "a.npy").write_bytes(header.getvalue() + bytes(100))
    for name in ("a.png", "a.npy"):
        with pytest.raises(UnreadableFile, match="50000"):
            read(tmp_path / name)
    assert peak_memory() < 5_000_000


def test_images_say_nothing_of_space(tmp_path):
    np.save(tmp_path / "a.npy", CT)
    scan = open_images([tmp_path / "a.npy"] * 3)
    assert (len(scan), scan.lengths_mm, scan.is_stack, scan.flags) == (3, (None, None, None), False, ())
    assert scan.patients_right is None


def test_the_slices_of_a_folder_are_hounsfield_where_any_of_them_goes_low(tmp_path):
    for number, lowest in enumerate((-1000, -100, 20, -1000, -150, -900)):
        np.save(tmp_path / f"{number}.npy", np.linspace(lowest, 400, 30 * 20, dtype=np.int16).reshape(30, 20))
    files = sorted(tmp_path.iterdir())
    scan = open_images(files)
    for index, file in enumerate(files):
        seen = scan.read(index)
        assert seen.domain == "hu"
        np.testing.assert_array_equal(seen.pixels, np.load(file))


@pytest.mark.parametrize("ending", [".png", ".tif", ".npy"])
def test_the_slices_of_a_folder_have_one_range_of_grey(tmp_path, ending):
    files = [tmp_path / f"{number}{ending}" for number in range(3)]
    for number, file in enumerate(files):
        wide = np.full((40, 40), 1000 * number, np.uint16)
        np.save(file, wide) if ending == ".npy" else cv2.imwrite(str(file), wide)
    scan = open_images(files)
    assert [scan.read(index).pixels[0, 0] for index in range(3)] == [0, 128, 255]


def test_memory_that_runs_out_at_one_file_costs_no_other_slice(tmp_path, monkeypatch):
    def read_all_but_one(file):
        if file.name == "1.npy":
            raise MemoryError
        return read_picture(file)

    for number in range(3):
        np.save(tmp_path / f"{number}.npy", CT)
    scan = open_images(sorted(tmp_path.iterdir()))
    monkeypatch.setattr(images, "read_picture", read_all_but_one)
    assert [scan.read(index).domain for index in (0, 2)] == ["hu", "hu"]
    with pytest.raises(MemoryError):
        scan.read(1)


def test_what_the_scale_of_a_folder_is_told_by_is_not_held(tmp_path, peak_memory):
    for number in range(16):
        np.save(tmp_path / f"{number:02d}.npy", np.tile(np.arange(500, dtype=np.float32), (500, 1)))
    scan = open_images(sorted(tmp_path.iterdir()))
    scan.read(0)
    assert peak_memory() < 8 * 500 * 500 * 4


def test_a_folder_holds_grey_of_8_bits_as_it_is_and_what_cant_be_read_beside_hounsfield(tmp_path):
    np.save(tmp_path / "0.npy", RAMP)
    (tmp_path / "1.npy").write_bytes(b"\x93NUMPY")
    np.save(tmp_path / "2.npy", np.full((24, 20), np.nan))
    np.save(tmp_path / "3.npy", CT)
    np.save(tmp_path / "4.npy", CT.clip(0))
    scan = open_images(sorted(tmp_path.iterdir()))
    np.testing.assert_array_equal(scan.read(0).pixels, RAMP)
    np.testing.assert_array_equal(scan.read(4).pixels, CT.clip(0))
    for index, said in ((1, r"1\.npy"), (2, r"2\.npy.*not finite")):
        with pytest.raises(UnreadableFile, match=said):
            scan.read(index)
