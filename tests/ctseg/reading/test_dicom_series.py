import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from pydicom import dcmread, uid
from pydicom.encaps import get_frame

from ctseg.reading import open_series
from ctseg.reading.dicom_geometry import reach

DATA = Path(__file__).parents[4] / "shared" / "data" / "series"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the real series are not here")


@pytest.fixture
def write_stack(write_dicom, tmp_path):
    """Write slices whose lowest value is -1000 + their number; `tags_of(n)` gives the tags of each."""

    def write(count, tags_of, names=None):
        for n in range(count):
            hu = np.full((4, 5), -1000 + n, np.int16)
            write_dicom(tmp_path / f"{names[n] if names else n}.dcm", hu, **tags_of(n))
        return sorted(tmp_path.glob("*.dcm"))

    return write


def order(series):
    """The numbers of the slices, in the order of the scan."""
    return [int(series.read(index).pixels.min()) + 1000 for index in range(len(series))]


def one(files):
    found = open_series(files)
    assert not found.failed
    (series,) = found.series
    return series


def test_slices_lie_from_the_feet_up_whatever_the_files_are_called(write_stack):
    names = ["q", "a", "z", "m", "b"]
    series = one(write_stack(5, lambda n: {"ImagePositionPatient": [0, 0, -100 + 2.5 * n]}, names))
    assert order(series) == [0, 1, 2, 3, 4]
    assert [file.stem for file in series.files] == names
    assert series.spacing_mm == (2.5, 0.7, 0.8)  # not the SliceThickness of 5
    assert series.flags == ()
    assert series.is_stack


def test_a_stack_that_was_scanned_from_the_head_is_turned(write_stack):
    assert order(one(write_stack(4, lambda n: {"ImagePositionPatient": [0, 0, -3 * n]}))) == [3, 2, 1, 0]


@pytest.mark.parametrize(
    ("orientation", "side"),
    [
        ([1, 0, 0, 0, 1, 0], "left"),
        ([0.98, 0.19, 0, -0.19, 0.98, 0], "left"),
        ([-1, 0, 0, 0, -1, 0], "right"),
        ([-1, 0, 0, 0, 1, 0], "right"),
        ([0, 1, 0, -1, 0, 0], "bottom"),
        ([0, -1, 0, 1, 0, 0], "top"),
        (None, None),
    ],
)
def test_the_patients_right_is_where_the_orientation_says(write_stack, orientation, side):
    tags = {"ImageOrientationPatient": orientation}
    assert one(write_stack(2, lambda n: {"ImagePositionPatient": [0, 0, n], **tags})).patients_right == side


def test_oblique_slices_are_sorted_along_their_normal(write_stack):
    """Turned by 20 degrees about the left-right axis; z alone would give the same distance, but too small."""
    sin, cos = math.sin(math.radians(20)), math.cos(math.radians(20))
    normal = np.array([0, -sin, cos])
    series = one(
        write_stack(
            4,
            lambda n: {
                "ImageOrientationPatient": [1, 0, 0, 0, cos, sin],
                "ImagePositionPatient": [round(float(v), 6) for v in 3.0 * n * normal],
            },
        )
    )
    assert order(series) == [0, 1, 2, 3]
    assert series.spacing_mm == pytest.approx((3.0, 0.7, 0.8))
    assert series.flags == ("oblique",)


def test_that_no_slice_says_how_it_is_turned_is_told(write_stack):
    tags = [{"ImagePositionPatient": [0, 0, 5 * number], "ImageOrientationPatient": None} for number in range(3)]
    assert one(write_stack(3, lambda n: tags[n])).flags == ("orientation unknown",)


def test_without_positions_the_slice_location_tells(write_stack):
    series = one(write_stack(4, lambda n: {"ImagePositionPatient": None, "SliceLocation": [30, 10, 40, 20][n]}))
    assert order(series) == [1, 3, 0, 2]
    assert series.spacing_mm == (10, 0.7, 0.8)
    assert series.flags == ("order by SliceLocation",)


@pytest.mark.parametrize("told", ["SliceLocation", "InstanceNumber"])
@pytest.mark.parametrize("lost", [{0}, {2}, {5}, {1, 3, 4}])
def test_slices_without_a_position_lie_where_the_others_say(write_stack, told, lost):
    """SliceLocation and InstanceNumber run to the feet here; a tilted gantry shifts the slices."""
    heights = [10, 0, 50, 30, 20, 40]

    def tags_of(n):
        place = None if n in lost else [-100, heights[n] / 5, heights[n]]
        return {"ImagePositionPatient": place, told: 9 - heights[n] // (10 if told == "InstanceNumber" else 1)}

    series = one(write_stack(6, tags_of))
    assert order(series) == [1, 0, 4, 3, 5, 2]
    assert series.spacing_mm == (10, 0.7, 0.8)
    assert set(series.flags) == {"gantry tilt", f"order by {told}"}
    for n, found in zip(order(series), series.slices, strict=True):
        assert found.position == pytest.approx((-100, heights[n] / 5, heights[n]))


def test_a_position_that_contradicts_the_others_places_nothing(write_stack):
    """What SliceLocation says can't be turned to positions."""
    heights = [0, 10, 50, 30]
    series = one(
        write_stack(
            5, lambda n: {"ImagePositionPatient": [0, 0, heights[n]] if n < 4 else None, "SliceLocation": 10 * n}
        )
    )
    assert order(series) == [0, 1, 2, 3, 4]
    assert series.flags == ("order by SliceLocation",)


def test_without_either_the_instance_number_tells_the_order_from_the_head_and_nothing_the_distance(write_stack):
    series = one(write_stack(3, lambda n: {"ImagePositionPatient": None, "InstanceNumber": [10, 9, 2][n]}))
    assert order(series) == [0, 1, 2]
    assert series.spacing_mm is None
    assert series.flags == ("order by InstanceNumber",)


@pytest.mark.parametrize("numbers", [[None] * 12, [None, *range(11)]], ids=["none", "all but one"])
def test_where_nothing_tells_all_places_names_do_as_people_count(write_stack, numbers):
    """So 10 comes after 2, and a number that not all slices have orders none."""
    names = [f"IM{n}" for n in range(12)]
    tags = {"ImagePositionPatient": None}
    series = one(write_stack(12, lambda n: {**tags, "InstanceNumber": numbers[n]}, names))
    assert order(series) == list(range(12))
    assert series.flags == ("order by file name",)


@pytest.mark.parametrize("place", [[0, 0, 0], [-100, -120, 30]])
def test_one_position_for_all_is_none_where_the_slice_location_tells_them_apart(write_stack, place):
    series = one(write_stack(4, lambda n: {"ImagePositionPatient": place, "SliceLocation": [30, 10, 40, 20][n]}))
    assert order(series) == [1, 3, 0, 2]
    assert series.spacing_mm == (10, 0.7, 0.8)
    assert series.flags == ("order by SliceLocation",)


@pytest.mark.parametrize(("position", "location"), [([0, 0, 0], None), ([0, 0, 0], 0), (None, 0)])
def test_at_0_all_of_them_the_instance_number_tells_the_order_from_the_head(write_stack, position, location):
    tags = {"ImagePositionPatient": position, "SliceLocation": location}
    series = one(write_stack(3, lambda n: {**tags, "InstanceNumber": [10, 9, 2][n]}))
    assert order(series) == [0, 1, 2]
    assert series.spacing_mm is None
    assert series.flags == ("order by InstanceNumber",)


def test_a_place_that_is_scanned_again_and_again_is_one_place(write_stack):
    """As while a bolus is waited for."""
    tags = {"ImagePositionPatient": [-100, -120, 30]}
    for locations in ((30, 30, 30), (30, 30.01, 30), (30, None, 30)):
        series = one(write_stack(3, lambda n, to=locations: {**tags, "SliceLocation": to[n], "InstanceNumber": n}))
        assert series.flags == ("duplicate positions",)


def test_a_single_slice_is_as_thick_as_it_says(write_stack):
    assert one(write_stack(1, lambda n: {})).spacing_mm == (5, 0.7, 0.8)


def test_a_spacing_that_is_no_number_is_unknown(write_stack):
    assert one(write_stack(2, lambda n: {"PixelSpacing": None, "ImagePositionPatient": [0, 0, n]})).spacing_mm is None


@pytest.mark.parametrize(
    "tags",
    [
        {"ImagePositionPatient": [0, 0, 1e308]},
        {"ImagePositionPatient": None, "SliceLocation": 1e308},
        {"ImageOrientationPatient": [1e200, 0, 0, 0, 1e200, 0]},
        {"PixelSpacing": [1e300, 1e300]},
    ],
)
def test_numbers_that_are_no_place_overflow_nothing(write_stack, tags):
    series = one(write_stack(3, lambda n: {"ImagePositionPatient": [0, 0, 2 * n]} | (tags if n == 1 else {})))
    assert len(series) == 3
    assert series.spacing_mm is None or np.isfinite(np.prod(series.spacing_mm))
    assert series.flags or series.spacing_mm == (2, 0.7, 0.8)


@pytest.mark.parametrize(
    ("heights", "flag", "between"),
    [
        ([0, 2, 4, 8, 10], "gap", 2),
        ([0, 2, 4, 6, 26.15], "gap", 2),
        ([0, 2, 2, 4, 6], "duplicate positions", 2),
        ([0, 2, 2.05, 4, 6], "duplicate positions", 2),
        ([0, 1, 6, 11, 16], "uneven spacing", 4),
        ([0, 5, 10, 13, 15], "uneven spacing", 3.75),
        ([0, 2, 4, 6, 26.9], "uneven spacing", 2),
        ([0, 2, 4, 8, 12], "uneven spacing", 3),
    ],
)
def test_what_is_doubtful_is_said(write_stack, heights, flag, between):
    series = one(write_stack(5, lambda n: {"ImagePositionPatient": [0, 0, heights[n]]}))
    assert series.flags == (flag,)
    assert series.spacing_mm[0] == between


@pytest.mark.parametrize("step", [0.3125, 0.33, 0.45, 0.625, 1.25, 1.375])
def test_slices_whose_positions_were_rounded_are_as_far_apart_as_they_were(write_stack, step):
    """By the median of the rounded steps, a scan at 0.45 mm would be 11 % too small."""
    series = one(write_stack(61, lambda n: {"ImagePositionPatient": [0, 0, round(-151.3 + n * step, 1)]}))
    assert series.spacing_mm[0] == pytest.approx(step, abs=0.1 / 60)
    assert series.flags == ()


def test_slices_may_be_missing_among_rounded_positions(write_stack):
    heights = [round(n * 0.625, 1) for n in range(300) if n not in (216, 263, 281)]
    series = one(write_stack(297, lambda n: {"ImagePositionPatient": [0, 0, heights[n]]}))
    assert series.flags == ("gap",)
    assert series.spacing_mm[0] == pytest.approx(0.625, abs=0.001)


def test_a_slice_that_does_not_say_its_study_is_of_that_of_its_series(write_stack):
    tags = [{"StudyInstanceUID": study} for study in ("1.2", None, "1.2")]
    assert one(write_stack(3, lambda n: {**tags[n], "ImagePositionPatient": [0, 0, n]})).flags == ()


def test_a_tilted_gantry_is_said(write_stack):
    """The slices stand upright, but each lies a little further back than the one before."""
    series = one(write_stack(3, lambda n: {"ImagePositionPatient": [0, n, 3 * n]}))
    assert series.flags == ("gantry tilt",)
    assert series.spacing_mm[0] == 3


@pytest.mark.parametrize(("unit", "flags"), [("HU", ()), ("hu", ()), ("US", ()), ("MGML", ("not rescaled to HU",))])
def test_a_unit_that_is_not_hounsfields_is_said(write_stack, unit, flags):
    """US is unspecified, as GDCM writes it."""
    assert one(write_stack(2, lambda n: {"ImagePositionPatient": [0, 0, n], "RescaleType": unit})).flags == flags


@pytest.mark.parametrize(
    ("types", "flags"),
    [
        (["DERIVED", "SECONDARY", "AXIAL", "CT_SOM5 MIP"], ("projection or subtraction",)),
        (["DERIVED", "SECONDARY", "REFORMATTED", "MIN IP"], ("projection or subtraction",)),
        (["DERIVED", "SECONDARY", "MINIP"], ("projection or subtraction",)),
        (["DERIVED", "SECONDARY", "PROJECTION IMAGE"], ("projection or subtraction",)),
        (["DERIVED", "SECONDARY", "AXIAL", "MAXIP"], ("projection or subtraction",)),
        (["DERIVED", "PRIMARY", "VOLUME", "MAXIMUM"], ("projection or subtraction",)),
        (["DERIVED", "SECONDARY", "SUBTRACTION"], ("projection or subtraction",)),
        (["DERIVED", "SECONDARY", "MPR", "AVERAGE"], ()),
        (["DERIVED", "PRIMARY", "VOLUME", "MEAN"], ()),
        (["DERIVED", "PRIMARY", "RESAMPLED"], ()),
        (["DERIVED", "SECONDARY", "AXIAL", "CT_SOM5 SPI"], ()),
        (["ORIGINAL", "PRIMARY", "AXIAL", "CHIMIP"], ()),
    ],
)
def test_projections_and_subtractions_are_said(write_stack, types, flags):
    assert one(write_stack(2, lambda n: {"ImagePositionPatient": [0, 0, n], "ImageType": types})).flags == flags


def test_one_projection_among_plain_slices_is_said(write_stack):
    types = [["ORIGINAL", "PRIMARY", "AXIAL"], ["DERIVED", "SECONDARY", "MIP"], ["ORIGINAL", "PRIMARY", "AXIAL"]]
    series = one(write_stack(3, lambda n: {"ImagePositionPatient": [0, 0, n], "ImageType": types[n]}))
    assert series.flags == ("projection or subtraction",)


@pytest.mark.parametrize(
    ("description", "flags"),
    [
        ("AX MIP LUNG", ("projection or subtraction",)),
        ("Thorax MinIP 5mm", ("projection or subtraction",)),
        ("lung_mips", ("projection or subtraction",)),
        ("AX MAX IP 8mm", ("projection or subtraction",)),
        ("THX maximum inspiration", ()),
        ("THINS FOR MIPS", ()),
        ("Thorax 1.0 B60 (MIP source)", ()),
        ("no MIP", ()),
        ("chimip", ()),
    ],
)
def test_a_projection_may_be_called_one_by_its_description_alone(write_stack, description, flags):
    series = one(write_stack(2, lambda n: {"ImagePositionPatient": [0, 0, n], "SeriesDescription": description}))
    assert series.flags == flags


@pytest.mark.parametrize(
    ("acquisitions", "flags"),
    [
        ([1, 2, 1, 2, 1, 2], ("several acquisitions",)),
        ([1, 1, 1, 2, 2, 2], ()),
        ([1, 1, 2, 1, 2, 2], ()),  # the second begins a little before the first has ended
        ([1, 1, 1, 1, 2, 1, 2, 1, 2, 2, 2, 2], ()),
        ([1, 1, 2, 2, 2, 1], ("several acquisitions",)),  # within the other
        ([6, 5, 4, 3, 2, 1], ()),  # each slice by itself
        ([None] * 6, ()),
    ],
)
def test_acquisitions_that_alternate_are_said(write_stack, acquisitions, flags):
    tags = [{"ImagePositionPatient": [0, 0, n], "AcquisitionNumber": number} for n, number in enumerate(acquisitions)]
    assert one(write_stack(len(tags), lambda n: tags[n])).flags == flags


@pytest.mark.parametrize(
    ("tag", "values", "flags"),
    [
        ("FrameOfReferenceUID", ["1.2", "1.2", "1.3"], ("several acquisitions",)),
        ("FrameOfReferenceUID", ["1.2", "1.2", None], ()),
        ("PatientID", ["a", "a", "b"], ("several patients",)),
        ("PatientID", ["a", "a", None], ()),
    ],
)
def test_slices_that_can_not_be_of_one_scan_are_said(write_stack, tag, values, flags):
    series = one(write_stack(3, lambda n: {"ImagePositionPatient": [0, 0, n], tag: values[n]}))
    assert series.flags == flags


def test_slices_that_are_shifted_in_the_middle_are_said(write_stack):
    shifts = [0, 0, 1.5, 1.5, 0, 0]
    assert one(write_stack(6, lambda n: {"ImagePositionPatient": [shifts[n], 0, 2 * n]})).flags == ("gantry tilt",)


def test_pictures_of_several_sizes_about_one_centre_are_no_shift(write_stack):
    def tags(n):
        size = 0.8 if n in (2, 3) else 0.4
        corner = [-2.5 * size, -2 * size, 3 * n]
        return {"ImagePositionPatient": corner, "PixelSpacing": [size, size]}

    assert one(write_stack(6, tags)).flags == ("mixed pixel spacing",)


def test_pictures_of_another_size_at_one_end_are_no_tilt(write_stack):
    def tags(n):
        size = 0.8 if n > 3 else 0.4
        return {"ImagePositionPatient": [-2 * size, -1.5 * size, n], "PixelSpacing": [size, size]}

    assert one(write_stack(6, tags)).flags == ("mixed pixel spacing",)


def test_pictures_of_several_sizes_may_have_no_positions(write_stack):
    series = one(write_stack(3, lambda n: {"SliceLocation": 3 * n, "PixelSpacing": [0.4 + 0.1 * n] * 2}))
    assert set(series.flags) >= {"order by SliceLocation", "mixed pixel spacing"}


def test_rounded_positions_are_no_shift(write_stack):
    assert one(write_stack(7, lambda n: {"ImagePositionPatient": [0.4 * (n % 2), 0, 2 * n]})).flags == ()


def test_mixed_sizes_and_spacings_are_said(write_dicom, tmp_path):
    files = [
        write_dicom(
            tmp_path / f"{n}.dcm", np.zeros((4, 4 + n), np.int16),
            ImagePositionPatient=[0, 0, n], PixelSpacing=[0.7, 0.7 + n / 10],
        )
        for n in range(2)
    ]  # fmt: skip
    assert one(files).flags == ("mixed sizes", "mixed pixel spacing")


@pytest.mark.parametrize("odd", [None, [0.705, 0.705]])
def test_pixels_of_another_size_are_said_however_little_they_differ_and_where_a_slice_does_not_tell(write_stack, odd):
    sizes = [[0.7, 0.7], odd, [0.7, 0.7]]
    series = one(write_stack(3, lambda n: {"ImagePositionPatient": [0, 0, n], "PixelSpacing": sizes[n]}))
    assert series.flags == ("mixed pixel spacing",)


def test_a_series_covers_half_a_slice_more_on_either_side(write_stack):
    series = one(write_stack(3, lambda n: {"ImagePositionPatient": [0, 0, 5 * n]}))
    assert reach(series.slices) == (-2.5, 12.5)


def test_pixels_that_are_written_with_other_digits_are_of_one_size(write_stack):
    series = one(
        write_stack(3, lambda n: {"ImagePositionPatient": [0, 0, n], "PixelSpacing": [1.53125, 1.53125 + 1e-6 * n]})
    )
    assert (series.flags, series.weights) == ((), None)
    assert series.grid().shape == (3, 4, 5)


def test_two_series_in_a_folder_are_kept_apart(write_stack):
    def tags_of(n):
        return {
            "SeriesInstanceUID": f"1.2.{n % 2}",
            "SeriesNumber": 9 - n % 2,
            "SeriesDescription": ["soft", "sharp"][n % 2],
            "ImagePositionPatient": [0, 0, n],
        }

    found = open_series(write_stack(6, tags_of))
    assert [(s.uid, s.number, s.description) for s in found.series] == [("1.2.1", 8, "sharp"), ("1.2.0", 9, "soft")]
    assert [order(s) for s in found.series] == [[1, 3, 5], [0, 2, 4]]


def test_what_is_no_axial_ct_is_skipped_by_name(write_dicom, tmp_path):
    hu = np.zeros((4, 4), np.int16)
    others = {
        "scout": ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "localizer"),
        "mr": ({"SOPClassUID": uid.MRImageStorage, "Modality": "MR"}, "MR Image Storage"),
        "capture": ({"SOPClassUID": uid.SecondaryCaptureImageStorage}, "Secondary Capture Image Storage"),
        "sagittal": ({"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]}, "sagittal reformat"),
        "coronal": ({"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}, "coronal reformat"),
    }
    for name, (tags, _) in others.items():
        write_dicom(tmp_path / f"{name}.dcm", hu, **tags)
    kept = write_dicom(tmp_path / "axial.dcm", hu)
    found = open_series(sorted(tmp_path.iterdir()))
    assert [series.files for series in found.series] == [(kept,)]
    skipped = {file.stem: reason for file, reason in found.skipped}
    assert skipped.keys() == others.keys()
    assert all(said in skipped[name] for name, (_, said) in others.items())


UNTOLD = {"RescaleSlope": None, "RescaleIntercept": None}


def test_without_a_rescale_all_slices_are_hounsfield_where_any_goes_low(write_dicom, tmp_path):
    lowest = (-1000, -100, 20, -1000, -150, -900)
    stored = [np.linspace(low, 400, 30 * 20, dtype=np.int16).reshape(30, 20) for low in lowest]
    for n, hu in enumerate(stored):
        write_dicom(tmp_path / f"{n}.dcm", hu, ImagePositionPatient=[0, 0, n], **UNTOLD)
    series = one(sorted(tmp_path.iterdir()))
    with ThreadPoolExecutor() as pool:
        seen = list(pool.map(series.read, range(len(series))))
    assert {one.domain for one in seen} == {"hu"}
    np.testing.assert_array_equal([one.pixels for one in seen], stored)


def test_without_a_rescale_all_slices_have_one_range_of_grey(write_dicom, tmp_path):
    for n in range(3):
        wide = np.full((40, 40), 1000 * n, np.uint16)
        write_dicom(tmp_path / f"{n}.dcm", wide, ImagePositionPatient=[0, 0, n], **UNTOLD)
    series = one(sorted(tmp_path.iterdir()))
    assert [series.read(index).pixels[0, 0] for index in range(3)] == [0, 128, 255]


def test_one_bad_file_fails_alone(write_stack):
    files = write_stack(3, lambda n: {"ImagePositionPatient": [0, 0, n]})
    files[1].write_bytes(b"")
    found = open_series(files)
    assert [error.file for error in found.failed] == [files[1]]
    assert [len(series) for series in found.series] == [2]


@needs_data
@pytest.mark.parametrize(
    ("name", "count", "within"), [("covid_p001", 148, 0.748046875), ("normal_001", 154, 0.634765625)]
)
def test_a_real_series_is_whole_and_in_order(name, count, within):
    files = sorted((DATA / name).iterdir())
    series = one(files)
    assert len(series) == count
    assert series.spacing_mm == pytest.approx((2.0, within, within))
    assert series.flags == ()
    heights = {file: float(dcmread(file, stop_before_pixels=True).ImagePositionPatient[2]) for file in files}
    assert list(series.files) == sorted(files, key=heights.__getitem__)


@needs_data
def test_real_pixels_are_those_that_another_codec_decodes():
    """By liblj92, which shares nothing with libjpeg-turbo."""
    series = one(sorted((DATA / "covid_p001").iterdir())[:9])
    for index in (0, 4, 8):
        dataset = dcmread(series.files[index])
        stored = imagecodecs.ljpeg_decode(get_frame(dataset.PixelData, 0, number_of_frames=1)).astype(np.int32)
        if dataset.PixelRepresentation:
            stored = stored.astype(np.uint16).view(np.int16).astype(np.int32)
        hu = stored * int(dataset.RescaleSlope) + int(dataset.RescaleIntercept)
        np.testing.assert_array_equal(series.read(index).pixels, np.maximum(hu, -1024))


@pytest.mark.parametrize(("degrees", "flags"), [(0.7, ()), (1.3, ("gantry tilt",))])
def test_a_gantry_is_tilted_from_one_degree_on(write_stack, degrees, flags):
    rise = 10 * math.tan(math.radians(degrees))
    assert one(write_stack(3, lambda n: {"ImagePositionPatient": [0, round(rise * n, 4), 10 * n]})).flags == flags


@pytest.mark.parametrize(("degrees", "flags"), [(0.7, ()), (1.3, ("oblique",))])
def test_slices_are_oblique_from_one_degree_on(write_stack, degrees, flags):
    sin, cos = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    tags = {"ImageOrientationPatient": [1, 0, 0, 0, round(cos, 8), round(sin, 8)]}
    series = one(
        write_stack(3, lambda n: {**tags, "ImagePositionPatient": [0, round(-3 * n * sin, 6), round(3 * n * cos, 6)]})
    )
    assert series.flags == flags


def test_a_tilt_is_told_by_the_ends_where_pictures_are_of_several_sizes(write_stack):
    def tags(n):
        size = 0.8 if n in (2, 3) else 0.4
        return {"ImagePositionPatient": [-2.5 * size, -2 * size + n, 3 * n], "PixelSpacing": [size, size]}

    assert set(one(write_stack(6, tags)).flags) == {"gantry tilt", "mixed pixel spacing"}


@pytest.mark.parametrize("thickness", [0, -5, 2000])
def test_a_single_slice_of_an_impossible_thickness_has_no_spacing(write_stack, thickness):
    assert one(write_stack(1, lambda n: {"SliceThickness": thickness})).spacing_mm is None


def test_a_slice_that_lies_astray_moves_no_end_of_what_a_series_covers(write_stack):
    heights = [0, 5, 10, 15, 20, 525]
    series = one(write_stack(6, lambda n: {"ImagePositionPatient": [0, 0, heights[n]]}))
    assert reach(series.slices) == pytest.approx((-2.5, 27.5))
