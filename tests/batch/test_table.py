"""The summary on a terminal: what stands where, and how much of it."""

import io
import json

import nibabel
import numpy as np
import pytest
from rich.console import Console

from ctseg_batch.terminal.table import end_of_run


@pytest.fixture
def told(batch):
    """What a person is told of a run, on so many columns."""

    def said(width, *inputs, **wanted):
        console = Console(file=io.StringIO(), width=width)
        for shown in end_of_run(batch(*inputs, **wanted).summary, width):
            console.print(shown, highlight=False)
        return console.file.getvalue()

    return said


def test_each_scan_has_a_row_and_all_have_a_sum(told, save_volume, tmp_path):
    for number in range(2):
        save_volume(tmp_path / f"in/{number}.nii", np.ones((1, 64, 48), np.uint8), (10, 10, 10 * number + 10))
    rows = [line.split() for line in told(120, tmp_path / "in").splitlines()]
    # 64 x 48 pixels of 1 and of 2 mL, all of them normal lung
    assert ["0.nii", "1", "ok", "3,072", "0.0", "0.0", "0.0", "3,072"] in rows
    assert ["1.nii", "1", "ok", "6,144", "0.0", "0.0", "0.0", "6,144"] in rows
    assert ["2", "scans", "together", "2", "9,216", "0.0", "0.0", "0.0", "9,216"] in rows


@pytest.mark.parametrize("width", [72, 80, 100, 160])
def test_scores_stand_beside_the_volumes_or_below_them(told, draw, save_slice, save, tmp_path, width):
    save_slice(tmp_path / "in/p01/a.png", draw())
    save(tmp_path / "truth/p01/a.png", draw())
    text = told(width, tmp_path / "in", truth=tmp_path / "truth", spacing=(1.0, 1.0, 1.0))
    assert max(map(len, text.splitlines())) <= width
    assert text.count("1.000") == 5
    assert sum(line.startswith("p01 ") for line in text.splitlines()) == (1 if width >= 110 else 2)


def test_what_is_little_is_not_told_as_nothing(told, save_volume, tmp_path):
    labels = np.ones((3, 64, 64), np.uint8)
    labels[0, 0, 0] = 3
    save_volume(tmp_path / "in/ct.nii", labels, (1, 1, 1))
    (row,) = [line.split() for line in told(160, tmp_path / "in").splitlines() if line.startswith("ct.nii")]
    assert row[-5:] == ["12.3", "<0.1", "0.0", "<0.1", "12.3"]


@pytest.mark.parametrize("width", [72, 80, 160])
def test_full_measures_have_tables_of_their_own_that_fit(told, save_volume, tmp_path, width):
    labels = np.zeros((3, 64, 64), np.uint8)
    labels[:, 16:48, 6:28] = labels[:, 16:48, 36:58] = 1
    labels[1, 20:24, 10:14], labels[1, 30:34, 40:44] = 2, 3
    for number in range(2):
        save_volume(tmp_path / f"in/patient-{number}.nii.gz", labels, (10, 5, 5))
        save_volume(tmp_path / f"truth/patient-{number}.nii.gz", labels, truth=True)
    text = told(width, tmp_path / "in", truth=tmp_path / "truth", measures="full")
    assert max(map(len, text.splitlines())) <= width
    assert text.count("1 + 1") == 2
    assert "HD95 mm" in text
    headings = [line.split() for line in text.splitlines() if "ground" in line]
    assert all(words.index("ground") < words.index("normal") for words in headings if "normal" in words)
    assert "ASSD mm" in text
    assert "involvement: bias 0.0 points, 2 scans" in text.splitlines()  # too few for limits of agreement
    assert "…" not in text
    lines = text.splitlines()
    assert lines.count("") == sum(line.startswith("scan ") for line in lines) >= 3  # one after each table
    names = [line.split()[0] for line in text.splitlines() if line.startswith("pat")]
    assert names == ["patient-0.nii.gz", "patient-1.nii.gz"] * (len(names) // 2)
    assert ("not shown for lack of room, but in summary.csv: " in text) == (width < 80)


def test_limits_of_agreement_take_three_scans(told, save_volume, tmp_path):
    for number in range(3):
        save_volume(tmp_path / f"in/{number}.nii", np.ones((2, 64, 64), np.uint8), (10, 5, 5))
        save_volume(tmp_path / f"truth/{number}.nii", np.ones((2, 64, 64), np.uint8), truth=True)
    text = told(80, tmp_path / "in", truth=tmp_path / "truth", measures="full")
    assert "lung: bias 0.0 mL, 95 % limits of agreement 0.0 to 0.0 mL, 3 scans" in text.splitlines()


@pytest.mark.parametrize(("width", "scored"), [(80, False), (120, True)])
def test_the_status_is_shown_where_others_have_no_room(told, draw, save_slice, save, tmp_path, width, scored):
    for name in ("p-0123456789-0123456789/a.png", "p-0123456789-0123456789/b.png"):
        save_slice(tmp_path / "in" / name, draw())
        save(tmp_path / "truth" / name, draw())
    (tmp_path / "in/p-0123456789-0123456789/c.png").write_bytes(b"text")
    more = {"truth": tmp_path / "truth"} if scored else {}
    lines = told(width, tmp_path / "in", spacing=(100.0, 100.0, 100.0), **more).splitlines()
    assert any("2 of 3" in line and "partial" in line for line in lines)
    assert any(line.startswith("not shown for lack of room") and "status" not in line for line in lines)


def test_what_people_came_for_is_shown_where_there_is_least_room(told, save_volume, tmp_path):
    labels = np.ones((2, 64, 64), np.uint8)
    labels[0, 0, 0] = 3
    for name in ("patient-0007", "patient-0008"):
        save_volume(tmp_path / f"in/{name}/thorax-1.5mm.nii.gz", labels, (10, 5, 5))
        save_volume(tmp_path / f"truth/{name}/thorax-1.5mm.nii.gz", labels, truth=True)
    text = told(60, tmp_path / "in", truth=tmp_path / "truth")
    volumes, scores = (line.split() for line in text.splitlines() if line.startswith("scan "))
    assert volumes[:5] == ["scan", "slices", "status", "mL", "%"]
    assert scores == ["scan", *["IoU"] * 4]
    _, of_volumes, of_scores = " ".join(text.split()).split("not shown for lack of room, but in summary.csv: ")
    assert of_volumes.startswith("consolidation mL, normal lung mL ")
    assert of_scores.startswith("background IoU ")


def test_a_long_name_is_broken_where_its_parts_are(told, save_volume, tmp_path):
    save_volume(tmp_path / "in/severe_case/of_a_very_long_name.nii.gz", np.ones((2, 64, 64), np.uint8))
    text = told(80, tmp_path / "in")
    assert [line.split()[0] for line in text.splitlines()[4:6]] == ["severe_case/of_a_", "very_long_name.nii.gz"]


def test_much_that_failed_is_not_listed_endlessly(told, draw, save_slice, tmp_path):
    save_slice(tmp_path / "in/a.png", draw())
    for number in range(30):
        (tmp_path / f"in/bad{number}.png").write_bytes(b"text")
    lines = told(120, tmp_path / "in").splitlines()
    assert sum(line.startswith("failed: bad") for line in lines) == 20
    assert "failed: 10 more, all in summary.json" in lines


def test_skipped_files_are_told_by_folder_and_reason(command, draw, save_series, tmp_path):
    ct = np.stack([draw(seed, 64, 64) for seed in range(3)])
    coronal, localizer = {"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}, {"ImageType": ["ORIGINAL", "LOCALIZER"]}
    save_series(tmp_path / "in/axial", ct)
    save_series(tmp_path / "in/scout", ct[:1], **localizer)
    for number in range(6):
        save_series(tmp_path / f"in/{number}", ct[:2], SOPClassUID="1.2.840.10008.5.1.4.1.1.4")
    for number in range(2):
        save_series(tmp_path / f"in/cor{number}", np.repeat(ct, 10, 0), **coronal)
    call = (tmp_path / "in", "--out", tmp_path / "out")
    for left in (command(*call, "--dry-run"), command(*call)):
        assert left.status == 0
        assert [line for line in left.err.splitlines() if line.startswith("skipped: ")] == [
            "skipped: cor0: 30 files: coronal reformat",
            "skipped: cor1: 30 files: coronal reformat",
            "skipped: 12 files in 6 folders: not a CT image (MR Image Storage)",
            "skipped: scout/000.dcm: localizer",
        ]


def test_an_output_that_none_is_made_of_is_told_with_the_reason(command, draw, save_slice, tmp_path):
    save_slice(tmp_path / "in/a.png", draw())
    left = command(tmp_path / "in", "--out", tmp_path / "out", "--write", "nifti,dicom-seg")
    assert left.status == 0
    lines = left.err.splitlines()
    assert "no dicom-seg of 1 scan: it can only be made from a DICOM series" in lines
    assert "no nifti of 1 scan: images form a stack only with --spacing Z,Y,X, and only up to 4096 of them" in lines


def test_images_without_a_spacing_lead_to_the_option(told, draw, save_slice, tmp_path):
    save_slice(tmp_path / "in/a.png", draw())
    assert "--spacing Z,Y,X (mm)" in told(120, tmp_path / "in")
    assert "--spacing" not in told(120, tmp_path / "in", spacing=(1.0, 1.0, 1.0))


def test_scans_without_volumes_are_named(told, draw, save_slice, save_series, tmp_path):
    save_series(tmp_path / "in/a", draw(0, 64, 64)[None])
    save_series(tmp_path / "in/b", draw(1, 64, 64)[None], PixelSpacing=None)
    lines = told(120, tmp_path / "in").splitlines()
    why = "the files give no spacing; set --spacing Z,Y,X (mm)"
    assert f"no volumes for b: {why}" in lines
    assert "volumes and involvement together are of 1 of 2 scans" in lines
    for name in "cd":
        save_slice(tmp_path / f"in/{name}/1.png", draw())
    assert f"no volumes for b and 2 other scans: {why}" in told(120, tmp_path / "in").splitlines()


def test_a_dry_run_shows_what_is_done_and_what_is_to_do(command, batch, draw, save_slice, tmp_path):
    save_slice(tmp_path / "in/a/1.png", draw())
    out = batch(tmp_path / "in").out
    times = {file: file.stat().st_mtime_ns for file in out.rglob("*")}
    for number in range(3):
        save_slice(tmp_path / f"in/b/{number}.png", draw())
    rows = [line.split() for line in command(tmp_path / "in", "--out", out, "--dry-run").err.splitlines()]
    assert ["a", "1", "0"] in rows
    assert ["b", "3", "3"] in rows
    assert ["2", "scans", "4", "3"] in rows
    assert {file: file.stat().st_mtime_ns for file in out.rglob("*")} == times


def test_a_dry_run_tells_what_is_doubtful_before_any_pixel_is_read(
    command, batch, draw, save_series, save_volume, tmp_path
):
    files = save_series(tmp_path / "in/gap", np.stack([draw(seed) for seed in range(12)]))
    files[5].unlink()
    save_volume(tmp_path / "in/mask.nii", np.stack([draw(seed) for seed in range(4)]))
    volume = nibabel.load(tmp_path / "in/mask.nii", mmap=False)
    volume.header.set_intent("label")
    mask = nibabel.Nifti1Image(np.asarray(volume.dataobj), volume.affine, volume.header)
    nibabel.save(mask, tmp_path / "in/mask.nii")
    call = (tmp_path / "in", "--out", tmp_path / "out")
    dry = command(*call, "--dry-run").err.splitlines()
    assert "doubtful: gap: gap" in dry
    assert any(line.startswith("doubtful: mask.nii: ") and "looks like a label map" in line for line in dry)
    flags = {one["scan"]: one["flags"] for one in json.loads(command(*call, "--dry-run", "--json").out)["scans"]}
    assert flags["gap"] == ["gap"]
    assert set(flags["mask.nii"]) <= set(batch(tmp_path / "in").scans["mask.nii"]["flags"])


def test_a_dry_run_tells_what_can_not_be_opened(command, draw, save_slice, save_series, tmp_path):
    save_slice(tmp_path / "in/a/1.png", draw())
    files = save_series(tmp_path / "in/b", np.zeros((3, 64, 64), np.uint8))
    files[1].write_bytes(files[1].read_bytes()[:300])
    (tmp_path / "in/c").mkdir()
    (tmp_path / "in/c/ct.nii.gz").write_bytes(b"no volume")
    call = (tmp_path / "in", "--out", tmp_path / "out", "--dry-run")
    told = command(*call)
    assert told.status == 1
    failed = [line.split(": ")[1] for line in told.err.splitlines() if line.startswith("failed: ")]
    assert failed == ["b/001.dcm", "c/ct.nii.gz"]
    plan = json.loads(command(*call, "--json").out)
    assert [one["file"] for one in plan["errors"]] == failed
    done = json.loads(command(*call[:-1], "--json").out)
    assert [error for scan in done["scans"] for error in scan["errors"]] == plan["errors"]
