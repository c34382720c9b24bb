import contextlib
import io
import struct
import sys
import zlib

import imagecodecs
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom import dcmread, uid
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.filebase import DicomIO
from pydicom.filewriter import write_dataset, write_file_meta_info

from ctseg.errors import UnreadableFile
from ctseg.reading import open_series

ENCAPSULATED = (uid.JPEGLossless, uid.JPEGLosslessSV1, uid.JPEGLSLossless, uid.JPEG2000Lossless, uid.HTJ2KLossless)
SYNTAXES = (
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.DeflatedExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.RLELossless,
    *ENCAPSULATED,
)
RAMP = (np.arange(40 * 32).reshape(40, 32) * 13 % 4096).astype(np.uint16)


def read(file):
    """The one slice of a file."""
    found = open_series([file])
    if found.failed:
        raise found.failed[0]
    return found.series[0].read(0)


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.name)
@pytest.mark.parametrize("kind", ["unsigned", "signed"])
def test_the_values_are_those_that_were_stored(write_dicom, tmp_path, syntax, kind):
    stored = RAMP if kind == "unsigned" else RAMP.astype(np.int16) - 1000
    intercept = -1000 if kind == "unsigned" else 0
    seen = read(write_dicom(tmp_path / "a.dcm", stored, syntax, RescaleIntercept=intercept))
    assert seen.domain == "hu"
    assert seen.pixels.dtype == np.int16
    np.testing.assert_array_equal(seen.pixels, RAMP.astype(int) - 1000)


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.name)
def test_a_file_that_was_cut_off_anywhere_is_refused_and_never_half_a_slice(write_dicom, tmp_path, syntax):
    noise = np.random.default_rng(0).integers(0, 4096, (16, 16)).astype(np.uint16)
    file = write_dicom(tmp_path / "a.dcm", noise, syntax, RescaleIntercept=-1024)
    whole = file.read_bytes()
    for end in range(0, len(whole) - 24, 5):  # what follows the last pixel may be missing
        file.write_bytes(whole[:end])
        with pytest.raises(UnreadableFile, match=r"a\.dcm"):
            read(file)


def round_body(size=96):
    """12 bits: noise within a circle, and around it what scanners put there."""
    y, x = np.mgrid[:size, :size] - size // 2
    noise = np.random.default_rng(0).normal(1000, 60, (size, size))
    return np.where(x**2 + y**2 < (size // 2 - 3) ** 2, noise, 0).astype(np.uint16)


def jpeg_of(kind, stored):
    """As DCMTK, GDCM and toolkits for other pictures write it."""
    match kind:
        case "8 bits":
            return imagecodecs.jpeg8_encode((stored // 16).astype(np.uint8), level=90)
        case "12 bits":
            return imagecodecs.jpeg8_encode(stored, level=90, bitspersample=12)
        case _:
            return imagecodecs.jpeg8_encode(stored, lossless=True, bitspersample=12, predictor=int(kind[-1]))


JPEGS = {
    "8 bits": uid.JPEGBaseline8Bit,
    "12 bits": uid.JPEGExtended12Bit,
    "lossless by 1": uid.JPEGLosslessSV1,
    "lossless by 4": uid.JPEGLossless,
    "lossless by 7": uid.JPEGLossless,
}
DAMAGES = {
    "the second half is gone": lambda jpeg: jpeg[: len(jpeg) // 2] + b"\xff\xd9",
    "the middle third is gone": lambda jpeg: jpeg[: len(jpeg) // 3] + jpeg[2 * len(jpeg) // 3 :],
    "a hundredth is gone": lambda jpeg: jpeg[: len(jpeg) * 99 // 100] + b"\xff\xd9",
    "a piece of the middle is gone": lambda jpeg: jpeg[: len(jpeg) // 2] + jpeg[len(jpeg) // 2 + 500 :],
}


def write_jpeg(write_dicom, file, jpeg, stored, syntax, bits):
    write_dicom(file, stored, BitsStored=bits, HighBit=bits - 1, RescaleIntercept=-1024)
    dataset = dcmread(file)
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PixelData = encapsulate([jpeg])
    dataset.save_as(file)
    return file


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("kind", JPEGS)
def test_a_jpeg_whose_data_are_not_all_there_is_refused_though_it_has_an_end(write_dicom, tmp_path, kind, damage):
    stored = round_body()
    jpeg = jpeg_of(kind, stored)
    bits = 8 if kind == "8 bits" else 12
    file = write_jpeg(write_dicom, tmp_path / "a.dcm", jpeg, stored, JPEGS[kind], bits)
    np.testing.assert_allclose(read(file).pixels, (stored >> 12 - bits) - 1024.0, atol=60 if "bits" in kind else 0)
    write_jpeg(write_dicom, file, DAMAGES[damage](jpeg), stored, JPEGS[kind], bits)
    with pytest.raises(UnreadableFile, match="is cut off or damaged: its pixels can't be decoded"):
        read(file)


@pytest.mark.parametrize("kind", ["lossless by 1", "lossless by 6"])
@pytest.mark.parametrize("corner", [0, 2048, 4095, "noise"])
def test_a_lossless_jpeg_that_lost_its_last_bytes_is_refused(write_dicom, tmp_path, corner, kind):
    stored = round_body(40)
    stored[-3:, -20:] = np.random.default_rng(1).integers(0, 4096, (3, 20)) if corner == "noise" else corner
    jpeg = jpeg_of(kind, stored)
    for lost in [*range(1, 40), 80, 160, 320]:
        cut = jpeg[: -2 - lost] + jpeg[-2:]
        file = write_jpeg(write_dicom, tmp_path / "a.dcm", cut, stored, uid.JPEGLossless, 12)
        with contextlib.suppress(UnreadableFile):
            np.testing.assert_array_equal(read(file).pixels, stored.astype(int) - 1024)


@pytest.mark.parametrize("stored", [round_body(), round_body()[40:60, 30:50]], ids=["around it air", "noise"])
@pytest.mark.parametrize("predictor", range(1, 8))
def test_a_whole_lossless_jpeg_is_decoded_once(write_dicom, tmp_path, monkeypatch, stored, predictor):
    jpeg = jpeg_of(f"lossless by {predictor}", stored)
    file = write_jpeg(write_dicom, tmp_path / "a.dcm", jpeg, stored, uid.JPEGLossless, 12)
    calls, decode = [], imagecodecs.jpeg8_decode
    monkeypatch.setattr(imagecodecs, "jpeg8_decode", lambda data: calls.append(data) or decode(data))
    np.testing.assert_array_equal(read(file).pixels, stored.astype(int) - 1024)
    assert len(calls) == 1


@pytest.mark.parametrize("number", [0, 7, 2048, 4095])
@pytest.mark.parametrize("kind", ["12 bits", "lossless by 1", "lossless by 4"])
def test_a_blank_jpeg_is_no_damaged_one(write_dicom, tmp_path, kind, number):
    stored = np.full((40, 24), number, np.uint16)
    file = write_jpeg(write_dicom, tmp_path / "a.dcm", jpeg_of(kind, stored), stored, JPEGS[kind], 12)
    np.testing.assert_allclose(read(file).pixels, number - 1024.0, atol=2 if kind == "12 bits" else 0)


def test_what_follows_a_jpeg_is_no_concern(write_dicom, tmp_path):
    stored = round_body()
    jpeg = jpeg_of("12 bits", stored)
    expected = imagecodecs.jpeg8_decode(jpeg).astype(int) - 1024
    for more in (jpeg_of("12 bits", stored[::-1]), bytes(100)):
        file = write_jpeg(write_dicom, tmp_path / "a.dcm", jpeg + more, stored, uid.JPEGExtended12Bit, 12)
        np.testing.assert_array_equal(read(file).pixels, expected)


@pytest.mark.parametrize("is_implicit", [True, False])
@pytest.mark.parametrize("size", [16, 300])
def test_a_file_that_is_not_encoded_as_it_says_is_read_all_the_same(write_dicom, tmp_path, is_implicit, size):
    stored = (np.arange(size * size).reshape(size, size) % 4096).astype(np.uint16)
    file = write_dicom(tmp_path / "a.dcm", stored, RescaleIntercept=-1024)
    dataset = dcmread(file)
    said = uid.ExplicitVRLittleEndian if is_implicit else uid.ImplicitVRLittleEndian
    dataset.file_meta.TransferSyntaxUID = said
    with file.open("wb") as out:
        out.write(bytes(128) + b"DICM")
        write_file_meta_info(out, dataset.file_meta)
        stream = DicomIO(out)
        stream.is_little_endian, stream.is_implicit_VR = True, is_implicit
        del dataset.file_meta
        write_dataset(stream, dataset)
    np.testing.assert_array_equal(read(file).pixels, stored.astype(int) - 1024)


def test_the_bits_above_those_stored_may_be_anything(write_dicom, tmp_path):
    dirty = RAMP | np.uint16(0xA000)
    seen = read(write_dicom(tmp_path / "a.dcm", dirty, BitsStored=12, HighBit=11, RescaleIntercept=-1000))
    np.testing.assert_array_equal(seen.pixels, RAMP.astype(int) - 1000)


def test_twelve_signed_bits_keep_their_sign(write_dicom, tmp_path):
    twelve = np.array([[0x7FF, 0x800], [0xFFF, 0]], np.uint16)
    seen = read(write_dicom(tmp_path / "a.dcm", twelve, BitsStored=12, HighBit=11, PixelRepresentation=1))
    np.testing.assert_array_equal(seen.pixels, [[2047, -1024], [-1, 0]])  # -2048 is padding


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian, uid.RLELossless])
@pytest.mark.parametrize("kind", ["unsigned", "signed"])
def test_numbers_at_the_upper_end_of_their_bits_are_moved_down(write_dicom, tmp_path, syntax, kind):
    """As HighBit says; today's standard has it one below BitsStored."""
    intercept = -1000 if kind == "unsigned" else 0
    stored = RAMP // 2 if kind == "unsigned" else (RAMP // 2).astype(np.int16) - 1000
    file = write_dicom(tmp_path / "a.dcm", stored << 4, syntax, BitsStored=12, HighBit=15, RescaleIntercept=intercept)
    np.testing.assert_array_equal(read(file).pixels, RAMP // 2 - 1000.0)


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.JPEGLosslessSV1])
def test_numbers_that_are_not_where_highbit_says_are_refused(write_dicom, tmp_path, syntax):
    file = write_dicom(tmp_path / "a.dcm", RAMP, syntax, BitsStored=12, HighBit=15, RescaleIntercept=-1024)
    with pytest.raises(UnreadableFile, match="its HighBit is 15, but its numbers also use the bits below"):
        read(file)


@pytest.mark.parametrize("high_bit", [None, 0, 10, 16, 200])
def test_a_highbit_that_can_be_none_is_passed_over(write_dicom, tmp_path, high_bit):
    file = write_dicom(tmp_path / "a.dcm", RAMP, BitsStored=12, HighBit=high_bit, RescaleIntercept=-1000)
    np.testing.assert_array_equal(read(file).pixels, RAMP.astype(int) - 1000)


def test_8_bits_that_are_stored_big_endian_are_refused(write_dicom, tmp_path):
    """By words they lie in swapped pairs (PS3.5, 8.1.1), by bytes not."""
    file = write_dicom(tmp_path / "a.dcm", RAMP, uid.ExplicitVRBigEndian, BitsAllocated=8, BitsStored=8, HighBit=7)
    with pytest.raises(UnreadableFile, match="upper byte first: convert it"):
        read(file)


def test_a_fractional_slope_gives_fractions(write_dicom, tmp_path):
    seen = read(write_dicom(tmp_path / "a.dcm", RAMP, RescaleSlope=0.5, RescaleIntercept=-100.25))
    np.testing.assert_allclose(seen.pixels, RAMP * 0.5 - 100.25)


def test_a_rescale_may_be_stored_as_whole_numbers(write_dicom, tmp_path):
    """Against the standard, which wants decimal strings."""
    file = write_dicom(tmp_path / "a.dcm", RAMP, RescaleSlope=2, RescaleIntercept=-1000)
    dataset = dcmread(file)
    for keyword in ("RescaleSlope", "RescaleIntercept"):
        dataset[keyword] = DataElement(keyword, "IS", str(int(dataset[keyword].value)))
    dataset.save_as(file)
    np.testing.assert_array_equal(read(file).pixels, 2 * RAMP.astype(int) - 1000)


@pytest.mark.parametrize("padding", [-2000, -3024, -4000])
def test_padding_is_air(write_dicom, tmp_path, padding):
    stored = np.array([[padding, -1000], [40, 3000]], np.int16)
    seen = read(write_dicom(tmp_path / "a.dcm", stored))
    np.testing.assert_array_equal(seen.pixels, [[-1024, -1000], [40, 3000]])


AROUND = {
    "unsigned": (np.uint16, {"RescaleIntercept": -1024, "PixelPaddingValue": 63536}),  # would be bone, and is -2000
    "signed": (np.int16, {"PixelPaddingValue": 2000}),
    "signed, told as unsigned": (np.int16, {"RescaleSlope": -1, "PixelPaddingValue": -2000}),
    "of 12 bits": (np.int16, {"BitsStored": 12, "HighBit": 11, "RescaleSlope": -1, "PixelPaddingValue": -2000}),
    "of soft tissue": (np.int16, {"RescaleIntercept": 1850, "PixelPaddingValue": -2000}),  # would be -150 HU
    "with fractions": (np.uint16, {"RescaleSlope": 0.5, "RescaleIntercept": -1024, "PixelPaddingValue": 63536}),
    "up to": (np.uint16, {"RescaleIntercept": -1024, "PixelPaddingValue": 65000, "PixelPaddingRangeLimit": 63000}),
    "turned around": (
        np.uint16,
        {"RescaleIntercept": -1024, "PixelPaddingValue": 63536, "PhotometricInterpretation": "MONOCHROME1"},
    ),
}


@pytest.mark.parametrize("syntax", [uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian])
@pytest.mark.parametrize("kind", AROUND)
def test_what_the_file_says_is_padding_is_air(write_dicom, tmp_path, syntax, kind):
    dtype, tags = AROUND[kind]
    padding = 63536 if dtype == np.uint16 else 2000 if kind == "signed" else -2000
    stored = np.full((6, 4), padding).astype(dtype)
    stored[2:4] = 1000
    file = write_dicom(tmp_path / "a.dcm", stored, syntax, **tags)
    if kind == "signed, told as unsigned":
        content = file.read_bytes()
        for tag in (b"\x28\0\x20\x01", b"\0\x28\x01\x20"):
            content = content.replace(tag + b"SS", tag + b"US")
        file.write_bytes(content)
    seen = read(file).pixels
    np.testing.assert_array_equal(seen[[0, 1, 4, 5]], np.full((4, 4), -1024))
    slope, intercept = tags.get("RescaleSlope", 1), tags.get("RescaleIntercept", 0)
    np.testing.assert_array_equal(seen[2:4], np.full((2, 4), 1000 * slope + intercept))


def test_tissue_with_the_number_of_padding_stays(write_dicom, tmp_path):
    """Some programs name 0 HU."""
    stored = np.full((8, 8), 40, np.int16)
    stored[3:5, 3:5], stored[0, :3], stored[4, 7] = 0, 0, 0
    seen = read(write_dicom(tmp_path / "a.dcm", stored, PixelPaddingValue=0)).pixels
    expected = stored.copy()
    expected[0, :3] = -1024  # it reaches a corner
    np.testing.assert_array_equal(seen, expected)


@pytest.mark.parametrize("said", [b"", b"\0\0\0\0", b"\x10\xf8\x10\xf8"])
def test_a_padding_that_is_no_number_is_passed_over(write_dicom, tmp_path, said):
    file = write_dicom(tmp_path / "a.dcm", RAMP, RescaleIntercept=-1000)
    dataset = dcmread(file)
    dataset.add_new(0x00280120, "OB", said)
    dataset.save_as(file)
    np.testing.assert_array_equal(read(file).pixels, RAMP.astype(int) - 1000)


def test_a_padding_that_the_bits_stored_have_no_room_for_is_passed_over(write_dicom, tmp_path):
    """Its lowest 12 bits are 2096, which is bone here."""
    tags = {"BitsStored": 12, "HighBit": 11, "RescaleIntercept": -1024, "PixelPaddingValue": 63536}
    seen = read(write_dicom(tmp_path / "a.dcm", np.full((6, 4), 2096, np.uint16), **tags))
    np.testing.assert_array_equal(seen.pixels, np.full((6, 4), 1072))


def chest():
    """More air than bone, as in any chest."""
    hu = np.full((20, 20), -900, np.int16)
    hu[:5] = 50
    hu[0, 0] = 900
    return hu


def test_monochrome1_says_how_to_show_and_not_what_is_stored(write_dicom, tmp_path):
    seen = read(write_dicom(tmp_path / "a.dcm", chest(), PhotometricInterpretation="MONOCHROME1"))
    np.testing.assert_array_equal(seen.pixels, chest())


def test_monochrome1_whose_numbers_were_turned_around_is_turned_back(write_dicom, tmp_path):
    stored = (chest() + 1024).astype(np.uint16)
    turned = np.uint16(4095) - stored
    seen = read(
        write_dicom(
            tmp_path / "a.dcm", turned, BitsStored=12, HighBit=11,
            RescaleIntercept=-1024, PhotometricInterpretation="MONOCHROME1",
        )
    )  # fmt: skip
    np.testing.assert_array_equal(seen.pixels, chest())


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_without_a_rescale_monochrome1_is_the_negative_of_a_picture(write_dicom, tmp_path, dtype):
    stored = np.arange(256, dtype=dtype).reshape(16, 16)
    bits = {"BitsStored": 8, "HighBit": 7, "RescaleSlope": None, "RescaleIntercept": None}
    for name in ("MONOCHROME2", "MONOCHROME1"):
        write_dicom(tmp_path / f"{name}.dcm", stored, PhotometricInterpretation=name, **bits)
    positive, negative = (read(tmp_path / f"{name}.dcm") for name in ("MONOCHROME2", "MONOCHROME1"))
    assert (positive.domain, negative.domain) == ("grey8", "grey8")
    np.testing.assert_array_equal(negative.pixels, 255 - positive.pixels)
    assert positive.pixels[0, 0] < positive.pixels[-1, -1]


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_without_a_rescale_padding_is_black_whichever_way_the_picture_is_shown(write_dicom, tmp_path, photometric):
    stored = np.arange(100, 164, dtype=np.uint8).reshape(8, 8)
    stored[0] = 0
    tags = {"BitsStored": 8, "HighBit": 7, "RescaleSlope": None, "RescaleIntercept": None, "PixelPaddingValue": 0}
    seen = read(write_dicom(tmp_path / "a.dcm", stored, PhotometricInterpretation=photometric, **tags))
    assert seen.pixels[0].max() <= seen.pixels[1:].min()


def test_big_endian_is_read_as_such_where_the_file_does_not_name_it(write_dicom, tmp_path):
    file = write_dicom(tmp_path / "a.dcm", chest(), uid.ExplicitVRBigEndian)
    named = uid.ExplicitVRBigEndian.encode()
    length = len(named) + len(named) % 2
    element = b"\x02\0\x10\0UI" + length.to_bytes(2, "little") + named.ljust(length, b"\0")
    content = file.read_bytes()
    assert content.count(element) == 1
    file.write_bytes(content.replace(element, b""))
    np.testing.assert_array_equal(read(file).pixels, chest())


def test_without_a_rescale_low_values_still_mean_hounsfield(write_dicom, tmp_path):
    seen = read(write_dicom(tmp_path / "a.dcm", chest(), RescaleSlope=None, RescaleIntercept=None))
    assert seen.domain == "hu"
    found = open_series([tmp_path / "a.dcm"]).series[0]
    assert "not rescaled to HU" in found.flags


def test_without_a_rescale_padding_tells_nothing_of_the_scale(write_dicom, tmp_path):
    stored = (chest() + 1024).astype(np.int16)
    tags = {"RescaleSlope": None, "RescaleIntercept": None}
    before = read(write_dicom(tmp_path / "a.dcm", stored, **tags))
    stored[4, 4] = -2000
    after = read(write_dicom(tmp_path / "b.dcm", stored, PixelPaddingValue=-2000, **tags))
    assert (before.domain, after.domain, after.pixels[4, 4]) == ("grey8", "grey8", 0)
    after.pixels[4, 4] = before.pixels[4, 4]
    np.testing.assert_array_equal(after.pixels, before.pixels)


def test_without_a_rescale_one_bright_pixel_leaves_all_others_as_they_are(write_dicom, tmp_path):
    stored = (chest() + 1024).astype(np.uint16).repeat(8, 0).repeat(8, 1)
    tags = {"RescaleSlope": None, "RescaleIntercept": None}
    before = read(write_dicom(tmp_path / "a.dcm", stored, **tags))
    stored[0, 0] = 65_535
    after = read(write_dicom(tmp_path / "b.dcm", stored, **tags))
    assert (before.domain, after.pixels[0, 0]) == ("grey8", 255)
    np.testing.assert_array_equal(after.pixels.ravel()[1:], before.pixels.ravel()[1:])


def test_without_a_rescale_8_bits_are_grey_as_they_are(write_dicom, tmp_path):
    stored = np.arange(40, 200).reshape(16, 10)
    tags = {"BitsStored": 8, "HighBit": 7, "RescaleSlope": None, "RescaleIntercept": None}
    seen = read(write_dicom(tmp_path / "a.dcm", stored.astype(np.uint16), **tags))
    assert seen.domain == "grey8"
    np.testing.assert_array_equal(seen.pixels, stored)


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, "colour"),
        ({"NumberOfFrames": 2}, "frames"),
        ({"RescaleSlope": 0}, "RescaleSlope"),
        ({"Rows": 80}, "cut off, or of another size"),
        ({"Rows": 60000, "Columns": 60000}, "too large"),
        ({"BitsAllocated": 32, "BitsStored": 32, "HighBit": 31}, "32"),
        ({"ModalityLUTSequence": [Dataset()], "RescaleSlope": None, "RescaleIntercept": None}, "Modality LUT"),
        ({"SOPClassUID": uid.EnhancedCTImageStorage, "NumberOfFrames": 3}, "3 frames"),
    ],
)
def test_what_is_no_plain_slice_is_refused_by_name(write_dicom, tmp_path, tags, said):
    file = write_dicom(tmp_path / "a.dcm", RAMP, **tags)
    with pytest.raises(UnreadableFile, match=said):
        read(file)


@pytest.mark.parametrize("tags", [{"RescaleSlope": 1e38}, {"RescaleSlope": 0.5, "RescaleIntercept": -1e300}])
def test_a_rescale_that_leads_nowhere_is_refused(write_dicom, tmp_path, tags):
    with pytest.raises(UnreadableFile, match="not finite"):
        read(write_dicom(tmp_path / "a.dcm", RAMP, **tags))


@pytest.mark.parametrize(
    ("syntax", "decoder", "marker", "numbers"),
    [
        (uid.JPEG2000Lossless, "jpeg2k_decode", b"\xff\x4f\xff\x51", struct.pack(">4xHHII", 47, 0, 60_000, 60_000)),
        (uid.HTJ2KLossless, "jpeg2k_decode", b"\xff\x4f\xff\x51", struct.pack(">4xHHII", 47, 0, 60_000, 60_000)),
        (uid.JPEGLSLossless, "jpegls_decode", b"\xff\xf7", struct.pack(">2xHBHH", 11, 16, 60_000, 60_000)),
        (uid.JPEGLosslessSV1, "jpeg8_decode", b"\xff\xc3", struct.pack(">2xHBHH", 11, 16, 60_000, 60_000)),
    ],
)
def test_pixels_that_are_larger_than_the_header_says_take_no_memory(
    write_dicom, tmp_path, monkeypatch, syntax, decoder, marker, numbers
):
    monkeypatch.delattr(imagecodecs, decoder)
    file = write_dicom(tmp_path / "a.dcm", RAMP, syntax)
    content = bytearray(file.read_bytes())
    place = content.index(marker) + len(marker)
    content[place : place + len(numbers) - len(marker)] = numbers[len(marker) :]
    file.write_bytes(content)
    with pytest.raises(UnreadableFile, match="60000 x 60000 pixels: too large"):
        read(file)


def test_a_jpeg_of_fewer_bits_than_its_header_says_is_refused(write_dicom, tmp_path):
    """Somebody made 8 bits of 12, and kept the header with its rescale."""
    stored = round_body()
    file = write_jpeg(write_dicom, tmp_path / "a.dcm", jpeg_of("8 bits", stored), stored, uid.JPEGBaseline8Bit, 12)
    with pytest.raises(UnreadableFile, match="its header says 12 bits, its JPEG data have 8"):
        read(file)


@pytest.mark.parametrize("kind", ["12 bits", "lossless by 1"])
def test_a_jpeg_may_have_fewer_bits_than_its_header_leaves_room_for(write_dicom, tmp_path, kind):
    stored = round_body()
    file = write_jpeg(write_dicom, tmp_path / "a.dcm", jpeg_of(kind, stored), stored, JPEGS[kind], 16)
    np.testing.assert_allclose(read(file).pixels, stored - 1024.0, atol=60 if kind == "12 bits" else 0)


def jpeg_2000(components=1, tile=None, layers=1, precincts=b"", block=4, of_component=b"", of_tile=b"", side=64):
    """A codestream of zeros made by hand (ISO 15444-1, annex A) that claims to be cut up in this way."""
    tile = tile or side
    size = struct.pack(">H8IH", 0, side, side, 0, 0, tile, tile, 0, 0, components) + bytes([15, 1, 1]) * components
    style = struct.pack(">BBHB", bool(precincts), 0, layers, 0)
    coding = bytes([max(0, len(precincts) - 1), block, block, 0, 1]) + precincts
    parts = [(0xFF51, size), (0xFF52, style + coding), (0xFF5C, b"\x40" + bytes(max(1, 3 * len(precincts) - 2)))]
    main = b"\xff\x4f" + b"".join(segment(*part) for part in parts) + of_component
    part = segment(0xFF90, struct.pack(">HIBB", 0, 12 + len(of_tile) + 3, 0, 1)) + of_tile + b"\xff\x93\0"
    return main + part + b"\xff\xd9"


def segment(marker, content):
    return struct.pack(">HH", marker, len(content) + 2) + content


TINY = bytes([0x11] * 6)
OTHER_CODING = segment(0xFF53, bytes([0, 1, 5, 4, 4, 0, 1]) + TINY)


@pytest.mark.parametrize(
    ("codestream", "said"),
    [
        (jpeg_2000(components=4000), "4000 values per pixel"),
        (jpeg_2000(side=8000), "header says 64 x 64 pixels"),
        (jpeg_2000(side=4096, tile=1), "16777216 tiles"),
        (jpeg_2000(side=4096, precincts=TINY), "pieces"),
        (jpeg_2000(side=4096, of_component=OTHER_CODING), "pieces"),
        (jpeg_2000(side=4096, of_tile=OTHER_CODING), "pieces"),
        (jpeg_2000(side=4096, block=0), "pieces"),
        (jpeg_2000(side=4096, precincts=b"\x77" * 6, layers=65535), "pieces"),
        (jpeg_2000(side=4096, of_component=b"\xff\x70\0\x20"), "its JPEG 2000 data are damaged"),
    ],
)
def test_a_jpeg_2000_bomb_is_refused_before_it_is_decoded(write_dicom, tmp_path, monkeypatch, codestream, said):
    monkeypatch.delattr(imagecodecs, "jpeg2k_decode")
    side = 64 if "64" in said or "values" in said else 4096
    file = write_dicom(tmp_path / "a.dcm", np.zeros((64, 64), np.uint16), Rows=side, Columns=side)
    dataset = dcmread(file)
    dataset.file_meta.TransferSyntaxUID = uid.JPEG2000Lossless
    dataset.PixelData = encapsulate([codestream])
    dataset.save_as(file)
    with pytest.raises(UnreadableFile, match=said):
        read(file)


@pytest.mark.parametrize(
    "options",
    [
        {"precinct_size": (128, 128)},
        {"precinct_size": (256, 256), "codeblock_size": (32, 32)},
        {"codeblock_size": (16, 16), "progression": "RPCL", "num_resolutions": 1},
        {"precinct_size": (128, 128), "quality_layers": [40, 20, 10, 0], "num_resolutions": 8},
    ],
)
def test_jpeg_2000_as_other_encoders_cut_it_up_is_read(write_dicom, tmp_path, options):
    stored = round_body(300)
    written = io.BytesIO()
    Image.fromarray(stored).save(written, "JPEG2000", no_jp2=True, irreversible=False, **options)
    file = write_dicom(tmp_path / "a.dcm", stored, RescaleIntercept=-1024)
    dataset = dcmread(file)
    dataset.file_meta.TransferSyntaxUID = uid.JPEG2000Lossless
    dataset.PixelData = encapsulate([written.getvalue()])
    dataset.save_as(file)
    np.testing.assert_array_equal(read(file).pixels, stored - 1024.0)


def test_jpeg_2000_within_the_boxes_of_a_file_is_read(write_dicom, tmp_path):
    file = write_dicom(tmp_path / "a.dcm", RAMP, uid.JPEG2000Lossless, RescaleIntercept=-1000)
    dataset = dcmread(file)
    boxed = imagecodecs.jpeg2k_encode(RAMP, level=0, codecformat="jp2", reversible=True)
    dataset.PixelData = encapsulate([boxed])
    dataset.save_as(file)
    np.testing.assert_array_equal(read(file).pixels, RAMP.astype(int) - 1000)
    dataset.PixelData = encapsulate([boxed.replace(b"jp2c", b"else")])
    dataset.save_as(file)
    with pytest.raises(UnreadableFile, match="damaged"):
        read(file)


def test_a_deflated_bomb_is_refused_before_it_is_inflated(write_dicom, tmp_path, peak_memory):
    file = write_dicom(tmp_path / "a.dcm", RAMP, uid.DeflatedExplicitVRLittleEndian)
    content = file.read_bytes()
    end_of_meta = 144 + int.from_bytes(content[140:144], "little")
    inflated = zlib.decompress(content[end_of_meta:], -15)
    packer = zlib.compressobj(1, wbits=-15)
    piece = bytes(2**24)
    packed = [packer.compress(inflated), *(packer.compress(piece) for _ in range(65)), packer.flush()]
    file.write_bytes(content[:end_of_meta] + b"".join(packed))
    with pytest.raises(UnreadableFile, match="deflated, and too large"):
        read(file)
    assert peak_memory() < 100_000_000


@pytest.mark.skipif(sys.platform == "win32", reason="a hole in a file takes room there")
def test_a_file_with_a_hole_of_gigabytes_takes_no_memory(write_dicom, tmp_path):
    file = write_dicom(tmp_path / "a.dcm", RAMP)
    with file.open("r+b") as stream:
        stream.truncate(2**40)
    with pytest.raises(UnreadableFile, match="too large for one slice"):
        read(file)


def test_a_length_that_is_a_lie_takes_no_memory(write_dicom, tmp_path, peak_memory):
    file = write_dicom(tmp_path / "a.dcm", RAMP, uid.ImplicitVRLittleEndian)
    content = bytearray(file.read_bytes())
    length = content.index(b"\x08\0\x08\0") + 4  # of ImageType
    content[length : length + 4] = struct.pack("<I", 2**31)
    file.write_bytes(content)
    with pytest.raises(UnreadableFile, match="Rows and Columns are missing"):
        read(file)
    assert peak_memory() < 50_000_000


def test_what_is_wrong_with_a_header_is_told_without_quoting_it(write_dicom, tmp_path):
    """Text in a field for numbers, as after a slip of a converter: it may be a name."""
    file = write_dicom(tmp_path / "a.dcm", RAMP, NumberOfFrames=7777)
    content = file.read_bytes()
    assert b"7777" in content
    file.write_bytes(content.replace(b"7777", b"DOE "))
    with pytest.raises(UnreadableFile, match="NumberOfFrames is not a number") as refused:
        read(file)
    assert "DOE" not in str(refused.value)


def test_pixels_that_are_missing_are_named(write_dicom, tmp_path):
    file = write_dicom(tmp_path / "a.dcm", RAMP)
    dataset = dcmread(file)
    del dataset.PixelData
    dataset.save_as(file)
    with pytest.raises(UnreadableFile, match="pixels are missing"):
        read(file)


def test_a_transfer_syntax_for_films_is_refused_by_name(write_dicom, tmp_path):
    file = write_dicom(tmp_path / "a.dcm", RAMP)
    dataset = dcmread(file)
    dataset.file_meta.TransferSyntaxUID = uid.MPEG2MPML
    dataset.PixelData = encapsulate([b"a film"])
    dataset.save_as(file)
    with pytest.raises(UnreadableFile, match="MPEG2"):
        read(file)


@pytest.mark.parametrize("content", [b"", b"not DICOM at all" * 30, b"\0" * 128 + b"DICM"])
def test_what_is_no_dicom_is_refused(tmp_path, content):
    file = tmp_path / "a.dcm"
    file.write_bytes(content)
    with pytest.raises(UnreadableFile, match=r"a\.dcm"):
        read(file)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.just(1) | st.integers(-20, 20).filter(bool),
    st.sampled_from([0, -1024, -8192]) | st.integers(-16000, 16000),
    st.sampled_from(["i2", "u2"]),
    st.sampled_from([12, 15, 16]),
    st.sampled_from([uid.ExplicitVRLittleEndian, uid.JPEGLosslessSV1]),
    st.integers(0, 2**32 - 1),
)
def test_whole_rescales_are_exact_down_to_air_and_up_to_what_16_bits_hold(
    write_dicom, tmp_path, slope, intercept, dtype, bits, syntax, seed
):
    limits, above = np.iinfo(dtype), 16 - bits
    stored = np.random.default_rng(seed).integers(limits.min, limits.max + 1, (6, 5)).astype(dtype)
    tags = {"BitsStored": bits, "HighBit": bits - 1, "RescaleSlope": slope, "RescaleIntercept": intercept}
    seen = read(write_dicom(tmp_path / "a.dcm", stored, syntax, **tags))
    meant = (stored << above) >> above  # whatever the bits above those stored are
    expected = np.clip(meant.astype(np.int64) * slope + intercept, -1024, 32767)
    np.testing.assert_array_equal(seen.pixels, expected)


@pytest.mark.parametrize("kind", ["unsigned", "signed"])
@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.JPEGLosslessSV1])
def test_a_slice_can_be_read_again(write_dicom, tmp_path, syntax, kind):
    """What is worked out in place is no other read's."""
    stored = RAMP if kind == "unsigned" else RAMP.astype(np.int16) - 1000
    series = open_series([write_dicom(tmp_path / "a.dcm", stored, syntax, RescaleIntercept=-24)]).series[0]
    first = series.read(0).pixels.copy()
    series.read(0).pixels[:] = 0
    np.testing.assert_array_equal(series.read(0).pixels, first)


def test_a_header_longer_than_most_is_read_all_the_same(write_dicom, tmp_path):
    file = write_dicom(tmp_path / "a.dcm", RAMP, RescaleIntercept=-1000, ICCProfile=bytes(50_000))
    np.testing.assert_array_equal(read(file).pixels, RAMP.astype(int) - 1000)


@pytest.mark.parametrize("character_set", [None, "ISO_IR 100", "ISO_IR 192", "ISO 2022 IR 87"])
def test_descriptions_are_read_in_any_alphabet(write_dicom, tmp_path, character_set):
    said = {"ISO_IR 100": "Thorax à 1 mm", "ISO_IR 192": "грудь", "ISO 2022 IR 87": "胸部"}.get(
        character_set, "Thorax 1 mm"
    )
    file = write_dicom(tmp_path / "a.dcm", RAMP, SpecificCharacterSet=character_set, SeriesDescription=said)
    assert open_series([file]).series[0].description == said


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(ENCAPSULATED), st.integers(0, 2**32 - 1))
def test_a_damaged_file_gives_a_slice_or_a_reason(write_dicom, tmp_path, syntax, seed):
    rng = np.random.default_rng(seed)
    file = write_dicom(tmp_path / "a.dcm", RAMP, syntax, RescaleIntercept=-1000)
    content = bytearray(file.read_bytes())
    for place in rng.integers(132, len(content), 3):
        content[place] ^= int(rng.integers(1, 256))
    file.write_bytes(content)
    found = open_series([file])
    assert len(found.series) + len(found.failed) + len(found.skipped) == 1
    for series in found.series:
        with contextlib.suppress(UnreadableFile):
            assert series.read(0).pixels.ndim == 2
