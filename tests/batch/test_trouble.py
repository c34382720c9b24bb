"""What can be wrong with a call, a name, a disk: one line each, and never a traceback."""

import csv
import errno
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest


def test_a_name_too_long_for_a_mask_fails_alone(batch, draw, save_slice, tmp_path):
    save_slice(tmp_path / "in/short.jpg", draw())
    longest = "x" * 251 + ".jpg"
    save_slice(tmp_path / "in" / longest, draw())
    for _ in range(2):
        done = batch(tmp_path / "in")
        assert done.status == 1
        assert [error["file"] for error in done.scan["errors"]] == [longest]
        assert list(done.masks) == ["short.jpg.png"]


def test_an_archive_as_an_input_leads_to_how_it_is_read(command, tmp_path):
    (tmp_path / "scan.zip").write_bytes(b"PK")
    left = command(tmp_path / "scan.zip", "--out", tmp_path / "out")
    assert left.status == 2
    assert left.err.splitlines()[-1] == f"failed: scan.zip: is an archive: give it as zip::{tmp_path / 'scan.zip'}"


def test_an_input_that_can_not_be_listed_fails_by_its_name(command, tmp_path, monkeypatch):
    def refused(folder):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))

    (tmp_path / "in").mkdir()
    monkeypatch.setattr(os, "scandir", refused)
    left = command(tmp_path / "in", "--out", tmp_path / "out")
    assert left.status == 2
    assert left.err.splitlines()[-1] == "failed: in: can't be listed: Permission denied"
    assert "slices" not in left.err


@pytest.mark.parametrize(
    ("names", "ignored"),
    [
        ((), ": no DICOM, .nii, .nii.gz, .mha, .mhd, .nrrd, .nhdr, .npy or images"),
        (["a.txt"], ": 1 file of another kind was ignored: 1 .txt"),
        ("ab", ": 2 files of other kinds were ignored: 2 without an ending"),
        (
            ["a.DC3", "b.dc3", "c.dc3", "a.hdr", "a.img", "b.zip", "c.zip", "._a.png", "7.csv", "7.json", "7"],
            ": 11 files of other kinds were ignored: 3 .dc3, 2 .zip (zip::FILE reads one), 1 without an ending, 1 ._*, "
            "1 .csv, 3 others",
        ),
    ],
)
def test_a_folder_without_ct_is_a_wrong_call(command, tmp_path, names, ignored):
    (tmp_path / "in").mkdir()
    for name in names:
        (tmp_path / "in" / name).write_text("text")
    left = command(tmp_path / "in", "--out", tmp_path / "out")
    assert (left.status, left.err) == (2, f"error: no CT in {tmp_path / 'in'}{ignored}\n")


@pytest.fixture
def picky(monkeypatch, tmp_path):
    """Makes OUT lie on a file system that takes no name with a `:`, and says so by the error of that number."""

    def made(number):
        def refusing(real):
            def tried(path, *given, **more):
                below = str(path).removeprefix(str(tmp_path / "out"))
                if ":" in below and below != str(path):
                    raise OSError(number, os.strerror(number), str(path))
                return real(path, *given, **more)

            return tried

        for name in ("write_bytes", "mkdir", "unlink", "replace"):
            monkeypatch.setattr(Path, name, refusing(getattr(Path, name)))
        monkeypatch.setattr(os, "open", refusing(os.open))
        monkeypatch.setattr(os, "stat", refusing(os.stat))

    return made


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EILSEQ, errno.ENAMETOOLONG])
def test_a_name_that_out_can_not_hold_fails_alone(
    command, draw, save_slice, save_series, save_volume, picky, tmp_path, number
):
    labels = np.stack([draw(seed, 64, 64) for seed in range(2)])
    for name in ("images/9:30.jpg", "images/10.jpg", "a:b/1.jpg"):
        save_slice(tmp_path / "in" / name, draw())
    save_volume(tmp_path / "in/c:t.nii", labels)
    save_volume(tmp_path / "in/ct.nii", labels)
    save_series(tmp_path / "in/p:q", labels)
    picky(number)
    for _ in range(2):
        left = command(tmp_path / "in", "--out", tmp_path / "out", "--write", "mask,nifti,dicom-seg", "--json")
        assert (left.status, "Traceback" in left.err) == (1, False)
        scans = {scan["scan"]: scan for scan in json.loads(left.out)["scans"]}
        assert {name: scan["failed_slices"] for name, scan in scans.items()} == {
            "images": 1, "a:b": 1, "c:t.nii": 2, "ct.nii": 0, "p:q": 2,
        }  # fmt: skip
        errors = [error for scan in scans.values() for error in scan["errors"]]
        assert all(":" in error["file"] and "name" in error["reason"] for error in errors)
        top = tmp_path / "out/masks"
        masks = [file.relative_to(top).as_posix() for file in top.rglob("*.png")]
        assert sorted(masks) == ["ct.nii/0000.png", "ct.nii/0001.png", "images/10.jpg.png"]


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EILSEQ, errno.ENAMETOOLONG])
def test_a_label_map_whose_name_out_can_not_hold_fails_alone(batch, draw, save_series, picky, tmp_path, number):
    labels = np.stack([draw(seed, 64, 64) for seed in range(2)])
    save_series(tmp_path / "in/p:q", labels)
    save_series(tmp_path / "in/pq", labels)
    picky(number)
    done = batch(tmp_path / "in", write=("nifti", "dicom-seg"))
    assert (done.status, done.scans["pq"]["status"], done.scans["p:q"]["failed_slices"]) == (1, "ok", 0)
    assert [error["file"] for error in done.scans["p:q"]["errors"]] == ["p:q/000.dcm"] * 2
    assert sorted(file.name for file in (tmp_path / "out").rglob("pq.*")) == ["pq.dcm", "pq.nii.gz"]


def test_of_several_inputs_the_one_without_ct_fails(command, draw, save_slice, tmp_path):
    save_slice(tmp_path / "in/a.png", draw())
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "in")
    call = [*(tmp_path / name for name in ("empty", "in", "link")), "--out", tmp_path / "out", "--quiet"]
    for options in (["--dry-run"], []):
        left = command(*call, *options)
        assert left.status == 1
        assert "failed: empty: there is no CT in it\n" in left.err
    (error,) = json.loads((tmp_path / "out/summary.json").read_text())["errors"]
    assert error == {"file": "empty", "reason": "there is no CT in it"}


@pytest.mark.parametrize("target", ["a/x", "a"])
def test_an_input_whose_ct_was_found_by_another_does_not_fail(batch, draw, save_slice, tmp_path, target):
    save_slice(tmp_path / "a/x/0.png", draw())
    (tmp_path / "c/y").mkdir(parents=True)
    (tmp_path / "c/y/l").symlink_to(tmp_path / target)
    done = batch(tmp_path / "a", tmp_path / "c")
    assert (done.status, done.summary["errors"], list(done.scans)) == (0, [], ["a/x"])


def test_an_input_that_holds_nothing_but_results_does_not_fail(batch, draw, save_slice, tmp_path):
    save_slice(tmp_path / "in/a.png", draw())
    for number in range(2):
        done = batch(tmp_path / "in", *[tmp_path / "results"][:number], out=tmp_path / "results/1", root=tmp_path)
    told = [f"no CT in {tmp_path / 'results'}, only results or reference masks"]
    assert (done.status, done.summary["errors"], done.summary["notes"]) == (0, [], told)


def test_a_folder_of_results_is_no_input(batch, command, draw, save_slice, tmp_path, monkeypatch):
    save_slice(tmp_path / "in/a.png", draw())
    done = batch(tmp_path / "in")
    monkeypatch.chdir(done.out.parent)
    for name in (done.out, done.out.name):
        left = command(name, "--out", tmp_path / "more")
        assert left.status == 2
        assert f"no CT in {name}, only results or reference masks: name the scans themselves" in left.err


def test_a_dry_run_tells_what_is_not_searched_as_the_run_notes_it(command, draw, save_slice, tmp_path):
    save_slice(tmp_path / "in/a.png", draw())
    save_slice(tmp_path / "in/.Trash-1000/b.png", draw())
    (tmp_path / "results/.ctseg").mkdir(parents=True)
    call = [tmp_path / "in", tmp_path / "results", "--out", tmp_path / "out"]
    shown, plan, done = (command(*call, *more) for more in (["--dry-run"], ["--dry-run", "--json"], ["--json"]))
    notes = json.loads(done.out)["notes"]
    assert [note.partition(" ")[0] for note in notes] == ["no", "not"]
    assert json.loads(plan.out)["notes"] == notes
    assert " ".join(shown.err.split()).count(" ".join(notes)) == 1


@pytest.mark.parametrize("option", ["--out", "--truth", "--model", "INPUT"])
def test_a_path_that_no_system_takes_is_an_error_in_one_line(command, draw, save_slice, tmp_path, option):
    save_slice(tmp_path / "in/a.png", draw())
    too_long = tmp_path / ("x" * 300)
    given = [too_long] if option == "INPUT" else [option, too_long]
    left = command(tmp_path / "in", "--out", tmp_path / "out", *given)
    assert (left.status, left.out) == (2, "")
    assert left.err.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in left.err
    assert not (tmp_path / "out/masks").exists()


def test_an_out_that_is_a_file_is_an_error_in_one_line(command, draw, save_slice, tmp_path):
    save_slice(tmp_path / "in/a.png", draw())
    (tmp_path / "out").write_text("mine")
    left = command(tmp_path / "in", "--out", tmp_path / "out")
    assert (left.status, left.err.splitlines()[-1][:6]) == (2, "error:")
    assert "can't be written" in left.err
    assert (tmp_path / "out").read_text() == "mine"


def test_a_disk_that_takes_nothing_more_ends_the_run_in_one_line(command, draw, save_slice, monkeypatch, tmp_path):
    for number in range(9):
        save_slice(tmp_path / f"in/{number}.png", draw(number))
    replace = Path.replace

    def full(self, file):
        if file.name == "5.png":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return replace(self, file)

    monkeypatch.setattr(Path, "replace", full)
    left = command(tmp_path / "in", "--out", tmp_path / "out")
    assert left.status == 2
    assert f"masks/5.png can't be written: {os.strerror(errno.ENOSPC)}; finished scans are kept" in left.err


def test_an_error_moves_no_cursor_whatever_it_names(command, tmp_path):
    left = command(tmp_path / "a\x1b[2J\nb\udcff[red]", "--out", tmp_path / "out")
    assert left.status == 2
    assert left.err.endswith("a\\x1b[2J\\nb\\udcff[red] does not exist or is not readable\n")
    assert left.err.count("\n") == 1


def test_a_carriage_return_in_a_name_stays_within_its_cell(batch, draw, save_slice, tmp_path):
    for name in ("a\rb", "c"):
        save_slice(tmp_path / "in" / name / "1.png", draw())
    done = batch(tmp_path / "in")
    with (done.out / "summary.csv").open(newline="") as rows:
        assert [row["scan"] for row in csv.DictReader(rows)] == ["a\rb", "c"]


def test_where_the_only_volume_is_damaged_nothing_is_said_to_be_done(command, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/ct.nii.gz").write_bytes(b"junk")
    left = command(tmp_path / "in", "--out", tmp_path / "out")
    assert left.status == 2
    assert "failed: ct.nii.gz: is not a NIfTI volume" in left.err
    assert "nothing to do" not in left.err


def test_quiet_tells_what_failed_and_nothing_else(command, draw, save_slice, tmp_path):
    save_slice(tmp_path / "in/a.png", draw())
    (tmp_path / "in/b.png").write_bytes(b"")
    left = command(tmp_path / "in", "--out", tmp_path / "out", "--quiet")
    assert (left.status, left.out, left.err) == (1, "", "failed: b.png: is empty\n")


def test_a_reason_stands_in_every_summary(command, draw, save_slice, tmp_path):
    save_slice(tmp_path / "in/a.png", draw())
    (tmp_path / "in/b.png").write_bytes(b"text")
    left = command(tmp_path / "in", "--out", tmp_path / "out", "--json")
    (error,) = json.loads(left.out)["scans"][0]["errors"]
    assert error == {"file": "b.png", "reason": "is not a PNG, JPEG, TIFF, BMP or NPY image"}
    with (tmp_path / "out/summary.csv").open(newline="") as rows:
        (row,) = csv.DictReader(rows)
    assert row["errors"] == "b.png: is not a PNG, JPEG, TIFF, BMP or NPY image"
    assert "failed: b.png: is not a PNG" in left.err


def test_what_cannot_be_told_belongs_to_no_scan(batch, draw, save_slice, tmp_path):
    save_slice(tmp_path / "in/s/a.png", draw())
    (tmp_path / "in/s/lost.png").symlink_to("nowhere")
    done = batch(tmp_path / "in")
    assert done.status == 1
    assert done.scan["status"] == "ok"
    assert done.summary["errors"] == [
        {"file": "s/lost.png", "reason": "can't be opened: No such file or directory"},
    ]


def test_totals_count_the_volumes_that_are_known(batch, draw, save_volume, save_slice, tmp_path):
    labels = np.stack([draw(seed) for seed in range(4)])
    save_volume(tmp_path / "in/a.nii", labels[:1], (1, 2.5, 2.5))
    save_volume(tmp_path / "in/b.nii", labels[1:3], (4, 5.5, 5.5))
    save_slice(tmp_path / "in/c/1.png", labels[3])
    done = batch(tmp_path / "in")
    totals = done.summary["totals"]
    one, two = labels[0], labels[1:3]
    ml = [np.count_nonzero(one == c) * 0.00625 + np.count_nonzero(two == c) * 0.121 for c in (1, 2, 3)]
    assert list(totals["volumes_ml"].values()) == pytest.approx(ml)
    assert totals["lung_ml"] == pytest.approx(sum(ml))
    assert totals["involvement_percent"] == pytest.approx(100 * sum(ml[1:]) / sum(ml))
    assert list(totals["pixels"].values()) == np.bincount(labels.ravel(), minlength=4).tolist()
    assert (totals["scans"], totals["slices"], totals["failed_slices"]) == (3, 4, 0)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("masks/a.png", "masks/ exists and was not written by ctseg: name another folder"),
        ("overlays/a.png", "overlays/ exists and was not written by ctseg: name another folder"),
        ("summary.csv", "summary.csv exists and was not written by ctseg: name another folder"),
        ("slices.parquet", "slices.parquet exists"),
        ("dataset.json", "it is a data set, since it holds dataset.json: name another folder"),
    ],
)
def test_what_no_run_has_written_is_never_written_over(command, draw, save_slice, tmp_path, name, said):
    out = tmp_path / "ds"
    save_slice(out / "images/a.png", draw())
    drawn = out / name
    drawn.parent.mkdir(exist_ok=True)
    drawn.write_bytes(b"{}")
    for option in ([], ["--overwrite"], ["--dry-run"], ["--shard", "1/2"]):
        left = command(out / "images", "--out", out, *option)
        assert left.status == 2
        assert said in left.err
    assert drawn.read_bytes() == b"{}"
    assert not (out / ".ctseg").exists()


@pytest.mark.parametrize("name", ["masks/a.png", "summary.csv"])
def test_what_is_called_so_in_another_case_is_not_written_over_where_out_does_not_tell_case(
    command, draw, save_slice, monkeypatch, tmp_path, name
):
    def listed(folder, real=os.listdir):
        return [one.capitalize() for one in real(folder)] if Path(folder) == tmp_path / "out" else real(folder)

    save_slice(tmp_path / "in/a.png", draw())
    (tmp_path / "out" / name).parent.mkdir(parents=True)
    (tmp_path / "out" / name).write_bytes(b"mine")
    monkeypatch.setattr(os, "listdir", listed)  # as it is listed there, and found by our name
    left = command(tmp_path / "in", "--out", tmp_path / "out")
    assert left.status == 2
    assert "exists and was not written by ctseg: name another folder" in left.err


def test_where_nothing_would_be_written_over_out_may_hold_other_files(command, draw, save_slice, tmp_path):
    save_slice(tmp_path / "in/a.png", draw())
    out = tmp_path / "out"
    for name in ("pictures/a.png", "notes.txt"):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(b"mine")
    (out / "masks").mkdir()
    assert command(tmp_path / "in", "--out", out).status == 0
    assert (out / "pictures/a.png").read_bytes() == (out / "notes.txt").read_bytes() == b"mine"


def test_a_run_that_ended_before_its_first_file_is_gone_on_with(command, draw, save_volume, monkeypatch, tmp_path):
    save_volume(tmp_path / "in/ct.nii.gz", np.stack([draw(0, 64, 64)]))
    call = [tmp_path / "in", "--out", tmp_path / "out", "--write", "mask,nifti"]
    for place in ("ctseg_batch.journal.record.replacing", "ctseg_batch.run.work_here"):
        with monkeypatch.context() as patched:
            patched.setattr(place, _no_power)
            assert "the power failed" in command(*call).err
    assert command(*call).status == 0


def _no_power(*_, **__):
    raise OSError(errno.EIO, "the power failed")


def test_results_without_their_record_are_refused_with_what_to_do(command, draw, save_slice, tmp_path):
    save_slice(tmp_path / "in/a.png", draw())
    call = [tmp_path / "in", "--out", tmp_path / "out"]
    assert command(*call).status == 0
    shutil.rmtree(tmp_path / "out/.ctseg")
    assert "if a run wrote it and its .ctseg was deleted, delete it too" in command(*call).err
    for name in ("masks", "summary.json", "summary.csv", "slices.csv"):
        (shutil.rmtree if name == "masks" else Path.unlink)(tmp_path / "out" / name)
    assert command(*call).status == 0
