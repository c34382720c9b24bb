"""`--measures full`: lungs, thirds, lesions and surfaces of scans whose masks are known beforehand."""

import json

import numpy as np
import pydicom
import pytest
import SimpleITK

from ctseg.cleanup import Cleanup
from ctseg.errors import MissingExtraError
from ctseg.phantom import Phantom
from ctseg_batch.parts.stack_measurer import StackMeasurer

SPACING = (10.0, 5.0, 5.0)
VOXEL_ML = 0.25
SLICES = 6


@pytest.fixture(scope="session")
def lungs():
    """Six slices with a large lung on the left of the picture and a smaller one, a third diseased, on its right."""
    labels = np.zeros((SLICES, 64, 64), np.uint8)
    labels[:, 16:48, 6:28] = 1
    labels[:, 16:48, 36:54] = 1
    labels[:2, 16:48, 36:54] = 3
    labels[5, 20:24, 10:14] = 2
    return labels


LARGE, SMALL = SLICES * 32 * 22, SLICES * 32 * 18


def test_each_lung_has_volumes_hu_mass_severity_and_lesions(batch, lungs, save_volume, tmp_path):
    save_volume(tmp_path / "in/ct.nii", lungs, SPACING)
    scan = batch(tmp_path / "in", measures="full").scan
    right, left = scan["regions"]["right"], scan["regions"]["left"]
    assert (right["lung_ml"], left["lung_ml"]) == (LARGE * VOXEL_ML, SMALL * VOXEL_ML)
    assert right["lung_ml"] + left["lung_ml"] == scan["lung_ml"]
    assert left["percent"] == pytest.approx({"normal_lung": 200 / 3, "ground_glass": 0, "consolidation": 100 / 3})
    # The model's classes are -600, -200 and 100 HU here.
    assert left["mean_hu"] == pytest.approx(
        {"normal_lung": -600, "ground_glass": None, "consolidation": 100, "lung": -1100 / 3}
    )
    assert left["mass_g"]["lung"] == pytest.approx(SMALL * VOXEL_ML * (2 * 0.4 + 1.1) / 3)
    assert right["mass_g"]["ground_glass"] == pytest.approx(16 * VOXEL_ML * 0.8)
    hu = LARGE * right["mean_hu"]["lung"] + SMALL * left["mean_hu"]["lung"]
    assert scan["mean_hu"] == pytest.approx(
        {"normal_lung": -600, "ground_glass": -200, "consolidation": 100, "lung": hu / (LARGE + SMALL)}
    )
    assert scan["mass_g"]["lung"] == pytest.approx(right["mass_g"]["lung"] + left["mass_g"]["lung"])
    assert scan["severity"] == {"right": 1, "left": 3, "total": 4}
    lesions = scan["lesions"]
    assert (lesions["count"], lesions["right"], lesions["left"], lesions["smaller"]) == (2, 1, 1, 0)
    assert (lesions["largest_ml"], lesions["median_ml"]) == (2 * 32 * 18 * VOXEL_ML, (2 * 32 * 18 + 16) * VOXEL_ML / 2)


@pytest.mark.parametrize(
    ("columns", "pixel_mm", "flag"),
    [
        (slice(32), 5, "narrow field of view"),
        (slice(32), 9, "narrow field of view"),
        (slice(20, 64), 5, "lungs cut off at the sides"),
    ],
    ids=["one lung", "one lung with much around it", "one lung and a part of the other"],
)
def test_where_a_lung_may_be_out_of_view_no_lung_is_measured_by_itself(
    batch, lungs, save_volume, tmp_path, columns, pixel_mm, flag
):
    save_volume(tmp_path / "in/ct.nii", np.ascontiguousarray(lungs[:, :, columns]), (10.0, pixel_mm, pixel_mm))
    scan = batch(tmp_path / "in", measures="full").scan
    assert flag in scan["flags"]
    assert not [one for one in scan["flags"] if "right" in one or "left" in one]
    assert (scan["regions"], scan["severity"]) == (None, None)
    assert scan["mean_hu"]["normal_lung"] == -600
    assert scan["mass_g"]["normal_lung"] == pytest.approx(0.4 * scan["volumes_ml"]["normal_lung"])
    lesions = scan["lesions"]
    assert (lesions["count"], lesions["right"], lesions["left"]) == (1, None, None)
    assert lesions["volume_ml"] == pytest.approx(scan["lung_ml"] * scan["involvement_percent"] / 100)
    again = batch(tmp_path / "in", measures="full")
    assert (again.scan, again.summary["throughput"]["slices"]) == (scan, 0)


def test_a_lung_that_is_cut_off_counts_before_the_clean_up_removes_it(batch, make_model, lungs, save_volume, tmp_path):
    labels = np.where(np.arange(64) < 52, lungs, 0)
    labels[2:4, 30:40, 60:] = 1  # what is in view of the other one
    model = make_model(tmp_path / "strict.onnx", cleanup=Cleanup(volume_fraction=0.2))
    save_volume(tmp_path / "in/ct.nii", labels.astype(np.uint8), SPACING)
    scan = batch(tmp_path / "in", measures="full", model=model).scan
    assert scan["flags"].count("lungs cut off at the sides") == 1
    assert scan["pixels"]["normal_lung"] < np.count_nonzero(labels == 1)
    assert scan["regions"] is None


def test_thirds_run_from_above_to_below(batch, lungs, save_volume, tmp_path):
    save_volume(tmp_path / "in/ct.nii", lungs, SPACING)
    regions = batch(tmp_path / "in", measures="full").scan["regions"]
    involved = {lung: [third["involvement_percent"] for third in regions[lung]["thirds"].values()] for lung in regions}
    assert list(regions["left"]["thirds"]) == ["upper", "middle", "lower"]
    assert involved["left"] == [0, 0, 100]
    assert involved["right"] == [pytest.approx(100 * 16 / (2 * 32 * 22)), 0, 0]


@pytest.mark.parametrize(
    ("orientation", "turn"),
    [
        ([1, 0, 0, 0, 1, 0], lambda shown: shown),  # head first, on the back
        ([-1, 0, 0, 0, -1, 0], lambda shown: shown[:, ::-1, ::-1]),  # head first, face down
        ([-1, 0, 0, 0, 1, 0], lambda shown: shown[:, :, ::-1]),  # feet first, on the back
        ([0, 1, 0, -1, 0, 0], lambda shown: np.rot90(shown, axes=(1, 2))),  # on a side
        ([0, -1, 0, 1, 0, 0], lambda shown: np.rot90(shown, -1, axes=(1, 2))),  # on the other side
    ],
    ids=["supine", "prone", "feet first", "decubitus", "other decubitus"],
)
def test_the_patients_right_is_right_whichever_way_the_patient_lay(
    batch, lungs, save_series, tmp_path, orientation, turn
):
    save_series(tmp_path / "in", np.ascontiguousarray(turn(lungs)), ImageOrientationPatient=orientation)
    done = batch(tmp_path / "in", measures="full")
    regions = done.scan["regions"]
    voxel_ml = np.prod(done.scan["spacing_mm"]) / 1000
    assert regions["right"]["lung_ml"] == pytest.approx(LARGE * voxel_ml)
    assert regions["left"]["percent"]["consolidation"] == pytest.approx(100 / 3)
    assert regions["right"]["mean_hu"]["ground_glass"] == pytest.approx(-200, abs=0.5)
    assert regions["left"]["mean_hu"]["consolidation"] == pytest.approx(100, abs=0.5)
    assert "sides assumed" not in done.scan["flags"]


@pytest.mark.parametrize("kind", ["enhanced", "mha", "nrrd"])
def test_objects_and_volumes_of_every_format_say_where_the_right_is(batch, lungs, save_series, convert, tmp_path, kind):
    """Of a patient who lay face down, so that the slices are stored the other way round."""
    turned = np.ascontiguousarray(lungs[:, ::-1, ::-1])
    series = save_series(tmp_path / "series", turned, ImageOrientationPatient=[-1, 0, 0, 0, -1, 0])
    if kind == "enhanced":
        convert(tmp_path / "in/ct.dcm", series)
    else:
        (tmp_path / "in").mkdir()
        SimpleITK.WriteImage(SimpleITK.ReadImage(series[::-1]), tmp_path / f"in/ct.{kind}")
    scan = batch(tmp_path / "in", measures="full").scan
    voxel_ml = np.prod(scan["spacing_mm"]) / 1000
    assert scan["regions"]["right"]["lung_ml"] == pytest.approx(LARGE * voxel_ml)
    assert scan["regions"]["left"]["mean_hu"]["consolidation"] == pytest.approx(100, abs=0.5)
    assert "sides assumed" not in scan["flags"]


def test_the_phantoms_lungs_which_touch_come_out_at_their_own_size(batch, save_series, tmp_path):
    phantom = Phantom(seed=3, slices=12, size=64, disease=0.3)
    truth = phantom.volume()[1]
    save_series(tmp_path / "in", truth, seed=3)
    regions = batch(tmp_path / "in", measures="full").scan["regions"]
    voxel_ml = np.prod(phantom.spacing_mm) / 1000
    for name, half in {"right": truth[:, :, :32], "left": truth[:, :, 32:]}.items():
        assert regions[name]["lung_ml"] == pytest.approx(np.count_nonzero(half) * voxel_ml, rel=0.01)
        share = 100 * np.count_nonzero(half >= 2) / np.count_nonzero(half)
        assert regions[name]["involvement_percent"] == pytest.approx(share, abs=0.3)


def test_a_lung_that_is_not_there_is_null_and_flagged(batch, lungs, save_volume, tmp_path):
    save_volume(tmp_path / "in/ct.nii", np.where(np.arange(64) < 32, lungs, 0), SPACING)
    scan = batch(tmp_path / "in", measures="full").scan
    assert scan["regions"]["left"] is None
    assert scan["regions"]["right"]["lung_ml"] == scan["lung_ml"]
    assert scan["severity"] == {"right": 1, "left": None, "total": None}
    assert "no left lung" in scan["flags"]


def test_next_to_nothing_is_no_lung(batch, lungs, save_volume, tmp_path):
    """What reaches over the midline after a lung was taken out has no severity of its own."""
    labels = np.where(np.arange(64) < 32, lungs, 0)
    labels[3, 30:32, 28:58] = 1
    labels[3, 30:32, 54:58] = 2
    save_volume(tmp_path / "in/ct.nii", labels.astype(np.uint8), SPACING)
    scan = batch(tmp_path / "in", measures="full").scan
    assert "no left lung" in scan["flags"]
    assert scan["regions"]["left"] is None
    assert scan["severity"] == {"right": 1, "left": None, "total": None}


def test_hu_are_those_of_the_lung_that_a_rule_has_left(batch, lungs, make_model, save_volume, tmp_path):
    """A speck of consolidation far from the lungs is taken away in 3-D: it counts in no mean."""
    labels = lungs.copy()
    labels[0, 4:8, 2:6] = 3
    save_volume(tmp_path / "in/ct.nii", labels, SPACING)
    model = make_model(tmp_path / "model.onnx", cleanup=Cleanup(volume_fraction=0.1))
    scan = batch(tmp_path / "in", measures="full", model=str(model)).scan
    assert scan["pixels"]["consolidation"] == 2 * 32 * 18
    assert scan["regions"]["right"]["volumes_ml"]["consolidation"] == 0
    assert scan["regions"]["right"]["mean_hu"]["normal_lung"] == pytest.approx(-600)


def test_basic_measures_leave_them_out_and_images_without_a_spacing_have_none(batch, lungs, save_slice, tmp_path):
    for index, mask in enumerate(lungs):
        save_slice(tmp_path / f"in/{index}.png", mask)
    for wanted in ({"measures": "basic", "spacing": SPACING}, {"measures": "full"}):
        scan = batch(tmp_path / "in", **wanted).scan
        assert {scan[key] for key in ("regions", "severity", "lesions", "surface", "volume_error_ml")} == {None}
        assert "sides assumed" not in scan["flags"]


def test_images_with_a_spacing_are_a_stack_of_which_the_sides_are_assumed(batch, lungs, save_slice, tmp_path):
    for index, mask in enumerate(lungs):
        save_slice(tmp_path / f"in/{index}.png", mask)
    scan = batch(tmp_path / "in", measures="full", spacing=SPACING).scan
    assert scan["regions"]["right"]["lung_ml"] == LARGE * VOXEL_ML
    assert scan["regions"]["left"]["thirds"]["lower"]["involvement_percent"] == 100
    assert scan["regions"]["left"]["mean_hu"] is None
    assert "sides assumed" in scan["flags"]


def test_many_images_are_one_stack_and_still_one_scan(batch, lungs, save_slice, tmp_path):
    for index in range(300):
        save_slice(tmp_path / f"in/{index}.png", lungs[2, ::2, ::2])
    scan = batch(tmp_path / "in", measures="full", spacing=(1.0, 10.0, 10.0)).scan
    assert scan["slices"] == 300
    assert sum(scan["regions"][lung]["lung_ml"] for lung in ("right", "left")) == pytest.approx(scan["lung_ml"])


def test_a_folder_of_more_images_than_a_ct_has_is_no_stack(batch, lungs, save_slice, tmp_path, monkeypatch):
    monkeypatch.setattr("ctseg_batch.parts.plan.MOST_IN_A_STACK", 2)
    for index in range(3):
        save_slice(tmp_path / f"in/{index}.png", lungs[index])
    scan = batch(tmp_path / "in", measures="full", spacing=SPACING).scan
    assert scan["regions"] is None
    assert "too many images for a stack" in scan["flags"]


def test_a_slice_that_failed_is_missing_in_the_stack(batch, lungs, save_series, tmp_path):
    files = save_series(tmp_path / "in", lungs)
    files[5].write_bytes(files[5].read_bytes()[:-100])
    scan = batch(tmp_path / "in", measures="full").scan
    voxel_ml = np.prod(scan["spacing_mm"]) / 1000
    assert (scan["status"], scan["failed_slices"]) == ("partial", 1)
    assert scan["regions"]["right"]["lung_ml"] == pytest.approx(5 * 32 * 22 * voxel_ml)


def test_what_goes_wrong_in_one_scan_leaves_its_other_figures_and_all_others(
    batch, lungs, save_volume, tmp_path, monkeypatch
):
    for number in range(2):
        save_volume(tmp_path / f"in/{number}.nii", lungs, SPACING)
    tried = []

    def find(*_):
        tried.append(1)
        if len(tried) == 1:
            raise MemoryError
        raise ValueError("what a library says")

    monkeypatch.setattr("ctseg_batch.parts.stack_measurer.find_lesions", find)
    done = batch(tmp_path / "in", measures="full", workers=1)
    assert done.status == 1
    assert {scan["status"] for scan in done.scans.values()} == {"partial"}
    assert all(scan["lung_ml"] for scan in done.scans.values())
    reasons = [scan["errors"][0]["reason"] for scan in done.scans.values()]
    assert "fewer --workers need less" in reasons[0]
    assert "what a library says" in reasons[1]


@pytest.mark.parametrize("size", [1, 4])
def test_a_slice_whose_pixels_there_is_no_memory_to_hold_fails_alone(
    command, lungs, save_series, tmp_path, monkeypatch, size
):
    save_series(tmp_path / "in/a", lungs)
    save_series(tmp_path / "in/b", lungs)
    look = StackMeasurer.look

    def short(self, index, source, labels, **known):
        if index == 2:
            raise MemoryError
        look(self, index, source, labels, **known)

    call = [tmp_path / "in", "--out", tmp_path / "out", "--measures", "full", "--batch-size", size, "--json"]
    with monkeypatch.context() as patched:
        patched.setattr(StackMeasurer, "look", short)
        left = command(*call)
    assert (left.status, "Traceback" in left.err) == (1, False)
    for scan in json.loads(left.out)["scans"]:
        (error,) = scan["errors"]
        assert (scan["slices"], scan["failed_slices"]) == (SLICES, 1)
        assert (error["file"], error["reason"]) == (
            f"{scan['scan']}/002.dcm", "there was not enough memory for it: fewer --workers need less",
        )  # fmt: skip
        assert scan["regions"]["right"]["mean_hu"]["normal_lung"] == pytest.approx(-600, abs=0.5)
        masks = sorted(file.name for file in (tmp_path / "out/masks" / scan["scan"]).iterdir())
        assert masks == [f"{index:03d}.dcm.png" for index in range(SLICES) if index != 2]
    assert command(*call).status == 0


@pytest.mark.parametrize("write", [("mask",), ("nifti",)])
@pytest.mark.parametrize("name", ["images", "series", "ct.nii"])
def test_measures_for_which_there_was_no_memory_are_tried_again(
    batch, lungs, save_slice, save_series, save_volume, tmp_path, monkeypatch, name, write
):
    for index, mask in enumerate(lungs):
        save_slice(tmp_path / f"in/images/{index}.png", mask)
    save_series(tmp_path / "in/series", lungs)
    save_volume(tmp_path / "in/ct.nii", lungs, SPACING)
    call = {"measures": "full", "spacing": SPACING, "write": write}

    def short(*_):
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr("ctseg_batch.parts.stack_measurer.find_lesions", short)
        first = batch(tmp_path / "in" / name, **call)
    assert (first.status, first.scan["failed_slices"], first.scan["regions"]) == (1, 0, None)
    second = batch(tmp_path / "in" / name, **call)
    assert (second.status, second.scan["status"]) == (0, "ok")
    assert second.scan["regions"] is not None
    assert batch(tmp_path / "in" / name, **call).summary["throughput"]["slices"] == 0


def test_any_number_of_workers_gives_the_same_figures(batch, lungs, draw, save_volume, save_series, tmp_path):
    save_series(tmp_path / "in/series", lungs)
    save_volume(tmp_path / "in/ct.nii.gz", np.stack([draw(seed, 64, 64) for seed in range(5)]), SPACING)
    runs = [batch(tmp_path / "in", measures="full", workers=n, out=tmp_path / f"out{n}") for n in (1, 4)]
    assert runs[0].summary["scans"] == runs[1].summary["scans"]
    for name in ("summary.csv", "slices.csv"):
        assert (runs[0].out / name).read_bytes() == (runs[1].out / name).read_bytes()


def test_figures_come_back_from_the_journal_as_they_were(batch, lungs, save_volume, tmp_path):
    save_volume(tmp_path / "in/ct.nii", lungs, SPACING)
    save_volume(tmp_path / "truth/ct.nii", lungs, truth=True)
    call = {"measures": "full", "truth": tmp_path / "truth"}
    first = batch(tmp_path / "in", **call)
    rows = (first.out / "slices.csv").read_bytes()
    second = batch(tmp_path / "in", **call)
    assert json.dumps(second.summary["scans"]) == json.dumps(first.summary["scans"])
    assert second.summary["throughput"]["slices"] == 0
    assert (second.out / "slices.csv").read_bytes() == rows


def test_other_measures_do_all_again(batch, lungs, save_volume, tmp_path):
    save_volume(tmp_path / "in/ct.nii", lungs, SPACING)
    assert batch(tmp_path / "in").summary["throughput"]["slices"] == SLICES
    full = batch(tmp_path / "in", measures="full")
    assert full.summary["throughput"]["slices"] == SLICES
    assert full.scan["regions"] is not None


def test_slices_that_do_not_lie_pixel_on_pixel_have_neither_lesions_nor_distances(
    batch, lungs, save_series, save, tmp_path
):
    files = save_series(tmp_path / "in/ct", lungs)
    coarse = pydicom.dcmread(files[0])
    row_mm, column_mm = map(float, coarse.PixelSpacing)
    coarse.PixelSpacing = [2 * row_mm, 2 * column_mm]
    coarse.save_as(files[0])
    for index, labels in enumerate(lungs):
        save(tmp_path / f"truth/ct/{index:03d}.png", labels)
    for _ in range(2):  # the second time, as they come back from the journal
        done = batch(tmp_path / "in", measures="full", truth=tmp_path / "truth")
        scan = done.scan
        assert (scan["lesions"], scan["surface"]) == (None, None)
        assert "mixed pixel spacing" in scan["flags"]
        voxel_ml = np.prod(scan["spacing_mm"]) / 1000
        assert scan["regions"]["right"]["lung_ml"] == pytest.approx(9 * 32 * 22 * voxel_ml)
        assert scan["severity"]["left"] == 4
        assert scan["volume_error_ml"]["consolidation"] == 0
    row = (done.out / "summary.csv").read_text().splitlines()
    cells = dict(zip(*(line.split(",") for line in row), strict=True))
    assert cells["lesions_count"] == cells["consolidation_hd95_mm"] == ""
    assert float(cells["severity_left"]) == 4


def test_of_slices_at_one_place_there_are_lesions_but_no_distances(batch, lungs, save_series, save, tmp_path):
    files = save_series(tmp_path / "in/ct", lungs)
    twice = pydicom.dcmread(files[1])
    twice.ImagePositionPatient = pydicom.dcmread(files[0]).ImagePositionPatient
    twice.save_as(files[1])
    for index, labels in enumerate(lungs):
        save(tmp_path / f"truth/ct/{index:03d}.png", labels)
    scan = batch(tmp_path / "in", measures="full", truth=tmp_path / "truth").scan
    assert "duplicate positions" in scan["flags"]
    assert scan["lesions"] is not None
    assert scan["surface"] is None


@pytest.fixture
def moved(lungs, save_volume, tmp_path):
    """The lungs as a volume, and a truth whose consolidation reaches a slice higher; a second one without a truth."""
    truth = lungs.copy()
    truth[2, 16:48, 36:54] = 3
    save_volume(tmp_path / "in/a.nii", lungs, SPACING)
    save_volume(tmp_path / "truth/a.nii", truth, truth=True)
    save_volume(tmp_path / "in/b.nii", lungs, SPACING)
    return tmp_path


def test_surfaces_and_volumes_are_compared_with_the_truth(batch, moved):
    done = batch(moved / "in", measures="full", truth=moved / "truth")
    scan, slab_ml = done.scans["a.nii"], 32 * 18 * VOXEL_ML
    assert scan["volume_error_ml"] == {"normal_lung": slab_ml, "ground_glass": 0, "consolidation": -slab_ml}
    # A slab of 160 x 90 x 20 mm beside one of 30: its upper face, a sixth of the surface and more, is 10 mm away.
    assert scan["surface"]["consolidation"]["hd95_mm"] == pytest.approx(10, abs=0.01)
    assert 0 < scan["surface"]["consolidation"]["assd_mm"] < 10
    assert scan["surface"]["ground_glass"] == pytest.approx({"hd95_mm": 0, "assd_mm": 0}, abs=1e-6)
    assert "background" not in scan["surface"]
    without = done.scans["b.nii"]
    assert (without["surface"], without["volume_error_ml"], without["confusion"]) == (None, None, None)


def test_a_class_that_only_one_of_the_two_has_no_distance(batch, lungs, save_volume, tmp_path):
    save_volume(tmp_path / "in/a.nii", lungs, SPACING)
    save_volume(tmp_path / "truth/a.nii", np.where(lungs == 2, 1, lungs), truth=True)
    scan = batch(tmp_path / "in", measures="full", truth=tmp_path / "truth").scan
    assert scan["surface"]["ground_glass"] is None
    assert scan["volume_error_ml"]["ground_glass"] == 16 * VOXEL_ML


def test_groups_of_classes_that_the_truth_does_not_tell_apart_are_compared_as_one(batch, moved):
    values = {"0": ["background"], "1": ["normal_lung"], "2": ["ground_glass", "consolidation"]}
    values["3"] = values["2"]
    (moved / "truth/dataset.json").write_text(json.dumps({"mask_values": values}))
    done = batch(moved / "in", measures="full", truth=moved / "truth")
    scan = done.scans["a.nii"]
    assert set(scan["surface"]) == {"normal_lung", "ground_glass+consolidation"}
    assert scan["volume_error_ml"]["ground_glass+consolidation"] == -32 * 18 * VOXEL_ML
    assert done.summary["totals"]["agreement"]["involvement_percent"]["n"] == 1


def test_what_the_truth_leaves_open_is_no_error_of_surfaces_and_volumes(batch, lungs, save_volume, tmp_path):
    """The upper half of the consolidation may be any class."""
    truth = lungs.copy()
    truth[1, 16:48, 36:54] = 9
    save_volume(tmp_path / "in/a.nii", lungs, SPACING)
    save_volume(tmp_path / "truth/a.nii", truth, truth=True)
    classes = ["background", "normal_lung", "ground_glass", "consolidation"]
    values = {**{str(index): [name] for index, name in enumerate(classes)}, "9": classes}
    (tmp_path / "truth/dataset.json").write_text(json.dumps({"mask_values": values}))
    scan = batch(tmp_path / "in", measures="full", truth=tmp_path / "truth").scan
    assert scan["surface"]["consolidation"] == pytest.approx({"hd95_mm": 0, "assd_mm": 0}, abs=1e-6)
    assert scan["volume_error_ml"] == dict.fromkeys(classes[1:], 0)


def test_a_scan_of_which_a_slice_has_no_truth_has_no_surface_but_a_volume_error(
    batch, lungs, save_series, save, tmp_path
):
    save_series(tmp_path / "in", lungs)
    for index in range(SLICES - 1):
        save(tmp_path / f"truth/{index:03d}.png", lungs[index])
    scan = batch(tmp_path / "in", measures="full", truth=tmp_path / "truth").scan
    assert scan["surface"] is None
    assert scan["volume_error_ml"] == {"normal_lung": 0, "ground_glass": 0, "consolidation": 0}


def test_over_all_scans_bias_and_limits_of_agreement_are_told(batch, lungs, save_volume, tmp_path):
    """Three truths that have 0, 1 and 2 slices more of consolidation than the mask, and no lung more."""
    for number in range(3):
        truth = lungs.copy()
        truth[2 : 2 + number, 16:48, 36:54] = 3
        save_volume(tmp_path / f"in/{number}.nii", lungs, SPACING)
        save_volume(tmp_path / f"truth/{number}.nii", truth, truth=True)
    done = batch(tmp_path / "in", measures="full", truth=tmp_path / "truth")
    found, slab = done.summary["totals"]["agreement"], 32 * 18 * VOXEL_ML
    assert found["volumes_ml"]["consolidation"] == pytest.approx(
        {"n": 3, "bias": -slab, "lower_limit": -slab - 1.96 * slab, "upper_limit": -slab + 1.96 * slab}
    )
    assert found["lung_ml"] == {"n": 3, "bias": 0, "lower_limit": 0, "upper_limit": 0}
    share = 100 * 32 * 18 / (LARGE + SMALL)
    assert found["involvement_percent"]["bias"] == pytest.approx(-share)
    assert batch(tmp_path / "in", truth=tmp_path / "truth").summary["totals"]["agreement"] is None


def test_a_truth_without_lung_is_left_out_of_the_agreement_in_involvement_alone(batch, lungs, save_volume, tmp_path):
    for name, truth in {"a": lungs, "b": np.zeros_like(lungs)}.items():
        save_volume(tmp_path / f"in/{name}.nii", lungs, SPACING)
        save_volume(tmp_path / f"truth/{name}.nii", truth, truth=True)
    found = batch(tmp_path / "in", measures="full", truth=tmp_path / "truth").summary["totals"]["agreement"]
    assert (found["involvement_percent"]["n"], found["lung_ml"]["n"]) == (1, 2)
    assert found["lung_ml"]["bias"] == pytest.approx((LARGE + SMALL) * VOXEL_ML / 2)


def test_without_the_extra_a_truth_in_full_is_refused_before_anything_is_written(batch, moved, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "meshmetrics", None)
    with pytest.raises(MissingExtraError, match=r"extra surface: "):
        batch(moved / "in", measures="full", truth=moved / "truth")
    assert not (moved / "out").exists()
    assert batch(moved / "in", measures="full").status == 0
    assert batch(moved / "in", truth=moved / "truth").status == 0


def test_a_volume_that_does_not_say_how_it_lies_is_taken_as_usual_and_flagged(batch, lungs, save_volume, tmp_path):
    import nibabel

    file = save_volume(tmp_path / "in/ct.nii", lungs, SPACING)
    image = nibabel.load(file)
    voxels = np.ascontiguousarray(np.asanyarray(image.dataobj))
    plain = nibabel.Nifti1Image(voxels, None)
    plain.header.set_zooms(image.header.get_zooms())
    nibabel.save(plain, file)
    flags = batch(tmp_path / "in", measures="full").scan["flags"]
    assert {"orientation unknown", "sides assumed"} <= set(flags)


def test_the_command_takes_the_option_and_tells_the_lungs_on_80_columns(
    command, lungs, save_volume, tmp_path, monkeypatch
):
    save_volume(tmp_path / "in/ct.nii", lungs, SPACING)
    left = command(tmp_path / "in", "--out", tmp_path / "out", "--measures", "full")
    assert left.status == 0
    (row,) = [line.split() for line in left.err.splitlines() if line.startswith("ct.nii") and "+" in line]
    assert row == ["ct.nii", "1,056", "864", "0.4", "33.3", "1", "+", "3", "2", "288"]
    assert command(tmp_path / "in", "--out", tmp_path / "out", "--measures", "some").status == 2


def test_where_the_truth_tells_lesions_alone_nothing_is_said_of_the_lung(batch, lungs, save_volume, tmp_path):
    save_volume(tmp_path / "in/a.nii", lungs, (10.0, 5.0, 5.0))
    save_volume(tmp_path / "truth/a.nii", np.where(lungs > 1, lungs, 0), truth=True)
    values = {"0": ["background", "normal_lung"], "2": ["ground_glass"], "3": ["consolidation"]}
    (tmp_path / "truth/dataset.json").write_text(json.dumps({"mask_values": values}))
    found = batch(tmp_path / "in", measures="full", truth=tmp_path / "truth").summary["totals"]["agreement"]
    assert found["volumes_ml"]["consolidation"]["bias"] == 0
    assert (found["lung_ml"], found["involvement_percent"]) == (None, None)


@pytest.mark.parametrize("spacing", [(4, 16), (6, 3)])
def test_pixels_that_are_not_square_are_turned_with_the_slice(batch, save_series, tmp_path, spacing):
    """Of a patient on a side; the right lung reaches in front of the other."""
    labels = np.zeros((SLICES, 64, 64), np.uint8)
    labels[:, 12:52, 8:28] = labels[:, 12:30, 28:38] = labels[:, 42:52, 36:56] = 1
    turned = np.ascontiguousarray(np.rot90(labels, axes=(1, 2)))
    save_series(tmp_path / "in", turned, ImageOrientationPatient=[0, 1, 0, -1, 0, 0], PixelSpacing=list(spacing))
    scan = batch(tmp_path / "in", measures="full").scan
    voxel_ml = np.prod(scan["spacing_mm"]) / 1000
    assert scan["regions"]["left"]["lung_ml"] == pytest.approx(SLICES * 10 * 20 * voxel_ml, rel=0.05)


def test_scans_without_a_spacing_are_left_out_of_the_agreement(batch, lungs, save_slice, save, save_volume, tmp_path):
    save_slice(tmp_path / "in/p/1.png", lungs[2])
    save(tmp_path / "truth/p/1.png", lungs[2])
    call = {"measures": "full", "truth": tmp_path / "truth"}
    assert batch(tmp_path / "in", out=tmp_path / "alone", **call).summary["totals"]["agreement"] is None
    save_volume(tmp_path / "in/ct.nii", lungs, (10.0, 5.0, 5.0))
    save_volume(tmp_path / "truth/ct.nii", lungs, truth=True)
    assert batch(tmp_path / "in", **call).summary["totals"]["agreement"]["lung_ml"]["n"] == 1


def test_numbers_of_another_unit_have_no_mean_hu(batch, lungs, save_series, tmp_path):
    save_series(tmp_path / "in", lungs, RescaleType="MGML")
    scan = batch(tmp_path / "in", measures="full").scan
    assert "not rescaled to HU" in scan["flags"]
    assert {region["mean_hu"] for region in scan["regions"].values()} == {None}


@pytest.mark.parametrize(("column_mm", "flagged"), [(9.2, True), (9.5, False)])
def test_a_single_lung_is_known_in_a_picture_of_30_cm(batch, lungs, save_volume, tmp_path, column_mm, flagged):
    """32 columns."""
    save_volume(tmp_path / "in/ct.nii", np.ascontiguousarray(lungs[:, :, :32]), (10.0, column_mm, column_mm))
    scan = batch(tmp_path / "in", measures="full").scan
    assert ("narrow field of view" in scan["flags"]) == flagged == (scan["regions"] is None)
