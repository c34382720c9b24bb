"""MetaImage and NRRD volumes, most of them written by SimpleITK, others by hand as other programs leave them."""

import gzip
import itertools
import random
import struct
import tracemalloc
import zlib
from contextlib import suppress

import numpy as np
import pytest
import SimpleITK

from ctseg.errors import UnreadableFile
from ctseg.reading import kind_of, open_volume, read_mask_volume, volume_files

IDENTITY = np.eye(3)
ENDINGS = [".mha", ".mhd", ".nrrd", ".nhdr"]
STEPS = (2.5, 0.7, 0.8)  # of slices, rows, columns
ORIGIN = (-101.5, 33.25, -7.0)
VALUES = np.arange(3 * 4 * 5, dtype=np.int16).reshape(3, 4, 5) * 7 - 1000
RAW = VALUES.astype("<i2").tobytes()
SWAPPED = VALUES.astype(">i2").tobytes()


def image(values=VALUES, direction=IDENTITY):
    """A SimpleITK image whose axes run as the columns of `direction` say, to the left, back and head if identity."""
    made = SimpleITK.GetImageFromArray(values)
    made.SetSpacing(STEPS[::-1])
    made.SetOrigin(ORIGIN)
    made.SetDirection(np.asarray(direction, float).ravel().tolist())
    return made


def save(file, made, compressed=False):
    SimpleITK.WriteImage(made, str(file), useCompression=compressed)
    return file


def slices(volume):
    return np.stack([volume.read(index).pixels for index in range(len(volume))])


def shown(made):
    """What radiologists look at, by SimpleITK: columns to the left, rows to the back, slices to the head."""
    turned = SimpleITK.DICOMOrient(made, "LPS")
    return SimpleITK.GetArrayFromImage(turned), turned.GetSpacing()[::-1]


TURNS = [
    np.diag(signs) @ np.eye(3)[list(axes)]
    for axes, signs in itertools.product(itertools.permutations(range(3)), itertools.product((1, -1), repeat=3))
]


TO_VALUES = "ElementToIntensityFunction"


@pytest.mark.parametrize("ending", [".mha", ".nrrd"])
def test_any_of_the_48_orientations_is_shown_as_radiologists_see_it(tmp_path, ending):
    for number, turn in enumerate(TURNS):
        made = image(direction=turn)
        volume = open_volume(save(tmp_path / f"{number}{ending}", made))
        expected, spacing = shown(made)
        np.testing.assert_array_equal(slices(volume), expected)
        assert volume.lengths_mm == pytest.approx(spacing)
        assert volume.flags == ()
        assert volume.is_stack


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("compressed", [False, True])
def test_each_form_of_file_holds_the_same_scan(tmp_path, ending, compressed):
    file = save(tmp_path / f"ct{ending}", image(), compressed)
    volume = open_volume(file)
    assert kind_of(file) == "volume"
    assert volume.read(0).domain == "hu"
    np.testing.assert_array_equal(slices(volume), VALUES)
    volume.close()
    np.testing.assert_array_equal(volume.read(2).pixels, VALUES[2])
    assert len(volume_files(file)) == len(list(tmp_path.iterdir()))


@pytest.mark.parametrize("ending", [".mha", ".nrrd"])
@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"])
def test_numbers_of_any_type_are_read(tmp_path, ending, dtype):
    labels = (np.arange(VALUES.size) % 4).reshape(VALUES.shape).astype(dtype)
    np.testing.assert_array_equal(read_mask_volume(save(tmp_path / f"mask{ending}", image(labels)), None), labels)


@pytest.mark.parametrize("ending", [".mha", ".nrrd", ".nii"])
def test_slices_that_are_turned_in_their_plane_alone_are_not_oblique(tmp_path, ending):
    turn = np.array([[np.cos(0.2), -np.sin(0.2), 0], [np.sin(0.2), np.cos(0.2), 0], [0, 0, 1]])
    assert open_volume(save(tmp_path / f"ct{ending}", image(direction=turn))).flags == ()


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1)])
def test_an_oblique_volumes_voxels_lie_where_simpleitk_sees_them(tmp_path, ending, axes):
    a, b = 0.2, -0.15
    turn = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    turn = (turn @ np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]]))[:, list(axes)]
    made = image(direction=turn)
    volume = open_volume(save(tmp_path / f"ct{ending}", made))
    assert volume.flags == ("oblique",)
    affine = volume.grid().header.get_best_affine()
    for index in ((0, 0, 0), (4, 0, 0), (0, 3, 0), (0, 0, 2), (4, 3, 2), (1, 2, 1)):
        left, back, head = made.TransformIndexToPhysicalPoint(index)
        np.testing.assert_allclose((affine @ [*index, 1])[:3], [-left, -back, head], atol=1e-4)


@pytest.mark.parametrize("ending", ENDINGS)
def test_labels_go_back_to_the_files_own_axes(tmp_path, ending):
    turn = np.array([[0, 0, -1], [1, 0, 0], [0, -1, 0]])
    labels = (np.arange(VALUES.size) % 4).reshape(VALUES.shape).astype(np.uint8)
    volume = open_volume(save(tmp_path / f"ct{ending}", image(direction=turn)))
    masks = read_mask_volume(save(tmp_path / f"mask{ending}", image(labels, turn)), None)
    np.testing.assert_array_equal(volume.grid().filled(dict(enumerate(masks))), labels.transpose(2, 1, 0))


def metaimage(lines="", data=RAW, **changed):
    fields = {
        "ObjectType": "Image",
        "NDims": "3",
        "BinaryData": "True",
        "TransformMatrix": "1 0 0 0 1 0 0 0 1",
        "Offset": "0 0 0",
        "ElementSpacing": "0.8 0.7 2.5",
        "DimSize": "5 4 3",
        "ElementType": "MET_SHORT",
        **changed,
        "ElementDataFile": changed.get("ElementDataFile", "LOCAL"),
    }
    fields = {key: fields[key] for key in fields if key != "ElementDataFile"} | {
        "ElementDataFile": fields["ElementDataFile"]
    }
    return "".join(f"{key} = {value}\n" for key, value in fields.items() if value is not None).encode() + data


def nrrd(data=RAW, **changed):
    fields = {
        "type": "short",
        "dimension": "3",
        "space": "left-posterior-superior",
        "sizes": "5 4 3",
        "space directions": "(0.8,0,0) (0,0.7,0) (0,0,2.5)",
        "kinds": "domain domain domain",
        "endian": "little",
        "encoding": "raw",
        "space origin": "(0,0,0)",
        **{key.replace("_", " "): value for key, value in changed.items()},
    }
    text = "".join(f"{key}: {value}\n" for key, value in fields.items() if value is not None)
    return f"NRRD0005\n# by hand\n{text}\n".encode() + data


@pytest.mark.parametrize(
    "content",
    [
        metaimage(),
        metaimage(data=SWAPPED, BinaryDataByteOrderMSB="True"),
        metaimage(data=SWAPPED, ElementByteOrderMSB="True"),
        metaimage(Offset=None, Position="0 0 0", Comment="a = b"),
        metaimage(ElementSpacing=None, ElementSize="0.8 0.7 2.5"),
        metaimage(data=b"what a scanner says of itself" + RAW, HeaderSize="-1"),
        metaimage(data=zlib.compress(RAW), CompressedData="True"),
        metaimage(data=gzip.compress(RAW), CompressedData="True"),
        metaimage().replace(b"\n", b"\r\n", 9),
        metaimage(data=(VALUES / 2).astype("<f4").tobytes(), ElementType="MET_FLOAT", **{f"{TO_VALUES}Slope": "2"}),
        metaimage(data=(VALUES + 24).astype("<i2").tobytes(), **{f"{TO_VALUES}Offset": "-24"}),
        metaimage(ElementSpacing="0.08 0.07 0.25", DistanceUnits="cm"),
        metaimage(ElementSpacing="800 700 2500", DistanceUnits="um"),
        metaimage(DistanceUnits="?"),
        metaimage(
            NDims="4",
            DimSize="5 4 3 1",
            TransformMatrix="1 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1",
            Offset="0 0 0 0",
            ElementSpacing="0.8 0.7 2.5 1",
        ),
        nrrd(),
        nrrd(dimension="4", sizes="5 4 3 1", kinds=None, space_directions="(0.8,0,0) (0,0.7,0) (0,0,2.5) none"),
        nrrd(
            dimension="4",
            sizes="5 4 3 1",
            kinds=None,
            space="left-posterior-superior-time",
            space_directions="(0.8,0,0,0) (0,0.7,0,0) (0,0,2.5,0) (0,0,0,1)",
            space_units='"mm" "mm" "mm" "s"',
            space_origin="(0,0,0,0)",
        ),
        nrrd().replace(b"\n", b"\r\n", 12),
        nrrd(data=SWAPPED, endian="big"),
        nrrd(data=gzip.compress(RAW), encoding="gzip"),
        nrrd(data=gzip.compress(b"skipped" + RAW), encoding="gz", byte_skip="7"),
        nrrd(data=b"skipped" + RAW, byte_skip="7"),
        nrrd(data=b"skipped" + RAW, byteskip="-1"),
        nrrd(space_directions="(0.08,0,0) (0,0.07,0) (0,0,0.25)", space_units='"cm" "cm" "cm"'),
        nrrd(space_directions="(8e-4,0,0) (0,7e-4,0) (0,0,2.5e-3)", space_units='"m" "m" "m"'),
        nrrd(space="LPS"),
        nrrd(space="RAS", space_directions="(-0.8,0,0) (0,-0.7,0) (0,0,2.5)"),
        nrrd(space="LAS", space_directions="(0.8,0,0) (0,-0.7,0) (0,0,2.5)"),
        nrrd(space="right-anterior-superior", space_directions="(-0.8,0,0) (0,-0.7,0) (0,0,2.5)"),
        nrrd(space="left-anterior-superior", space_directions="(0.8,0,0) (0,-0.7,0) (0,0,2.5)"),
    ],
)
@pytest.mark.parametrize("name", ["ct", "1.2.840.7"])
def test_what_other_programs_write_is_read_and_known_by_its_first_bytes(tmp_path, content, name):
    file = tmp_path / name
    file.write_bytes(content)
    assert kind_of(file) == "volume"
    volume = open_volume(file)
    np.testing.assert_array_equal(slices(volume), VALUES)
    assert volume.lengths_mm == pytest.approx(STEPS)
    assert volume.flags == ()


IN_CM = {"ElementSpacing": "0.08 0.07 0.25", "Offset": "-10.15 3.325 -0.7", "DistanceUnits": "cm"}
DIRECTIONS_IN_CM = {"space_directions": "(0.08,0,0) (0,0.07,0) (0,0,0.25)", "space_units": '"cm" "cm" "cm"'}


@pytest.mark.parametrize(
    ("in_mm", "in_cm"),
    [
        (metaimage(Offset="-101.5 33.25 -7"), metaimage(**IN_CM)),
        (nrrd(space_origin="(-101.5,33.25,-7)"), nrrd(space_origin="(-10.15,3.325,-0.7)", **DIRECTIONS_IN_CM)),
    ],
    ids=["MetaImage", "NRRD"],
)
def test_where_lengths_are_in_cm_the_volume_lies_where_it_does_in_mm(tmp_path, in_mm, in_cm):
    affines = []
    for name, content in {"mm": in_mm, "cm": in_cm}.items():
        (tmp_path / name).write_bytes(content)
        affines.append(open_volume(tmp_path / name).grid().header.get_best_affine())
    np.testing.assert_allclose(affines[1], affines[0], rtol=1e-6)


@pytest.mark.parametrize(
    "content",
    [
        metaimage(TransformMatrix=None),
        nrrd(space=None, space_directions=None, space_origin=None, spacings="0.8 0.7 2.5"),
        nrrd(space=None, space_directions=None, space_origin=None, spacings="0.08 0.07 0.25", units='"cm" "cm" "cm"'),
    ],
)
def test_a_file_that_does_not_say_how_it_lies_is_taken_as_it_is_and_flagged(tmp_path, content):
    file = tmp_path / "ct"
    file.write_bytes(content)
    volume = open_volume(file)
    np.testing.assert_array_equal(slices(volume), VALUES)
    assert volume.lengths_mm == pytest.approx(STEPS)
    assert volume.flags == ("orientation unknown",)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (metaimage(DimSize="5 4 3 2", NDims="4"), "one volume per file"),
        (
            metaimage(DimSize="5 4 3 2", NDims="4", TransformMatrix="1 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1"),
            "one volume per file",
        ),
        (metaimage(DimSize="5 4", NDims="2", TransformMatrix="1 0 0 1"), "one slice"),
        (metaimage(ElementNumberOfChannels="3"), "several values"),
        (metaimage(BinaryData="False"), "binary"),
        (metaimage(ElementType="MET_STRING"), "MET_STRING"),
        (metaimage(ElementSpacing="0.8 0 2.5"), "mm apart"),
        (metaimage(ElementSpacing="0.8 nan 2.5"), "mm apart"),
        (metaimage(ElementSpacing=None), "how far apart"),
        (metaimage(ElementSpacing="0.8 0.7"), "needs 3 numbers"),
        (metaimage(TransformMatrix="1 0 0 0 1 0 0 0.5 1"), "right angles"),
        (metaimage(TransformMatrix="1 0 0 1 0 0 0 0 1"), "right angles"),
        (metaimage(TransformMatrix="0 0 0 0 1 0 0 0 1"), "mm apart"),
        (metaimage(HeaderSize="12"), "HeaderSize"),
        (metaimage(DistanceUnits="inch"), "its DistanceUnits are inch: save it in mm"),
        (metaimage(**{f"{TO_VALUES}Slope": "0"}), "no valid scale"),
        (metaimage(**{f"{TO_VALUES}Offset": "nan"}), "no valid scale"),
        (metaimage(DimSize="five"), "header"),
        (metaimage(DimSize="0 4 3"), "can't be a scan"),
        (nrrd(dimension="4", sizes="2 5 4 3", space_directions="none (1,0,0) (0,1,0) (0,0,1)"), "one volume per file"),
        (nrrd(dimension="2", sizes="5 4", space_directions="(1,0) (0,1)"), "one slice"),
        (nrrd(dimension="2"), "3 sizes"),
        (nrrd(encoding="bzip2"), "bzip2"),
        (nrrd(encoding="ascii"), "ascii"),
        (nrrd(type="block"), "block"),
        (nrrd(endian=None), "endian"),
        (nrrd(space_directions="(0.8,0,0) (0,0.7,0) (0,0,0)"), "mm apart"),
        (nrrd(space_directions="(0.8,0,0) (0,0.7,0) none"), "mm apart"),
        (nrrd(space_directions="(0.8,0,0) (0,0.7,0.3) (0,0,2.5)"), "right angles"),
        (nrrd(space_directions=None), "how far apart"),
        (nrrd(space_units='"furlong" "furlong" "furlong"'), "furlong"),
        (nrrd(line_skip="1"), "skips lines"),
        (nrrd(sizes=None), "sizes"),
        (nrrd(sizes="5 4 many"), "header"),
        (nrrd().replace(b"\n\n", b"\n", 1)[:300], "header"),
    ],
)
def test_what_is_no_plain_volume_is_refused_with_a_reason(tmp_path, content, said):
    file = tmp_path / "ct.mha"
    file.write_bytes(content)
    with pytest.raises(UnreadableFile, match=said):
        open_volume(file)


@pytest.mark.parametrize(
    "name", ["../secret.raw", "/etc/passwd", "deeper/ct.raw", "..", "C:ct.raw", r"deeper\ct.raw", ""]
)
@pytest.mark.parametrize("form", [metaimage, nrrd])
def test_a_header_opens_no_file_but_one_beside_it(tmp_path, form, name):
    (tmp_path / "secret.raw").write_bytes(RAW)
    (tmp_path / "in/deeper").mkdir(parents=True)
    (tmp_path / "in/deeper/ct.raw").write_bytes(RAW)
    field = {"ElementDataFile": name} if form is metaimage else {"data_file": name}
    file = tmp_path / "in/ct.mhd"
    file.write_bytes(form(data=b"", **field))
    with pytest.raises(UnreadableFile, match=r"beside it|header"):
        open_volume(file)
    assert volume_files(file) == (file,)


@pytest.mark.parametrize(
    "content", [metaimage(data=b"", ElementDataFile="./ct.raw"), nrrd(data=b"", data_file="./ct.raw")]
)
def test_the_file_beside_a_header_may_be_named_from_there(tmp_path, content):
    (tmp_path / "ct.raw").write_bytes(RAW)
    (tmp_path / "ct.mhd").write_bytes(content)
    np.testing.assert_array_equal(slices(open_volume(tmp_path / "ct.mhd")), VALUES)


@pytest.mark.parametrize(
    "content",
    [
        metaimage(data=b"", ElementDataFile="LIST"),
        metaimage(data=b"", ElementDataFile="ct%03d.raw 1 3 1"),
        nrrd(data=b"", data_file="ct%03d.raw 1 3 1"),
        nrrd(data=b"a.raw\nb.raw\n", data_file="LIST"),
    ],
)
def test_slices_in_files_of_their_own_are_refused(tmp_path, content):
    file = tmp_path / "ct.mhd"
    file.write_bytes(content)
    with pytest.raises(UnreadableFile, match="several files"):
        open_volume(file)


@pytest.mark.parametrize("ending", [".mhd", ".nhdr"])
def test_voxels_that_are_gone_are_named(tmp_path, ending):
    file = save(tmp_path / f"ct{ending}", image())
    (tmp_path / "ct.raw").unlink()
    with pytest.raises(UnreadableFile, match=r"ct\.raw.*No such file"):
        open_volume(file)


@pytest.mark.parametrize("ending", [".mha", ".nrrd"])
@pytest.mark.parametrize("compressed", [False, True])
def test_a_volume_that_was_cut_off_anywhere_is_refused(tmp_path, ending, compressed):
    noise = np.random.default_rng(0).integers(-1000, 1000, (6, 9, 9)).astype(np.int16)
    file = save(tmp_path / f"ct{ending}", image(noise), compressed)
    whole = file.read_bytes()
    for end in [*range(0, len(whole), 37), len(whole) - 1]:
        file.write_bytes(whole[:end])
        with pytest.raises(UnreadableFile, match="ct"):
            open_volume(file).read(0)


@pytest.mark.parametrize(("form", "pack"), [(".mha", zlib.compress), (".nrrd", gzip.compress)])
def test_damage_within_a_compressed_volume_is_found_by_its_checksum(tmp_path, form, pack):
    packed = bytearray(pack(RAW, 0))  # stored, not deflated: any change of a byte is one of a voxel
    packed[len(packed) // 2] ^= 1
    made = metaimage(data=packed, CompressedData="True") if form == ".mha" else nrrd(data=packed, encoding="gzip")
    file = tmp_path / f"ct{form}"
    file.write_bytes(made)
    with pytest.raises(UnreadableFile, match="damaged"):
        open_volume(file).read(0)


@pytest.mark.parametrize(
    "content",
    [
        metaimage(DimSize="900 900 900"),
        metaimage(DimSize="900 900 900", data=zlib.compress(bytes(10**6)), CompressedData="True"),
        nrrd(sizes="900 900 900"),
        nrrd(sizes="900 900 900", data=gzip.compress(bytes(10**6)), encoding="gzip"),
        metaimage(DimSize="30000 30000 30000"),
        nrrd(sizes="30000 30000 30000"),
    ],
)
def test_a_header_that_promises_more_than_there_is_takes_no_memory(tmp_path, content):
    file = tmp_path / "ct.mha"
    file.write_bytes(content)
    with pytest.raises(UnreadableFile, match=r"its header promises|can't be a scan"):
        open_volume(file)


COMPRESSED = [
    lambda size, packed: metaimage(DimSize=size, data=zlib.compress(packed), CompressedData="True"),
    lambda size, packed: nrrd(sizes=size, data=gzip.compress(packed), encoding="gzip"),
]


@pytest.mark.parametrize("form", COMPRESSED)
def test_memory_is_taken_for_what_there_is_and_not_for_what_a_compressed_header_promises(tmp_path, peak_memory, form):
    file = tmp_path / "ct.mha"
    file.write_bytes(form("1024 1024 1000", RAW) + bytes(3_000_000))  # as many bytes as could hold so much
    with pytest.raises(UnreadableFile, match=r"cut off"):
        open_volume(file).read(0)
    assert peak_memory() < 50_000_000


@pytest.mark.parametrize("form", COMPRESSED)
def test_a_bomb_is_unpacked_as_far_as_its_header_goes(tmp_path, peak_memory, form):
    file = tmp_path / "ct.mha"
    file.write_bytes(form("5 4 3", RAW + bytes(2**28)))
    tracemalloc.reset_peak()  # making it took more
    np.testing.assert_array_equal(slices(open_volume(file)), VALUES)
    assert peak_memory() < 50_000_000


@pytest.mark.parametrize("form", [metaimage, nrrd])
def test_a_volume_that_becomes_another_after_its_header_was_read_is_refused(tmp_path, form):
    file = tmp_path / "ct.mha"
    file.write_bytes(form())
    volume = open_volume(file)
    file.write_bytes(b"%PDF-1.7" + bytes(file.stat().st_size))
    with pytest.raises(UnreadableFile, match="has changed"):
        volume.read(0)


@pytest.mark.parametrize("ending", [".mhd", ".nhdr"])
def test_voxels_beside_a_header_that_become_others_are_refused(tmp_path, ending):
    volume = open_volume(save(tmp_path / f"ct{ending}", image()))
    (tmp_path / "ct.raw").write_bytes(RAW[::-1] + b"more")
    with pytest.raises(UnreadableFile, match=r"ct\.raw.*has changed"):
        volume.read(0)


@pytest.mark.parametrize(
    "content",
    [
        metaimage(ElementSpacing="0.8 0.7 1e6"),
        metaimage(ElementSpacing="0.8 1e-20 2.5"),
        metaimage(ElementSpacing="1e300 0.7 2.5"),
        metaimage(Offset="0 0 1e300"),
        nrrd(space_directions="(1e-20,0,0) (0,0.7,0) (0,0,2.5)"),
        nrrd(space_directions="(0.8,0,0) (0,0.7,0) (0,0,1e200)"),
        nrrd(space_origin="(1e39,0,0)"),
    ],
)
def test_places_that_no_scanner_has_are_refused(tmp_path, content):
    file = tmp_path / "ct.mha"
    file.write_bytes(content)
    with pytest.raises(UnreadableFile, match="can't be used"):
        open_volume(file)


@pytest.mark.parametrize("ending", [".mha", ".nrrd"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(tmp_path, ending, bad):
    values = VALUES.astype(np.float32)
    values[1, 1, 1] = bad
    with pytest.raises(UnreadableFile, match="not finite"):
        open_volume(save(tmp_path / f"ct{ending}", image(values))).read(0)


@pytest.mark.parametrize("whole", [metaimage(), nrrd(), nrrd(data=gzip.compress(RAW), encoding="gzip")])
def test_whatever_is_changed_in_a_file_it_is_read_or_refused(tmp_path, whole):
    draws = random.Random(0)
    file = tmp_path / "ct.mha"
    for _ in range(300):
        content = bytearray(whole)
        for _ in range(draws.randint(1, 3)):
            at = draws.randrange(len(content) - len(RAW) // 2)
            content[at : at + draws.randint(0, 2)] = draws.randbytes(draws.randint(0, 2)) + draws.choice(
                [b"", b"9", b"-"]
            )
        file.write_bytes(content)
        with suppress(UnreadableFile):  # nothing else, and no warning
            slices(open_volume(file))


def test_a_labelmap_of_another_dimension_stays_what_it_is(tmp_path):
    """NRRD of Slicer with overlapping segments has four axes: no volume of labels."""
    file = tmp_path / "ct.seg.nrrd"
    file.write_bytes(
        nrrd(
            data=struct.pack("<60h", *range(60)),
            dimension="4",
            sizes="1 5 4 3",
            space_directions="none (1,0,0) (0,1,0) (0,0,1)",
        )
    )
    with pytest.raises(UnreadableFile, match="one volume per file"):
        read_mask_volume(file, None)


def test_voxels_beside_a_header_begin_where_it_says(tmp_path):
    (tmp_path / "ct.raw").write_bytes(b"what a scanner says of itself" + RAW)
    (tmp_path / "ct.mhd").write_bytes(metaimage(data=b"", ElementDataFile="ct.raw", HeaderSize="29"))
    np.testing.assert_array_equal(slices(open_volume(tmp_path / "ct.mhd")), VALUES)


@pytest.mark.parametrize(("name", "dtype"), [("MET_LONG", "<i4"), ("MET_LONG_LONG", "<i8")])
def test_long_numbers_are_as_long_as_metaio_has_them(tmp_path, name, dtype):
    (tmp_path / "ct.mha").write_bytes(metaimage(data=VALUES.astype(dtype).tobytes(), ElementType=name))
    np.testing.assert_array_equal(slices(open_volume(tmp_path / "ct.mha")), VALUES)
