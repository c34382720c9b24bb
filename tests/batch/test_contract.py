"""What the command promises: which masks it writes, what it reports, how it leaves."""

import csv
import json

import cv2
import numpy as np
import pytest

from ctseg.phantom import Phantom


@pytest.mark.parametrize("ending", [".png", ".jpg", ".tif", ".bmp"])
def test_each_picture_gets_a_mask_of_its_own_size_and_labels(batch, draw, save_slice, tmp_path, ending):
    labels = draw(1, 64, 40)
    save_slice(tmp_path / "in" / f"a{ending}", labels)
    done = batch(tmp_path / "in")
    name = "a.png" if ending == ".png" else f"a{ending}.png"
    assert list(done.masks) == [name]
    np.testing.assert_array_equal(done.masks[name], labels)
    assert done.status == 0


def test_a_dicom_series_is_one_scan_whatever_its_files_are_called(batch, draw, save_series, tmp_path):
    labels = np.stack([draw(seed, 64, 64) for seed in range(4)])
    save_series(tmp_path / "in" / "ct", labels, stems=["z", "b", "y", "a"])
    done = batch(tmp_path / "in")
    for stem, expected in zip("zbya", labels, strict=True):
        np.testing.assert_array_equal(done.masks[f"ct/{stem}.dcm.png"], expected)
    assert (done.scan["scan"], done.scan["slices"], done.scan["status"]) == ("ct", 4, "ok")


@pytest.mark.parametrize("name", ["ct.nii", "ct.nii.gz"])
def test_a_volume_is_one_scan_with_a_folder_of_its_name_from_the_feet_up(batch, draw, save_volume, tmp_path, name):
    labels = np.stack([draw(seed) for seed in range(3)])
    save_volume(tmp_path / "in" / name, labels, (2.5, 0.5, 0.5))
    done = batch(tmp_path / "in")
    assert list(done.masks) == [f"{name}/{index:04d}.png" for index in range(3)]
    np.testing.assert_array_equal(np.stack(list(done.masks.values())), labels)
    assert done.scan["scan"] == name
    assert done.scan["spacing_mm"] == pytest.approx((2.5, 0.5, 0.5))


def test_volumes_are_those_of_the_phantom(batch, save_series, tmp_path):
    """A model that is never wrong gives the phantom's own millilitres."""
    phantom = Phantom(seed=3, slices=5, size=64, disease=0.3)
    truth = phantom.volume()[1]
    save_series(tmp_path / "in", truth, seed=3)
    scan = batch(tmp_path / "in").scan
    voxel = np.prod(phantom.spacing_mm) / 1000
    for index, name in enumerate(("normal_lung", "ground_glass", "consolidation"), start=1):
        assert scan["volumes_ml"][name] == pytest.approx(np.count_nonzero(truth == index) * voxel, rel=1e-3)
    assert scan["lung_ml"] == pytest.approx(np.count_nonzero(truth) * voxel, rel=1e-3)
    share = np.count_nonzero(truth >= 2) / np.count_nonzero(truth)
    assert scan["involvement_percent"] == pytest.approx(100 * share, rel=1e-6)


def test_two_series_in_a_folder_are_two_scans_and_a_localizer_is_skipped(batch, draw, save_series, tmp_path):
    labels = np.stack([draw(seed, 64, 64) for seed in range(2)])
    save_series(tmp_path / "in" / "study", labels, stems=["a", "b"], SeriesInstanceUID="1.2.3")
    save_series(tmp_path / "in" / "study", labels, stems=["c", "d"], SeriesInstanceUID="1.2.4")
    save_series(tmp_path / "in" / "study", labels[:1], stems=["s"], ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    done = batch(tmp_path / "in")
    assert len(done.scans) == 2
    assert all(name.startswith("study#") for name in done.scans)
    assert done.summary["skipped"] == [{"file": "study/s.dcm", "reason": "localizer"}]
    assert done.status == 0
    assert len(done.masks) == 4


@pytest.mark.parametrize("ending", [".jpg", ".png", ".tif"])
def test_of_fifty_slices_one_that_is_cut_in_half_fails_alone(command, draw, save_slice, tmp_path, ending):
    for number in range(50):
        save_slice(tmp_path / "in" / f"{number}{ending}", draw(number))
    half = tmp_path / "in" / f"17{ending}"
    half.write_bytes(half.read_bytes()[: half.stat().st_size // 2])
    left = command(tmp_path / "in", "--out", tmp_path / "out")
    assert left.status == 1
    assert len(list((tmp_path / "out" / "masks").rglob("*.png"))) == 49
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    (scan,) = summary["scans"]
    assert (scan["status"], scan["slices"], scan["failed_slices"]) == ("partial", 50, 1)
    assert [error["file"] for error in scan["errors"]] == [half.name]
    assert half.name in left.err
    speed = summary["throughput"]
    assert speed["slices"] == 49
    assert speed["slices_per_second"] == pytest.approx(49 / speed["wall_s"])
    assert "\n49 slices in " in left.err


def test_a_failed_slice_leaves_no_old_mask_and_is_done_once_it_can_be_read(batch, draw, save_slice, tmp_path):
    files = [save_slice(tmp_path / "in" / f"{n}.png", draw(n)) for n in range(3)]
    batch(tmp_path / "in")
    whole = files[1].read_bytes()
    files[1].write_bytes(whole[:50])
    done = batch(tmp_path / "in")
    assert list(done.masks) == ["0.png", "2.png"]
    assert batch(tmp_path / "in").status == 1
    files[1].write_bytes(whole)
    again = batch(tmp_path / "in")
    assert again.status == 0
    assert list(again.masks) == ["0.png", "1.png", "2.png"]


def test_where_nothing_can_be_read_the_status_is_2(batch, command, tmp_path):
    (tmp_path / "in").mkdir()
    left = command(tmp_path / "in", "--out", tmp_path / "out")
    assert (left.status, left.err.count("\n")) == (2, 1)
    (tmp_path / "in" / "a.png").write_bytes(b"no picture")
    assert batch(tmp_path / "in").status == 2


def test_the_summary_has_the_form_that_is_documented(batch, draw, save_slice, save_volume, tmp_path):
    save_slice(tmp_path / "in" / "images" / "a.png", draw())
    save_volume(tmp_path / "in" / "ct.nii", np.stack([draw(1), draw(2)]), (2, 1, 1))
    (tmp_path / "in" / "notes.txt").write_text("nothing")
    summary = batch(tmp_path / "in").summary
    assert summary.keys() == {
        "schema", "version", "model", "measures", "groups", "scans", "totals", "ignored", "ignored_endings", "skipped",
        "errors", "notes", "throughput", "shard", "runs",
    }  # fmt: skip
    assert (summary["schema"], summary["ignored"], summary["errors"]) == (2, 1, [])
    keys = {
        "scan", "status", "slices", "failed_slices", "spacing_mm", "window_hu", "pixels", "volumes_ml", "lung_ml",
        "involvement_percent", "mean_hu", "mass_g", "regions", "severity", "lesions", "iou", "dice", "confusion",
        "surface", "volume_error_ml", "flags", "device", "precision", "errors", "series", "slice_weights",
        "weighted_confusion", "patients_right", "left_out",
    }  # fmt: skip
    scans = {scan["scan"]: scan for scan in summary["scans"]}
    assert all(scan.keys() == keys for scan in scans.values())
    assert scans["images"]["volumes_ml"] is None
    assert scans["images"]["spacing_mm"] is None
    assert scans["images"]["iou"] is None
    totals = summary["totals"]
    for name in ("background", "normal_lung", "ground_glass", "consolidation"):
        assert totals["pixels"][name] == sum(scan["pixels"][name] for scan in scans.values())
    assert totals["volumes_ml"] == scans["ct.nii"]["volumes_ml"]
    assert (totals["scans"], totals["slices"]) == (2, 3)
    with (tmp_path / "out" / "summary.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    assert [row["scan"] for row in rows] == list(scans)
    volumes = scans["ct.nii"]["volumes_ml"]
    assert float(next(r for r in rows if r["scan"] == "ct.nii")["ground_glass_ml"]) == pytest.approx(
        volumes["ground_glass"], abs=1e-4
    )


def test_a_spacing_that_is_given_makes_millilitres_of_images(batch, draw, save_slice, tmp_path):
    save_slice(tmp_path / "in" / "a.png", draw())
    scan = batch(tmp_path / "in", spacing=(10.0, 2.0, 2.01)).scan
    assert scan["volumes_ml"]["consolidation"] == pytest.approx(np.count_nonzero(draw() == 3) * 40.2 / 1000)


def test_involvement_in_all_is_of_the_scans_with_volumes_though_these_hold_no_lung(
    batch, draw, save_slice, save_volume, tmp_path
):
    save_slice(tmp_path / "in/images/a.png", draw())
    save_volume(tmp_path / "in/empty.nii", np.zeros((3, 64, 64), np.uint8))
    totals = batch(tmp_path / "in").summary["totals"]
    assert totals["pixels"]["consolidation"] == np.count_nonzero(draw() == 3)
    assert (totals["lung_ml"], totals["involvement_percent"]) == (0, None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        *((text, "give three lengths in mm") for text in ("1,2", "a,b,c", "1,2,0", "1,2,nan")),
        ("5000,700,700", "each above 0 and below 1000"),
        ("0.7,0.7,5", "the order is slices, rows, columns: 5,0.7,0.7?"),
        ("5,5,0.7", "the order is slices, rows, columns: 0.7,5,5?"),
    ],
)
def test_a_spacing_that_is_none_is_a_wrong_call(command, draw, save_slice, tmp_path, text, said):
    save_slice(tmp_path / "in/a.png", draw())
    left = command(tmp_path / "in", "--out", tmp_path / "out", "--spacing", text)
    assert left.status == 2
    assert f"--spacing {text}: " in left.err
    assert said in left.err


def test_json_alone_goes_to_standard_output(command, draw, save_slice, tmp_path):
    save_slice(tmp_path / "in" / "a.png", draw())
    left = command(tmp_path / "in", "--out", tmp_path / "out", "--json")
    assert json.loads(left.out) == json.loads((tmp_path / "out" / "summary.json").read_text())
    assert "normal" in left.err
    quiet = command(tmp_path / "in", "--out", tmp_path / "out", "--quiet")
    assert (quiet.out, quiet.err) == ("", "")


def test_a_dry_run_tells_and_writes_nothing(command, draw, save_slice, tmp_path):
    save_slice(tmp_path / "in" / "a.png", draw())
    left = command(tmp_path / "in", "--out", tmp_path / "out", "--dry-run", "--json")
    plan = {"scans": [{"scan": "in", "slices": 1, "to_do": 1, "flags": []}], "skipped": [], "errors": [], "notes": []}
    assert json.loads(left.out) == plan
    quiet = command(tmp_path / "in", "--out", tmp_path / "out", "--dry-run", "--quiet")
    assert (quiet.status, quiet.out, quiet.err.strip()) == (0, "", "")
    assert not (tmp_path / "out").exists()


def test_an_overlay_shows_the_slice_with_its_classes_and_a_legend(batch, draw, save_slice, tmp_path):
    labels = draw(4, 64, 40)
    save_slice(tmp_path / "in" / "a.png", labels)
    done = batch(tmp_path / "in", write=("mask", "overlay"))
    picture = cv2.imread(str(done.out / "overlays" / "a.png"))
    assert picture.shape == (64 + 72, 40, 3)
    shown = picture[:64].astype(int)
    colourless = shown.max(axis=2) == shown.min(axis=2)
    np.testing.assert_array_equal(colourless, labels == 0)


def test_out_among_the_inputs_is_refused_and_below_them_is_not_searched(batch, command, draw, save_slice, tmp_path):
    save_slice(tmp_path / "in" / "a.png", draw())
    assert command(tmp_path / "in", "--out", tmp_path / "in").status == 2
    for _ in range(2):
        done = batch(tmp_path / "in", out=tmp_path / "in" / "out", write=("mask", "overlay"))
        assert list(done.masks) == ["a.png"]


def test_out_of_another_root_is_refused(batch, command, draw, save_slice, tmp_path):
    save_slice(tmp_path / "one" / "a.png", draw())
    save_slice(tmp_path / "two" / "a.png", draw())
    batch(tmp_path / "one")
    left = command(tmp_path / "two", "--out", tmp_path / "out")
    assert left.status == 2
    assert left.err.endswith(f"holds the results of {tmp_path / 'one'}, not of {tmp_path / 'two'}: name another OUT\n")


def test_a_call_that_could_read_nothing_does_not_claim_out(command, draw, save_slice, tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "one/scan.zip").write_bytes(b"PK")
    assert command(tmp_path / "one/scan.zip", "--out", tmp_path / "out").status == 2
    save_slice(tmp_path / "two/a.png", draw())
    assert command(tmp_path / "two", "--out", tmp_path / "out").status == 0
    assert command(tmp_path / "two", "--out", tmp_path / "out").status == 0
    assert "holds the results of" in command(tmp_path / "one/scan.zip", "--out", tmp_path / "out").err


def test_a_root_that_is_offered_for_the_out_of_another_can_be_taken(batch, command, draw, save_slice, tmp_path):
    save_slice(tmp_path / "in/a/1.png", draw())
    batch(tmp_path / "in")
    left = command(tmp_path / "in/a", "--out", tmp_path / "out")
    assert left.status == 2
    assert left.err.endswith(f": name another OUT, or --root {tmp_path / 'in'}\n")
    assert command(tmp_path / "in/a", "--out", tmp_path / "out", "--root", tmp_path / "in").status == 0


def test_kinds_without_a_comma_are_a_wrong_call_that_says_so(command, draw, save_slice, tmp_path):
    save_slice(tmp_path / "in/a.png", draw())
    left = command(tmp_path / "in", "--out", tmp_path / "out", "--write", "mask", "overlay")
    assert left.status == 2
    assert "separated by commas: --write mask,overlay" in left.err


@pytest.mark.parametrize("kinds", ["", "mesh", "mask,mesh"])
def test_a_kind_of_output_that_there_is_not_is_a_wrong_call(command, tmp_path, kinds):
    (tmp_path / "in").mkdir()
    left = command(tmp_path / "in", "--out", tmp_path / "out", "--write", kinds)
    assert left.status == 2
    assert f"--write {kinds.rpartition(',')[2] or chr(39) * 2}: choose from mask, overlay" in left.err


def test_names_that_terminals_obey_or_no_encoding_holds_break_nothing(command, draw, save_slice, tmp_path):
    strange = ["new\nline", "\x1b[31mred", 'comma,"quote', "caf\udce9"]
    for name in strange:
        save_slice(tmp_path / "in" / name / "a.png", draw())
    left = command(tmp_path / "in", "--out", tmp_path / "out", "--json")
    assert left.status == 0
    assert {scan["scan"] for scan in json.loads(left.out)["scans"]} == set(strange)
    assert "\x1b[31mred" not in left.err
    with (tmp_path / "out" / "summary.csv").open(newline="", encoding="utf-8", errors="surrogateescape") as rows:
        assert {row["scan"] for row in csv.DictReader(rows)} == set(strange)
