"""What a scan's figures rest on is told with them: gaps, tilts, mixtures; and what beside it is no slice."""

import csv
import json
import shutil

import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK
from pydicom import uid
from pydicom.data import get_testdata_file

from ctseg_batch import Segmenter


@pytest.fixture(scope="module")
def whole(save_series, draw, tmp_path_factory):
    labels = np.stack([draw(seed, 64, 64) for seed in range(6)])
    folder = tmp_path_factory.mktemp("whole")
    save_series(folder, labels, stems="abcdef")
    return folder, labels


@pytest.fixture
def series(whole, tmp_path):
    """Six slices, 64 x 64, feet first, to be spoilt; and their labels."""
    folder, labels = whole
    return sorted(shutil.copytree(folder, tmp_path / "in/ct").iterdir()), labels


def change(file, **tags):
    dataset = pydicom.dcmread(file)
    for tag, value in tags.items():
        setattr(dataset, tag, value)
    dataset.save_as(file)


def moved(file, by):
    place = pydicom.dcmread(file).ImagePositionPatient
    change(file, ImagePositionPatient=[x + d for x, d in zip(place, by, strict=True)])


def lose_one(files):
    files[2].unlink()


def space_unevenly(files):
    for file, height in zip(files, (0, 1, 2, 7, 12, 17), strict=True):
        change(file, ImagePositionPatient=[0, 0, height])


def damage_one(files):
    files[2].write_bytes(b"damaged")


def cut_one_short(files):
    files[2].write_bytes(files[2].read_bytes()[:-100])


def put_one_on_another(files):
    change(files[3], ImagePositionPatient=list(pydicom.dcmread(files[2]).ImagePositionPatient))


def tilt(files):
    for number, file in enumerate(files):
        moved(file, [0, 1.5 * number, 0])


def turn_one(files):
    change(files[4], ImageOrientationPatient=[1, 0, 0, 0, 0.98, 0.199])


def turn_one_in_its_plane(files):
    dataset = pydicom.dcmread(files[4])
    left, back, head = dataset.ImagePositionPatient
    rows, columns = (63 * step for step in dataset.PixelSpacing)
    change(
        files[4],
        ImageOrientationPatient=[-1, 0, 0, 0, -1, 0],
        ImagePositionPatient=[left + columns, back + rows, head],
        PixelData=dataset.pixel_array[::-1, ::-1].tobytes(),
    )


def stretch_one(files):
    change(files[4], PixelSpacing=[0.5, 0.5])


def halve_one(files):
    change(files[4], Rows=32, PixelData=pydicom.dcmread(files[4]).PixelData[: 32 * 64 * 2])


def lose_all_places(files):
    for file in files:
        dataset = pydicom.dcmread(file)
        del dataset.ImagePositionPatient
        dataset.save_as(file)


@pytest.mark.parametrize(
    ("spoil", "flag"),
    [
        (lose_one, "gap"),
        (damage_one, "gap"),
        (cut_one_short, "1 slice failed"),
        (space_unevenly, "uneven spacing"),
        (put_one_on_another, "duplicate positions"),
        (tilt, "gantry tilt"),
        (turn_one, "mixed orientations"),
        (turn_one_in_its_plane, "mixed orientations"),
        (stretch_one, "mixed pixel spacing"),
        (halve_one, "mixed sizes"),
        (lose_all_places, "order by SliceLocation"),
    ],
)
def test_a_volume_over_a_doubtful_geometry_says_so(batch, command, series, tmp_path, spoil, flag):
    files, _ = series
    assert flag not in batch(tmp_path / "in", out=tmp_path / "before").scan["flags"]
    spoil(files)
    done = batch(tmp_path / "in")
    assert done.scan["volumes_ml"] is not None
    assert flag in done.scan["flags"]
    assert flag in (done.out / "summary.csv").read_text()
    told = command(tmp_path / "in", "--out", done.out).err
    assert flag in next(line for line in told.splitlines() if line.startswith("doubtful: ct: "))


@pytest.mark.parametrize("said", [None, ["9e9", "0", "0"], [1, 2]])
def test_a_slice_that_lost_its_place_is_where_it_was(batch, series, tmp_path, said):
    """Its SliceLocation runs to the feet, as tables count."""
    files, _ = series
    for file in files:
        change(file, SliceLocation=-pydicom.dcmread(file).ImagePositionPatient[2])
    kinds = ["mask", "nifti", "dicom-seg"]
    whole = batch(tmp_path / "in", write=kinds, out=tmp_path / "before")
    dataset = pydicom.dcmread(files[2])
    lost = list(dataset.ImagePositionPatient)
    dataset.ImagePositionPatient = said
    dataset.save_as(files[2])
    done = batch(tmp_path / "in", write=kinds)
    assert done.scan == {**whole.scan, "flags": [*done.scan["flags"][:1], *whole.scan["flags"]]}
    assert done.scan["flags"][0] == "order by SliceLocation"
    one, other = (nibabel.load(run.out / "nifti/ct/ct.nii.gz") for run in (whole, done))
    np.testing.assert_allclose(other.affine, one.affine, atol=1e-3)
    np.testing.assert_array_equal(other.dataobj, one.dataobj)
    (segmentation,) = (pydicom.dcmread(file) for file in done.out.rglob("dicom-seg/**/*.dcm"))
    frames = segmentation.PerFrameFunctionalGroupsSequence
    places = [frame.PlanePositionSequence[0].ImagePositionPatient for frame in frames]
    assert any(np.allclose(place, lost, atol=1e-3) for place in places)
    assert np.abs(np.array(places, float)).max() < 1000


SEVERAL_FOLDERS = "other files of the series in another folder"


@pytest.mark.parametrize("is_copied", [False, True])
def test_a_series_in_several_folders_says_so_in_each(batch, series, save_series, counted, tmp_path, is_copied):
    """As a CD has it that begins a folder every so many files; or copied, so that totals count it twice."""
    files, labels = series
    alone = batch(tmp_path / "in").scan
    save_series(tmp_path / "in/other", labels[:2], seed=1)
    (tmp_path / "in/more").mkdir()
    for file in files[3:]:
        (shutil.copy if is_copied else shutil.move)(file, tmp_path / "in/more")
    counted()
    done = batch(tmp_path / "in")
    assert counted() == (5 if is_copied else 8)  # what was done before is flagged, too
    flagged = {name: SEVERAL_FOLDERS in scan["flags"] for name, scan in done.scans.items()}
    assert flagged == {"ct": True, "more": True, "other": False}
    assert batch(tmp_path / "in").summary["scans"] == done.summary["scans"]
    for file in files[3:]:
        (tmp_path / "in/more" / file.name).replace(file)
    assert batch(tmp_path / "in").scans["ct"] == alone


def test_a_folder_of_many_images_is_hounsfield_as_a_whole(batch, save, counted, tmp_path):
    """Between -100 and 50 all is tissue, and black and white where it is taken for grey."""
    tissue = np.repeat(np.array([-100, 50], np.int16), 8)[:, None].repeat(16, 1)
    for number in range(270):
        save(tmp_path / f"in/{number}.npy", tissue)
    grey = batch(tmp_path / "in")
    assert np.unique(grey.masks["269.npy.png"]).tolist() == [0, 3]
    save(tmp_path / "in/0.npy", tissue - np.int16(800))
    counted()
    hounsfield = batch(tmp_path / "in")
    assert counted() == 270
    assert {tuple(np.unique(hounsfield.masks[f"{number}.npy.png"])) for number in range(1, 270)} == {(3,)}
    save(tmp_path / "in/1.npy", tissue)
    batch(tmp_path / "in")
    assert counted() == 256  # it tells nothing of the others


def test_series_without_a_uid_are_not_parts_of_one(batch, save_series, draw, tmp_path):
    for name in "ab":
        save_series(tmp_path / f"in/{name}", draw(0, 64, 64)[None], SeriesInstanceUID="")
    assert all(SEVERAL_FOLDERS not in scan["flags"] for scan in batch(tmp_path / "in").scans.values())


@pytest.mark.parametrize("uid", ["1.2.3", ""])
def test_two_studies_under_one_series_uid_are_two_scans(batch, save_series, tmp_path, uid, speck):
    """As exports have it that make series UIDs up, or leave them out."""
    patients = [speck, speck[:2]]
    for number, labels in enumerate(patients):
        stems = [f"{number}-{place}" for place in range(len(labels))]
        save_series(tmp_path / f"alone/{number}", labels, stems, seed=number, SeriesInstanceUID=uid)
        save_series(tmp_path / "in/ct", labels, stems, seed=number, SeriesInstanceUID=uid)
    alone = batch(tmp_path / "alone", out=tmp_path / "before")
    done = batch(tmp_path / "in", write=("mask", "dicom-seg"))
    assert [scan["slices"] for scan in done.scans.values()] == [scan["slices"] for scan in alone.scans.values()]
    assert [scan["pixels"] for scan in done.scans.values()] == [scan["pixels"] for scan in alone.scans.values()]
    for scan in (*alone.scans.values(), *done.scans.values()):
        assert SEVERAL_FOLDERS not in scan["flags"]
    made = [pydicom.dcmread(file) for file in done.out.rglob("dicom-seg/**/*.dcm")]
    assert len(made) == len({one.SeriesInstanceUID for one in made}) == 2
    again = batch(tmp_path / "in", write=("mask", "dicom-seg"))
    assert again.summary["scans"] == done.summary["scans"]
    assert again.summary["throughput"]["slices"] == 0


def test_a_volume_of_numbers_that_can_be_no_hu_says_so(batch, save_volume, draw, tmp_path):
    labels = np.stack([draw(seed) for seed in range(3)])
    save_volume(tmp_path / "in/hu.nii", labels)
    save_volume(tmp_path / "in/grey.nii", labels, truth=True)
    done = batch(tmp_path / "in")
    assert [name for name, scan in done.scans.items() if "not rescaled to HU" in scan["flags"]] == ["grey.nii"]


def test_images_of_numbers_that_can_be_no_hu_say_so(batch, save, draw, tmp_path):
    for seed in range(3):
        save(tmp_path / f"in/hu/{seed}.npy", draw(seed).astype(np.int16) * 300 - 900)
        save(tmp_path / f"in/grey/{seed}.npy", draw(seed).astype(np.int16) * 300)
        save(tmp_path / f"in/16-bit/{seed}.png", draw(seed).astype(np.uint16) * 300 + 124)
        save(tmp_path / f"in/8-bit/{seed}.png", draw(seed) * 80)
    save(tmp_path / "in/single/0.npy", draw().astype(np.int16) * 300)
    done = batch(tmp_path / "in")
    said = {name for name, scan in done.scans.items() if "not rescaled to HU" in scan["flags"]}
    assert said == {"grey", "16-bit", "single"}


@pytest.mark.parametrize(("representation", "flagged"), [(1, False), (0, True)])
def test_a_series_whose_signed_numbers_are_said_to_be_unsigned_says_so(
    batch, series, tmp_path, representation, flagged
):
    files, _ = series
    for file in files:
        dataset = pydicom.dcmread(file)
        hu = dataset.pixel_array.astype(np.int16) + np.int16(dataset.RescaleIntercept)
        dataset.PixelData = hu.astype("<i2").tobytes()
        dataset.RescaleIntercept, dataset.BitsStored, dataset.HighBit = 0, 16, 15
        dataset.PixelRepresentation = representation
        dataset.save_as(file)
    scan = batch(tmp_path / "in", measures="full").scan
    assert ("not rescaled to HU" in scan["flags"]) == flagged
    # Taken for dense, the air around the patient is cut off at the sides.
    assert ("lungs cut off at the sides" in scan["flags"]) == flagged
    regions = scan["regions"] or {}
    assert bool([lung for lung in regions.values() if lung and lung["mean_hu"]]) != flagged


@pytest.mark.parametrize(("step", "flagged"), [(15, False), (15.5, True), (72, True)])
@pytest.mark.parametrize("kind", ["series", "volume", "images"])
def test_slices_that_lie_far_apart_are_flagged(
    batch, save_series, save_volume, save_slice, speck, tmp_path, kind, step, flagged
):
    if kind == "series":
        for number, file in enumerate(save_series(tmp_path / "in/ct", speck[:2])):
            change(file, ImagePositionPatient=[0, 0, step * number])
    elif kind == "volume":
        save_volume(tmp_path / "in/ct.nii", speck, (step, 1, 1))
    else:
        for number, labels in enumerate(speck):
            save_slice(tmp_path / f"in/{number}.png", labels)
    scan = batch(tmp_path / "in", spacing=(step, 1, 1) if kind == "images" else None).scan
    assert scan["spacing_mm"][0] == step
    assert ("slices far apart" in scan["flags"]) == flagged


def test_a_single_slice_is_far_from_none(batch, save_series, speck, tmp_path):
    save_series(tmp_path / "in", speck[:1], SliceThickness=20)
    scan = batch(tmp_path / "in").scan
    assert scan["spacing_mm"][0] == 20
    assert "slices far apart" not in scan["flags"]


def by_nibabel(file, voxels, spacing, origin):
    affine = np.diag([*spacing[::-1], 1.0])
    affine[:3, 3] = origin
    nibabel.save(nibabel.Nifti1Image(voxels.transpose(2, 1, 0), affine), file)


def by_nibabel_without_affine(file, voxels, spacing, origin):
    made = nibabel.Nifti1Image(voxels.transpose(2, 1, 0), None)
    made.header.set_zooms(spacing[::-1])
    nibabel.save(made, file)


def by_simpleitk(file, voxels, spacing, origin):
    made = SimpleITK.GetImageFromArray(voxels)
    made.SetSpacing(spacing[::-1])
    made.SetOrigin(origin)
    SimpleITK.WriteImage(made, file)


@pytest.mark.parametrize(
    ("write", "endings"),
    [
        (by_nibabel, [".nii", ".nii.gz"]),
        (by_nibabel_without_affine, [".nii"]),
        (by_simpleitk, [".nii.gz", ".mha", ".nrrd"]),
    ],
)
def test_a_volume_whose_spacing_nobody_set_is_flagged(batch, tmp_path, write, endings):
    voxels = np.random.default_rng(0).integers(-1000, 100, (3, 16, 16), np.int16)
    (tmp_path / "in").mkdir()
    for ending in endings:
        write(tmp_path / f"in/default{ending}", voxels, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
        write(tmp_path / f"in/known{ending}", voxels, (1.0, 1.0, 0.7), (0.0, 0.0, 0.0))
        if write is not by_nibabel_without_affine:
            write(tmp_path / f"in/resampled{ending}", voxels, (1.0, 1.0, 1.0), (-180.5, -170.0, 40.0))
    scans = batch(tmp_path / "in").scans
    flagged = {name for name, scan in scans.items() if "spacing may be a default" in scan["flags"]}
    assert flagged == {f"default{ending}" for ending in endings}


def test_of_uneven_slices_there_is_no_label_map(batch, series, tmp_path):
    space_unevenly(series[0])
    scan = batch(tmp_path / "in", write=("mask", "nifti")).scan
    assert scan["spacing_mm"][0] == 17 / 5
    assert "gap" not in scan["flags"]
    assert "no nifti: its slices are unevenly spaced" in scan["flags"]


@pytest.fixture
def save_heights(save_series):
    """Save two lungs, cut at these heights in mm, of a patient of 60 mm, whose lower half is diseased.

    They are 56 mm high, and widest in the middle.
    """

    def saved(folder, heights):
        labels = np.zeros((len(heights), 64, 64), np.uint8)
        for plane, height in zip(labels, heights, strict=True):
            rows = round(max(0, 56 - 2 * abs(height - 30)))
            plane[4 : 4 + rows, 4:28], plane[4 : 4 + rows, 36:60] = 1, 3 if height < 30 else 1
        files = save_series(folder, labels)
        for file, height in zip(files, heights, strict=True):
            change(file, ImagePositionPatient=[0, 0, height], PixelSpacing=[5, 5], SliceThickness=1)
        return files, labels

    return saved


EVEN = range(61)
LOST = [height for height in EVEN if not 33 < height < 42]
FINE_THEN_COARSE = [*range(31), *range(35, 61, 5)]
IN_PAIRS = [height for height in EVEN if height % 5 in (2, 3)]
MIXED = [*range(0, 20, 2), *range(20, 31), *np.arange(33.7, 61, 3.7).tolist()]
STRAY = [*EVEN, 161]
STRAY_UNEVENLY = [*EVEN, 91.5]
INTERLEAVED = sorted([*range(0, 61, 2), *range(15, 46, 2)])
DOUBLED = sorted([*EVEN, *range(20, 40)])


@pytest.mark.parametrize(
    ("heights", "flag"),
    [
        (LOST, "gap"),
        (FINE_THEN_COARSE, "uneven spacing"),
        (IN_PAIRS, "uneven spacing"),
        (STRAY, "gap"),
        (STRAY_UNEVENLY, "uneven spacing"),
        (MIXED, "uneven spacing"),
        (INTERLEAVED, "uneven spacing"),
        (DOUBLED, "duplicate positions"),
    ],
)
def test_slices_count_by_the_room_they_stand_for(batch, save_heights, tmp_path, heights, flag):
    """Cavalieri's rule: whatever slices there are of a patient, the lungs are as large, and as diseased."""
    save_heights(tmp_path / "even/ct", EVEN)
    _, labels = save_heights(tmp_path / "in/ct", heights)
    even = batch(tmp_path / "even", out=tmp_path / "before", measures="full").scan
    done = batch(tmp_path / "in", measures="full")
    scan = done.scan
    assert flag in scan["flags"]
    assert scan["lung_ml"] == pytest.approx(even["lung_ml"], rel=0.03)
    assert scan["involvement_percent"] == pytest.approx(even["involvement_percent"], abs=3)
    assert sum(lung["lung_ml"] for lung in scan["regions"].values()) == pytest.approx(scan["lung_ml"])
    for side in ("right", "left"):
        found, expected = scan["regions"][side], even["regions"][side]
        assert found["mass_g"] == pytest.approx(expected["mass_g"], rel=0.05)
        assert found["mean_hu"]["lung"] == pytest.approx(expected["mean_hu"]["lung"], rel=0.05)
        for third in found["thirds"].values():
            assert third["lung_ml"] == pytest.approx(expected["lung_ml"] / 3, rel=0.3)
    assert scan["lesions"]["volume_ml"] == pytest.approx(scan["volumes_ml"]["consolidation"])
    assert scan["pixels"]["consolidation"] == np.count_nonzero(labels == 3)
    rows = csv.DictReader((done.out / "slices.csv").read_text().splitlines())
    assert sum(float(row["lung_ml"]) for row in rows) == pytest.approx(scan["lung_ml"], abs=0.01)


def test_a_place_that_was_scanned_several_times_counts_once(batch, save_heights, tmp_path):
    """As of a perfusion scan, of whose slices no file says how high they are."""
    save_heights(tmp_path / "once", [30])
    files, _ = save_heights(tmp_path / "often", [30] * 4)
    for file in files:
        change(file, SliceLocation=None)
    scans = [
        batch(tmp_path / name, out=tmp_path / f"{name} out", spacing=(1, 5, 5), measures="full").scan
        for name in ("once", "often")
    ]
    assert "duplicate positions" in scans[1]["flags"]
    assert scans[1]["volumes_ml"] == pytest.approx(scans[0]["volumes_ml"])
    assert scans[1]["regions"]["right"]["mass_g"] == pytest.approx(scans[0]["regions"]["right"]["mass_g"])


def test_of_uneven_slices_those_beside_one_that_failed_count_by_their_own_room(batch, save_heights, tmp_path):
    files, _ = save_heights(tmp_path / "in/ct", FINE_THEN_COARSE)
    files[10].write_bytes(files[10].read_bytes()[:-100])
    scan = batch(tmp_path / "in", measures="full").scan
    assert (scan["status"], scan["failed_slices"]) == ("partial", 1)
    assert sum(lung["lung_ml"] for lung in scan["regions"].values()) == pytest.approx(scan["lung_ml"])
    assert scan["lesions"]["volume_ml"] == pytest.approx(scan["volumes_ml"]["consolidation"])


@pytest.mark.parametrize("heights", [FINE_THEN_COARSE, IN_PAIRS, INTERLEAVED])
def test_slices_at_several_distances_leave_no_label_map_with_empty_planes(batch, save_heights, tmp_path, heights):
    save_heights(tmp_path / "in/ct", heights)
    assert "no nifti: its slices are unevenly spaced" in batch(tmp_path / "in", write=("nifti",)).scan["flags"]


def test_a_stray_slice_with_lung_counts_as_one_of_the_others(batch, save_heights, tmp_path):
    """It may be one of them whose place is damaged: what would lie between is none of the patient's."""
    files, _ = save_heights(tmp_path / "in/ct", EVEN)
    even = batch(tmp_path / "in", out=tmp_path / "before").scan
    change(files[30], ImagePositionPatient=[0, 0, 400.5])
    assert batch(tmp_path / "in").scan["lung_ml"] == pytest.approx(even["lung_ml"], rel=0.08)


def test_a_slice_with_larger_pixels_counts_for_more(batch, series, tmp_path):
    files, labels = series
    even = batch(tmp_path / "in", out=tmp_path / "before").scan
    step = pydicom.dcmread(files[4]).PixelSpacing[0]
    change(files[4], PixelSpacing=[2 * step, 2 * step])
    scan = batch(tmp_path / "in").scan
    voxel_ml = np.prod(even["spacing_mm"]) / 1000
    more = 3 * voxel_ml * np.count_nonzero(labels[4] == 3)
    assert scan["volumes_ml"]["consolidation"] == pytest.approx(even["volumes_ml"]["consolidation"] + more)


def test_runs_with_uneven_slices_go_on_and_are_joined(batch, save_heights, save_volume, summarize, quarters, tmp_path):
    """And are compared with a truth by the same room."""
    _, labels = save_heights(tmp_path / "in/ct", FINE_THEN_COARSE)
    (tmp_path / "truth/ct").mkdir(parents=True)
    for file, mask in zip(sorted((tmp_path / "in/ct").iterdir()), labels, strict=True):
        np.save(tmp_path / f"truth/ct/{file.stem}.npy", np.where(mask == 3, 2, mask))
    save_volume(tmp_path / "in/other.nii", labels[20:40], (5, 5, 5))
    call = {"truth": tmp_path / "truth", "measures": "full"}
    whole = batch(tmp_path / "in", out=tmp_path / "whole", **call)
    scan = whole.scans["ct"]
    assert scan["volume_error_ml"]["consolidation"] == pytest.approx(scan["volumes_ml"]["consolidation"])
    assert whole.summary["totals"]["agreement"]["volumes_ml"]["ground_glass"]["bias"] == pytest.approx(
        -scan["volumes_ml"]["consolidation"]
    )
    again = batch(tmp_path / "in", out=tmp_path / "whole", **call)
    assert again.summary["throughput"]["slices"] == 0
    assert again.summary["scans"] == whole.summary["scans"]
    assert again.summary["totals"] == whole.summary["totals"]
    assert Segmenter(str(quarters), "cpu")(tmp_path / "in/ct").volumes_ml == scan["volumes_ml"]
    call["root"] = tmp_path / "in"
    outs = [batch(tmp_path / "in" / name, out=tmp_path / name, **call).out for name in whole.scans]
    assert summarize(*outs, "--out", tmp_path / "all")[0] == 0
    joined, alone = (json.loads((out / "summary.json").read_text()) for out in (tmp_path / "all", whole.out))
    assert (joined["scans"], joined["totals"]) == (alone["scans"], alone["totals"])
    assert (tmp_path / "all/slices.csv").read_bytes() == (whole.out / "slices.csv").read_bytes()


def test_slices_that_are_turned_in_their_plane_are_no_tilt_and_count_as_they_lie_in_the_patient(
    batch, series, save, tmp_path
):
    """Against a truth that lies a row lower in the body, and is stored as its slices are."""
    files, labels = series
    true = np.roll(labels, 1, axis=1)
    for file, mask in zip(files, true, strict=True):
        save(tmp_path / f"truth/ct/{file.stem}.png", mask)
    call = {"measures": "full", "truth": tmp_path / "truth"}
    before = batch(tmp_path / "in", out=tmp_path / "before", **call).scan
    turn_one_in_its_plane(files)
    save(tmp_path / f"truth/ct/{files[4].stem}.png", true[4][::-1, ::-1])
    after = batch(tmp_path / "in", **call).scan
    assert set(after["flags"]) == {*before["flags"], "mixed orientations"}
    for figure in ("volumes_ml", "dice", "lesions", "surface"):
        assert after[figure] == before[figure] is not None


def test_where_one_slice_is_stored_otherwise_sides_are_told_by_those_that_say_them(batch, lungs_of_one, tmp_path):
    """The left lung alone is in view; one slice says nothing of how it lies, or can't be read."""
    files = lungs_of_one
    mirror(files[1:])
    one = batch(tmp_path / "in", measures="full").scan
    assert "no right lung" in one["flags"]
    assert "sides assumed" not in one["flags"]
    files[0].write_bytes(files[0].read_bytes()[:-3000])
    failed = batch(tmp_path / "in", measures="full").scan
    assert "no right lung" in failed["flags"]
    assert "sides assumed" not in failed["flags"]


def test_of_slices_that_are_stored_in_several_ways_all_have_to_say_how(batch, lungs_of_one, tmp_path):
    mirror(lungs_of_one[1:])
    silent = pydicom.dcmread(lungs_of_one[2])
    del silent.ImageOrientationPatient
    silent.save_as(lungs_of_one[2])
    assert {"orientation unknown", "sides assumed"} <= set(batch(tmp_path / "in", measures="full").scan["flags"])


@pytest.fixture
def lungs_of_one(save_series, tmp_path):
    """Ten slices of 64 x 64 pixels of 6 mm with a single lung, that on the patient's left."""
    labels = np.zeros((10, 64, 64), np.uint8)
    labels[:, 12:52, 36:56] = 1
    return save_series(tmp_path / "in/ct", labels, PixelSpacing=[6, 6])


def mirror(files):
    """Store slices mirrored, and say so."""
    for file in files:
        dataset = pydicom.dcmread(file)
        dataset.ImageOrientationPatient = [-1, 0, 0, 0, 1, 0]
        dataset.PixelData = np.ascontiguousarray(dataset.pixel_array[:, ::-1]).tobytes()
        dataset.save_as(file)


def test_the_volume_of_a_tilted_stack_is_that_of_an_upright_one(batch, series, tmp_path):
    """Slices that are pushed over each other fill the same space."""
    files, _ = series
    upright = batch(tmp_path / "in", out=tmp_path / "before").scan
    tilt(files)
    tilted = batch(tmp_path / "in").scan
    assert tilted["spacing_mm"] == upright["spacing_mm"]
    assert tilted["volumes_ml"] == upright["volumes_ml"]


def test_without_places_the_first_of_a_scanners_numbers_is_the_head(batch, series, tmp_path):
    files, _ = series
    placed = batch(tmp_path / "in", out=tmp_path / "before", measures="full").scan
    for number, file in enumerate(reversed(files), start=1):
        dataset = pydicom.dcmread(file)
        del dataset.ImagePositionPatient, dataset.SliceLocation
        dataset.InstanceNumber = number
        dataset.save_as(file)
    scan = batch(tmp_path / "in", measures="full", spacing=placed["spacing_mm"]).scan
    assert "order by InstanceNumber" in scan["flags"]
    assert scan["regions"] == placed["regions"]
    assert any(scan["regions"].values())


def test_a_slice_whose_pixels_fail_is_missing_from_the_volume_and_counted(batch, series, tmp_path):
    files, labels = series
    whole = batch(tmp_path / "in", out=tmp_path / "before").scan
    files[2].write_bytes(files[2].read_bytes()[:-4000])
    scan = batch(tmp_path / "in").scan
    assert (scan["status"], scan["slices"], scan["failed_slices"]) == ("partial", 6, 1)
    left = np.delete(labels, 2, axis=0)
    voxel_ml = np.prod(scan["spacing_mm"]) / 1000
    assert scan["volumes_ml"]["consolidation"] == pytest.approx(np.count_nonzero(left == 3) * voxel_ml)
    assert scan["lung_ml"] < whole["lung_ml"]


def test_monochrome1_with_a_rescale_is_segmented_as_any_other(batch, series, tmp_path):
    files, labels = series
    for file in files:
        change(file, PhotometricInterpretation="MONOCHROME1")
    done = batch(tmp_path / "in")
    np.testing.assert_array_equal(np.stack([done.masks[f"ct/{stem}.dcm.png"] for stem in "abcdef"]), labels)


FILM = {"NumberOfFrames": 3, "SOPClassUID": uid.UltrasoundMultiFrameImageStorage, "Modality": "US"}
CAPTURE = {
    "SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0, "BitsAllocated": 8,
    "BitsStored": 8, "HighBit": 7, "SOPClassUID": uid.SecondaryCaptureImageStorage,
    "PixelData": bytes(64 * 64 * 3),
}  # fmt: skip


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "localizer"),
        (FILM, "Ultrasound Multi-frame Image Storage"),
        (CAPTURE, "Secondary Capture Image Storage"),
        ({"SOPClassUID": uid.EncapsulatedPDFStorage}, "Encapsulated PDF Storage"),
        ({"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}, "coronal reformat"),
    ],
)
def test_what_is_no_slice_beside_a_series_is_told_and_is_no_failure(batch, series, tmp_path, tags, said):
    files, labels = series
    other = tmp_path / "in/ct/zz.dcm"
    other.write_bytes(files[0].read_bytes())
    change(other, **tags)
    done = batch(tmp_path / "in")
    assert done.status == 0
    ((file, reason),) = ((one["file"], one["reason"]) for one in done.summary["skipped"])
    assert file == "ct/zz.dcm"
    assert said in reason
    assert done.scan["slices"] == len(done.masks) == len(labels)
    assert "gap" not in done.scan["flags"]


def test_a_copy_of_a_slice_counts_once_and_is_told(batch, series, tmp_path):
    files, _ = series
    once = batch(tmp_path / "in", out=tmp_path / "before")
    copies = [shutil.copy(file, file.with_name(f"{file.stem} (1).dcm")) for file in files]
    done = batch(tmp_path / "in")
    assert done.status == 0
    assert {one["file"] for one in done.summary["skipped"]} == {f"ct/{copy.name}" for copy in copies}
    assert all(one["reason"].startswith("copy of another slice") for one in done.summary["skipped"])
    assert done.summary["scans"] == once.summary["scans"]
    assert done.masks.keys() == once.masks.keys()
    again = batch(tmp_path / "in")
    assert again.summary["throughput"]["slices"] == 0
    assert {**again.summary, "throughput": None} == {**done.summary, "throughput": None}


@pytest.mark.parametrize("how", ["file meta", "JPEG-LS", "implicit VR", "another patient"])
def test_a_copy_that_is_stored_otherwise_counts_once(batch, series, tmp_path, how):
    """As another program exports it."""
    files, _ = series
    once = batch(tmp_path / "in", out=tmp_path / "before")
    for file in files[2:]:
        dataset = pydicom.dcmread(file)
        if how == "file meta":
            dataset.file_meta.ImplementationVersionName = "ANOTHER"
        elif how == "another patient":
            dataset.PatientID, dataset.AcquisitionNumber, dataset.FrameOfReferenceUID = "anonymous", 7, "1.2.3"
        elif how == "JPEG-LS":
            dataset.compress(uid.JPEGLSLossless, generate_instance_uid=False)
        else:
            dataset.file_meta.TransferSyntaxUID = uid.ImplicitVRLittleEndian
        dataset.save_as(file.with_name(f"{file.stem}-again.dcm"), enforce_file_format=True)
    done = batch(tmp_path / "in")
    assert [one["file"] for one in done.summary["skipped"]] == [f"ct/{file.stem}-again.dcm" for file in files[2:]]
    assert done.summary["scans"] == once.summary["scans"]


def test_of_copies_the_one_that_is_not_compressed_is_read(batch, series, tmp_path):
    """The other one is damaged."""
    files, _ = series
    once = batch(tmp_path / "in", out=tmp_path / "before")
    dataset = pydicom.dcmread(files[2])
    dataset.compress(uid.JPEGLSLossless, generate_instance_uid=False)
    copy = files[2].with_name("2")
    dataset.save_as(copy, enforce_file_format=True)
    copy.write_bytes(copy.read_bytes()[:-200])
    done = batch(tmp_path / "in")
    assert [one["file"] for one in done.summary["skipped"]] == ["ct/2"]
    assert done.summary["scans"] == once.summary["scans"]


def test_slices_that_share_a_uid_by_mistake_all_count(batch, series, tmp_path):
    files, _ = series
    for file in files:
        change(file, SOPInstanceUID="1.2.3")
    done = batch(tmp_path / "in")
    assert (done.scan["slices"], done.summary["skipped"]) == (6, [])


SAME = {"SOPInstanceUID": "1.2.3", "InstanceNumber": 1, "ImagePositionPatient": [0, 0, 0], "SliceLocation": 0}


def test_slices_of_one_template_all_count(batch, series, tmp_path):
    """They say the same of who and where they are, but hold other pixels; the copy among them is one."""
    files, labels = series
    for file in files:
        change(file, **SAME)
    shutil.copy(files[3], files[3].with_name("copied.dcm"))
    done = batch(tmp_path / "in")
    assert done.scan["slices"] == len(labels)
    assert done.scan["pixels"]["ground_glass"] == (labels == 2).sum()
    assert "duplicate positions" in done.scan["flags"]
    assert [one["file"] for one in done.summary["skipped"]] == ["ct/copied.dcm"]


def test_a_damaged_slice_of_one_template_is_a_slice_that_failed(batch, series, tmp_path):
    """And no copy: the others show that what it says of itself is said of several."""
    files, labels = series
    for file in files:
        change(file, **SAME)
    cut_one_short(files)
    done = batch(tmp_path / "in")
    assert (done.scan["slices"], done.scan["failed_slices"]) == (len(labels), 1)
    assert (len(done.masks), done.summary["skipped"]) == (5, [])


def test_a_dicomdir_is_ignored(batch, series, tmp_path):
    shutil.copy(get_testdata_file("dicomdirtests/DICOMDIR"), tmp_path / "in/ct/DICOMDIR")
    done = batch(tmp_path / "in")
    assert (done.status, done.summary["ignored"], done.summary["skipped"]) == (0, 1, [])
    assert len(done.masks) == 6


def mask_volume(folder, save, save_volume, labels):
    save_volume(folder / "a_seg.nii.gz", labels.astype(np.uint8), truth=True)


def mask_folder(folder, save, save_volume, labels):
    for number, mask in enumerate(labels):
        save(folder / f"masks/{number}.png", mask.astype(np.uint8) * 85)


def map_of_organs(folder, save, save_volume, labels):
    """More labels than the eye tells apart; its header says what it is."""
    many = np.arange(4 * 64 * 64).reshape(4, 64, 64) % 100
    image = nibabel.Nifti1Image(many.astype(np.uint8), np.eye(4))
    image.header.set_intent("label")
    folder.mkdir()
    nibabel.save(image, folder / "organs.nii.gz")


@pytest.mark.parametrize("put", [mask_volume, mask_folder, map_of_organs])
def test_a_mask_that_is_taken_for_a_scan_is_flagged(batch, draw, save, save_volume, tmp_path, put):
    labels = np.stack([np.zeros((64, 64), np.uint8), *(draw(seed, 64, 64) for seed in range(3))])
    put(tmp_path / "in", save, save_volume, labels)
    done = batch(tmp_path / "in")
    assert done.status == 0
    assert "looks like a label map" in done.scan["flags"]


def test_slices_outside_the_patient_make_no_label_map_of_a_scan(batch, draw, save, save_slice, tmp_path):
    for number in range(4):
        save_slice(tmp_path / f"in/{number}.png", draw(number))
    for number in range(4, 9):
        save(tmp_path / f"in/{number}.png", np.full((64, 48), 7, np.uint8))
    table = np.full((64, 48), 7, np.uint8)
    table[56:60, 8:40] = 90
    save(tmp_path / "in/9.png", table)
    assert batch(tmp_path / "in").scan["flags"] == []


@pytest.mark.parametrize(("sparse", "flags"), [(1, []), (2, ["looks like a label map"])])
def test_a_scan_looks_like_a_label_map_if_a_quarter_of_its_slices_do(
    batch, draw, save, save_slice, tmp_path, sparse, flags
):
    for number in range(8):
        save_slice(tmp_path / f"in/{number}.png", draw(number))
        if number < sparse:
            save(tmp_path / f"in/{number}.png", draw(number))  # the labels themselves
    assert [flag for flag in batch(tmp_path / "in").scan["flags"] if "label map" in flag] == flags


@pytest.mark.parametrize("spacing", [None, (1, 1, 1)])
def test_a_scan_without_any_lung_is_flagged(batch, save_slice, tmp_path, spacing):
    for name in "ab":
        save_slice(tmp_path / f"in/{name}.png", np.zeros((64, 64), np.uint8))
    assert batch(tmp_path / "in", spacing=spacing).scan["flags"].count("no lung found") == 1


@pytest.mark.parametrize("measures", ["basic", "full"])
@pytest.mark.parametrize("small", [0, 257])
def test_a_folder_of_images_of_several_sizes_is_flagged_once(
    batch, summarize, draw, save_slice, tmp_path, measures, small
):
    """Also where the odd one is in a part of its own, and in a summary of several runs."""
    for number in range(258):
        step = 2 if number == small else 1
        save_slice(tmp_path / f"odd/{number:03d}.png", draw(number)[::step, ::step])
    for number in range(2):
        save_slice(tmp_path / f"even/{number}.png", draw(number))
    call = {"measures": measures, "spacing": (1, 1, 1)}
    runs = [batch(tmp_path / name, out=tmp_path / f"out of {name}", **call) for name in ("odd", "even")]
    joined = json.loads(summarize(*(run.out for run in runs), "--json")[1])
    flagged = {scan["scan"]: scan["flags"].count("mixed sizes") for scan in joined["scans"]}
    assert flagged == {"odd": 1, "even": 0}


def ramp_of(dtype):
    """Grey values from black up, within a black rim."""
    return np.pad(np.add.outer(np.arange(62), np.arange(62)), 1).astype(dtype)


def in_colours(grey):
    return np.stack([grey, grey // 2, grey // 3], axis=-1)


def in_grey(grey):
    return np.stack([grey] * 3, axis=-1)


def with_a_mark(grey):
    pixels = in_grey(grey)
    pixels[4:8, 4:8] = 0, 0, 255
    return pixels


@pytest.mark.parametrize("ending", [".png", ".jpg", ".tif"])
@pytest.mark.parametrize(("shown", "flags"), [(in_colours, ["colour turned grey"]), (in_grey, []), (with_a_mark, [])])
def test_pictures_in_colour_are_flagged_but_not_grey_or_a_mark_on_it(batch, save, tmp_path, ending, shown, flags):
    ramp = ramp_of(np.uint8)
    save(tmp_path / f"in/1{ending}", shown(ramp))
    save(tmp_path / f"in/2{ending}", in_grey(ramp))
    done = batch(tmp_path / "in")
    assert (done.status, done.scan["flags"]) == (0, flags)


def test_colours_of_16_bits_are_flagged_too(batch, save, tmp_path):
    ramp = ramp_of(np.uint16) * 256
    save(tmp_path / "in/a.png", in_colours(ramp))
    assert batch(tmp_path / "in").scan["flags"] == ["not rescaled to HU", "colour turned grey"]


def test_weights_are_of_all_slices_also_of_one_that_cant_be_read(batch, summarize, save_heights, tmp_path):
    save_heights(tmp_path / "in/ct", FINE_THEN_COARSE)
    (tmp_path / "in/ct/zz.dcm").write_bytes(b"damaged")
    done = batch(tmp_path / "in")
    assert (done.scan["failed_slices"], len(done.scan["slice_weights"])) == (1, done.scan["slices"])
    assert summarize(done.out, "--json")[0] == 1


def test_slices_are_compared_by_the_room_that_each_stands_for(batch, save_heights, tmp_path):
    """The truth has ground glass above, where slices are five times as far apart."""
    files, labels = save_heights(tmp_path / "in/ct", FINE_THEN_COARSE)
    (tmp_path / "truth/ct").mkdir(parents=True)
    for file, mask, height in zip(files, labels, FINE_THEN_COARSE, strict=True):
        np.save(tmp_path / f"truth/ct/{file.stem}.npy", np.where((mask == 1) & (height > 30), 2, mask).astype(np.uint8))
    scan = batch(tmp_path / "in", measures="full", truth=tmp_path / "truth").scan
    above = sum(w * np.count_nonzero(mask) for w, mask in zip(scan["slice_weights"][31:], labels[31:], strict=True))
    expected = above * np.prod(scan["spacing_mm"]) / 1000
    assert scan["volume_error_ml"]["normal_lung"] == pytest.approx(expected)
