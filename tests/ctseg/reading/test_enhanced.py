"""Enhanced CT: frames of one file, put in order, read one by one, in every way that they can be stored."""

import contextlib
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import uid
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames
from pydicom.tag import Tag

from ctseg.errors import UnreadableFile
from ctseg.reading import dicom_pixel_data, open_series

FRAMES = np.random.default_rng(0).integers(0, 4096, (5, 24, 16)).astype(np.uint16)
# Not in the order of the file, which is no order to rely on.
HEIGHTS = (30.0, -20.0, 55.0, 5.0, -45.0)
UPWARDS = (4, 1, 3, 0, 2)
NATIVE = (
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.DeflatedExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
)


def item(**tags):
    dataset = Dataset()
    for name, value in tags.items():
        setattr(dataset, name, value)
    return dataset


def groups(**sequences):
    """Functional groups: each a sequence of one item."""
    return item(**{f"{name}Sequence": [item(**tags)] for name, tags in sequences.items()})


def of_frame(height, **sequences):
    return groups(PlanePosition={"ImagePositionPatient": [0, 0, height]}, **sequences)


def dimensions(*pointers):
    """What the numbers of DimensionIndexValues count."""
    return [item(DimensionIndexPointer=Tag(pointer)) for pointer in pointers]


SHARED = {
    "PixelMeasures": {"PixelSpacing": [0.7, 0.8], "SliceThickness": 40},
    "PlaneOrientation": {"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]},
    "PixelValueTransformation": {"RescaleSlope": 1, "RescaleIntercept": -1000, "RescaleType": "HU"},
    "CTImageFrameType": {"FrameType": ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]},
}


@pytest.fixture
def write(tmp_path, encoders):
    """Write an enhanced CT object of `frames`; tags given as None are left out."""

    def written(name="ct.dcm", per_frame=None, frames=FRAMES, shared=SHARED, syntax=NATIVE[1], pack=None, **tags):
        described = [of_frame(height) for height in HEIGHTS] if per_frame is None else per_frame
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.file_meta.MediaStorageSOPClassUID = uid.EnhancedCTImageStorage
        dataset.file_meta.MediaStorageSOPInstanceUID = uid.generate_uid()
        told = {
            "SOPClassUID": uid.EnhancedCTImageStorage,
            "SOPInstanceUID": dataset.file_meta.MediaStorageSOPInstanceUID,
            "SeriesInstanceUID": "1.2.3",
            "ImageType": ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"],
            "NumberOfFrames": len(frames),
            "Rows": frames.shape[1],
            "Columns": frames.shape[2],
            "SamplesPerPixel": 1,
            "PhotometricInterpretation": "MONOCHROME2",
            "BitsAllocated": 16,
            "BitsStored": 16,
            "HighBit": 15,
            "PixelRepresentation": 0,
            "SharedFunctionalGroupsSequence": [groups(**shared)],
            "PerFrameFunctionalGroupsSequence": described,
        } | tags
        for tag, value in told.items():
            if value is not None:
                setattr(dataset, tag, value)
        if pack:
            pack(dataset, [encoders[syntax](frame) for frame in frames])
        else:
            dataset.PixelData = frames.astype(">u2" if syntax == uid.ExplicitVRBigEndian else "<u2").tobytes()
        dataset["PixelData"].VR = "OB" if pack else "OW"
        dataset.save_as(tmp_path / name, enforce_file_format=True)
        return tmp_path / name

    return written


def with_table(dataset, frames):
    dataset.PixelData = encapsulate(frames)


def with_table_in_fragments(dataset, frames):
    dataset.PixelData = encapsulate(frames, fragments_per_frame=3)


def without_table(dataset, frames):
    dataset.PixelData = encapsulate(frames, has_bot=False)


def without_table_in_fragments(dataset, frames):
    dataset.PixelData = encapsulate(frames, fragments_per_frame=3, has_bot=False)


def with_extended_table(dataset, frames):
    dataset.PixelData, dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths = encapsulate_extended(frames)


PACKED = (with_table, with_table_in_fragments, without_table, without_table_in_fragments, with_extended_table)


def one(file):
    found = open_series([file])
    if found.failed:
        raise found.failed[0]
    (series,) = found.series
    return series


def pixels(series):
    return np.stack([series.read(index).pixels for index in range(len(series))])


def hu(order=UPWARDS):
    return FRAMES[list(order)].astype(int) - 1000


@pytest.mark.parametrize("syntax", NATIVE, ids=lambda syntax: syntax.name)
def test_frames_lie_from_the_feet_up_whatever_their_order_in_the_file(write, syntax):
    file = write(syntax=syntax)
    series = one(file)
    np.testing.assert_array_equal(pixels(series), hu())
    assert series.spacing_mm == (25, 0.7, 0.8)
    assert series.flags == ()
    assert series.is_stack
    assert series.files == (file,) * 5
    assert series.enhanced_file == file


@pytest.mark.parametrize("pack", PACKED, ids=lambda pack: pack.__name__)
@pytest.mark.parametrize(
    "syntax", [uid.JPEGLosslessSV1, uid.JPEGLSLossless, uid.JPEG2000Lossless, uid.HTJ2KLossless], ids=lambda s: s.name
)
def test_compressed_frames_are_found_with_any_table_or_none(write, syntax, pack):
    np.testing.assert_array_equal(pixels(one(write(syntax=syntax, pack=pack))), hu())


@pytest.mark.parametrize("has_table", [True, False])
def test_run_lengths_are_a_fragment_a_frame(write, has_table):
    file = write()
    dataset = pydicom.dcmread(file)
    dataset.compress(uid.RLELossless, generate_instance_uid=False)
    frames = list(generate_frames(dataset.PixelData, number_of_frames=5))
    dataset.PixelData = encapsulate(frames, has_bot=has_table)
    dataset.save_as(file)
    np.testing.assert_array_equal(pixels(one(file)), hu())


def test_a_file_of_another_program_has_the_values_that_pydicom_reads():
    file = Path(get_testdata_file("eCT_Supplemental.dcm", download=False))
    series = one(file)
    # A map of blood flow, and it says so.
    expected = pydicom.dcmread(file).pixel_array.astype(int) - 1024
    np.testing.assert_array_equal(pixels(series), np.maximum(expected, -1024))
    assert series.spacing_mm == (10, 0.388672, 0.388672)
    assert series.flags == ("not rescaled to HU",)


@pytest.mark.parametrize("name", ["emri_small.dcm", "color3d_jpeg_baseline.dcm", "liver.dcm", "OBXXXX1A_2frame.dcm"])
def test_frames_of_other_things_are_skipped_by_name(name):
    file = Path(get_testdata_file(name, download=False))
    found = open_series([file])
    (skipped,) = found.skipped
    assert skipped == (file, f"not a CT image ({pydicom.dcmread(file).SOPClassUID.name})")
    assert not found.series
    assert not found.failed


def test_each_frame_has_a_rescale_of_its_own(write):
    def rescale(number):
        return {
            "PixelValueTransformation": {"RescaleSlope": 2, "RescaleIntercept": -1000 - number, "RescaleType": "HU"}
        }

    series = one(write(per_frame=[of_frame(height, **rescale(n)) for n, height in enumerate(HEIGHTS)]))
    expected = np.stack([2 * frame.astype(int) - 1000 - n for n, frame in enumerate(FRAMES)])[list(UPWARDS)]
    np.testing.assert_array_equal(pixels(series), np.maximum(expected, -1024))


def test_frames_that_are_no_axial_slices_are_left_out_and_counted(write):
    per_frame = [of_frame(height) for height in HEIGHTS]
    scout = {"FrameType": ["ORIGINAL", "PRIMARY", "LOCALIZER", "NONE"]}
    per_frame[0] = of_frame(HEIGHTS[0], CTImageFrameType=scout)
    per_frame[2] = of_frame(HEIGHTS[2], PlaneOrientation={"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]})
    file = write(per_frame=per_frame)
    found = open_series([file])
    assert found.skipped == ((file, "1 of 5 frames: localizer"), (file, "1 of 5 frames: coronal reformat"))
    np.testing.assert_array_equal(pixels(found.series[0]), hu((4, 1, 3)))


def test_a_file_of_localizers_is_skipped(write):
    file = write(shared=SHARED | {"CTImageFrameType": {"FrameType": ["ORIGINAL", "PRIMARY", "LOCALIZER", "NONE"]}})
    found = open_series([file])
    assert (found.series, found.skipped) == ((), ((file, "localizer"),))


def test_frames_that_are_projections_are_said(write):
    file = write(shared=SHARED | {"CTImageFrameType": {"FrameType": ["DERIVED", "PRIMARY", "VOLUME", "MINIMUM"]}})
    assert one(file).flags == ("projection or subtraction",)


def test_each_stack_is_a_scan(write):
    stacks = ["A", "B", "A", "B", "A"]
    per_frame = [of_frame(h, FrameContent={"StackID": s}) for h, s in zip(HEIGHTS, stacks, strict=True)]
    lower, upper = open_series([write(per_frame=per_frame)]).series
    np.testing.assert_array_equal(pixels(lower), hu((4, 0, 2)))
    np.testing.assert_array_equal(pixels(upper), hu((1, 3)))
    assert (upper.spacing_mm, upper.flags) == ((25, 0.7, 0.8), ())


@pytest.mark.parametrize("is_dimension", [True, False])
def test_each_time_that_a_stack_was_taken_is_a_scan(write, is_dimension):
    """Frames alternate between two phases; the first of the second phase is missing."""
    heights, phases = (0, 0.02, 10, 10, 20), (2, 1, 1, 2, 1)
    if is_dimension:
        told = [{"StackID": "1", "DimensionIndexValues": [1, phase, n + 1]} for n, phase in enumerate(phases)]
        index = dimensions("StackID", "NominalPercentageOfCardiacPhase", "InStackPositionNumber")
    else:
        told, index = [{"StackID": "1", "TemporalPositionIndex": phase} for phase in phases], None
    per_frame = [of_frame(h, FrameContent=c) for h, c in zip(heights, told, strict=True)]
    first, second = open_series([write(per_frame=per_frame, DimensionIndexSequence=index)]).series
    np.testing.assert_array_equal(pixels(first), hu((1, 2, 4)))
    np.testing.assert_array_equal(pixels(second), hu((0, 3)))
    assert (first.flags, second.flags) == ((), ())


def test_frames_at_one_place_that_nothing_tells_apart_are_flagged(write):
    per_frame = [of_frame(height) for height in (0, 10, 10, 20, 30)]
    series = one(write(per_frame=per_frame))
    np.testing.assert_array_equal(pixels(series), hu(range(5)))
    assert series.flags == ("duplicate positions",)


def test_an_index_of_each_frame_tells_no_times_apart(write):
    """As in a scan of several steps of the table whose ends overlap."""
    per_frame = [
        of_frame(height, FrameContent={"DimensionIndexValues": [number, number]})
        for number, height in enumerate((0, 10, 10, 20, 30), start=1)
    ]
    index = dimensions("FrameAcquisitionNumber", "InStackPositionNumber")
    assert one(write(per_frame=per_frame, DimensionIndexSequence=index)).flags == ("duplicate positions",)


def part(number, of=2):
    return {"ConcatenationUID": "1.2.9", "InConcatenationNumber": number, "InConcatenationTotalNumber": of}


def test_the_parts_of_an_object_are_joined_and_called_by_the_first(write):
    second = write("a.dcm", frames=FRAMES[3:], per_frame=[of_frame(h) for h in HEIGHTS[3:]], **part(2))
    first = write("b.dcm", frames=FRAMES[:3], per_frame=[of_frame(h) for h in HEIGHTS[:3]], **part(1))
    (series,) = open_series([second, first]).series
    np.testing.assert_array_equal(pixels(series), hu())
    assert series.enhanced_file == first
    assert series.files == (second, first, second, first, first)
    assert series.flags == ()


def test_a_part_that_is_missing_is_flagged(write):
    series = one(write(frames=FRAMES[3:], per_frame=[of_frame(h) for h in HEIGHTS[3:]], **part(2)))
    assert series.flags == ("parts missing",)
    assert len(series) == 2


@pytest.mark.parametrize("how", [{}, {"syntax": uid.JPEG2000Lossless, "pack": without_table}, {"syntax": NATIVE[2]}])
def test_a_copy_of_an_object_counts_once_and_is_told(write, how):
    copy, file = (write(name, SOPInstanceUID="1.2.3.4", **of) for name, of in (("ct (1).dcm", how), ("ct.dcm", {})))
    found = open_series([copy, file])
    assert [series.enhanced_file for series in found.series] == [file]
    ((skipped, reason),) = found.skipped
    assert skipped == copy
    assert reason.startswith("copy")


def test_two_objects_of_one_instance_are_two_scans_where_a_frame_lies_elsewhere(write):
    moved = [of_frame(height) for height in (*HEIGHTS[:-1], -50)]
    files = [write("a.dcm", SOPInstanceUID="1.2.3.4"), write("b.dcm", moved, SOPInstanceUID="1.2.3.4")]
    assert [series.enhanced_file for series in open_series(files).series] == files


def test_a_file_of_one_frame_is_a_slice_as_any_other(write):
    files = [
        write(f"{n}.dcm", frames=FRAMES[n : n + 1], per_frame=[of_frame(height)]) for n, height in enumerate(HEIGHTS)
    ]
    (series,) = open_series(files).series
    np.testing.assert_array_equal(pixels(series), hu())
    assert series.enhanced_file is None
    assert series.files == tuple(files[n] for n in UPWARDS)


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ({"per_frame": [of_frame(0), of_frame(1)]}, "5 frames, but describes 2"),
        ({"per_frame": [groups()] * 5}, "where frame 1 lies"),
        ({"Rows": 23}, "it holds 3840 bytes of pixels, but 5 frames need 3680"),
        ({"Rows": None}, "lacks Rows"),
        ({"BitsAllocated": 32, "BitsStored": 32, "HighBit": 31}, "32"),
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, "colour"),
        ({"SOPClassUID": uid.CTImageStorage}, "5 frames in one file that is not an enhanced CT"),
    ],
)
def test_an_object_that_does_not_hold_together_is_refused_by_name(write, tags, said):
    with pytest.raises(UnreadableFile, match=rf"ct\.dcm: can't be used: .*{said}"):
        one(write(**tags))


def test_fragments_that_are_no_frames_are_refused(write):
    def of_four(dataset, frames):
        dataset.PixelData = encapsulate(frames[:4], has_bot=False)

    with pytest.raises(UnreadableFile, match="4 fragments of pixels, which do not make up 5 frames"):
        one(write(syntax=uid.JPEGLSLossless, pack=of_four))


@pytest.mark.parametrize(
    ("syntax", "pack"),
    [
        (uid.ExplicitVRLittleEndian, None),
        (uid.JPEGLosslessSV1, with_table),
        (uid.JPEG2000Lossless, with_extended_table),
    ],
)
def test_of_a_file_that_was_cut_off_the_frames_before_are_read(write, syntax, pack):
    file = write(syntax=syntax, pack=pack)
    whole = file.read_bytes()
    start = whole.index(b"\xe0\x7f\x10\x00")  # where PixelData begin
    for end in range(start + 12 + 60, len(whole) - 24, 97):
        file.write_bytes(whole[:end])
        series = one(file)
        read = {}
        for index, frame in enumerate(UPWARDS):
            with contextlib.suppress(UnreadableFile):
                read[frame] = series.read(index).pixels
        assert sorted(read) == list(range(len(read)))
        assert abs(len(read) - 5 * (end - start) / (len(whole) - start)) < 1.2
        for frame, seen in read.items():
            np.testing.assert_array_equal(seen, FRAMES[frame].astype(int) - 1000)


def test_tables_that_point_nowhere_are_no_frames(write):
    file = write(syntax=uid.JPEGLSLossless, pack=with_extended_table)
    dataset = pydicom.dcmread(file)
    dataset.ExtendedOffsetTable = np.array([0, 5, 2**40, 2**64 - 1, 100], "<u8").tobytes()
    dataset.save_as(file)
    series = one(file)
    for index, frame in enumerate(UPWARDS):
        if frame == 0:
            np.testing.assert_array_equal(series.read(index).pixels, FRAMES[0].astype(int) - 1000)
        else:
            with pytest.raises(UnreadableFile, match=r"ct\.dcm"):
                series.read(index)


@pytest.mark.parametrize(("syntax", "pack"), [(NATIVE[1], None), (uid.JPEGLosslessSV1, without_table_in_fragments)])
def test_a_frame_is_read_alone(write, syntax, pack):
    frames = FRAMES.repeat(8, 1).repeat(8, 2).repeat(8, 0)
    series = one(write(frames=frames, per_frame=[of_frame(n) for n in range(len(frames))], syntax=syntax, pack=pack))
    tracemalloc.start()
    try:
        series.read(0)
        assert tracemalloc.get_traced_memory()[1] < frames.nbytes / 4
    finally:
        tracemalloc.stop()


def test_phases_of_thin_slices_are_apart_too(write):
    heights, phases = (0, 0, 0.6, 0.6, 1.2), (2, 1, 1, 2, 1)
    told = [{"StackID": "1", "TemporalPositionIndex": phase} for phase in phases]
    per_frame = [of_frame(h, FrameContent=c) for h, c in zip(heights, told, strict=True)]
    first, second = open_series([write(per_frame=per_frame)]).series
    assert (len(first), len(second)) == (3, 2)


def test_a_deflated_object_is_inflated_once_for_all_its_frames(write, monkeypatch):
    opened = []
    series = one(write(syntax=uid.DeflatedExplicitVRLittleEndian))
    inflate = dicom_pixel_data._inflate
    monkeypatch.setattr(dicom_pixel_data, "_inflate", lambda *of: opened.append(of) or inflate(*of))
    with ThreadPoolExecutor(4) as pool:
        read = list(pool.map(series.read, range(len(series))))
    for frame, one_read in zip(UPWARDS, read, strict=True):
        np.testing.assert_array_equal(one_read.pixels, FRAMES[frame].astype(int) - 1000)
    assert len(opened) == 1
    series.close()
    series.read(0)
    assert len(opened) == 2
    series.close()
