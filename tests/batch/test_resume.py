"""The same call again does only what is missing or has changed; a run that was killed goes on to the same bytes."""

import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pydicom
import pytest

from ctseg_batch.journal.record import JournalFile
from ctseg_batch.network.engine import Engine
from ctseg_batch.outputs.outputs import Outputs


@pytest.fixture
def mixed(draw, save_slice, save_series, save_volume, tmp_path):
    """Images, a series, a volume: three slices each."""
    labels = np.stack([draw(seed, 64, 64) for seed in range(3)])
    for number, mask in enumerate(labels):
        save_slice(tmp_path / "in" / "images" / f"{number}.png", mask)
    save_series(tmp_path / "in" / "series", labels)
    save_volume(tmp_path / "in" / "ct.nii.gz", labels)
    return tmp_path / "in"


def figures(summary):
    return {key: value for key, value in summary.items() if key != "throughput"}


def test_the_same_call_does_nothing_and_says_so(batch, command, mixed, counted):
    first = batch(mixed)
    assert counted() == 9
    times = first.times
    second = batch(mixed)
    assert counted() == 0
    assert second.times == times
    assert figures(second.summary) == figures(first.summary)
    assert "nothing to do: 9 slices were done before" in command(mixed, "--out", first.out).err


SERIES = [f"series/00{n}.dcm.png" for n in range(3)]


def written(out, folder=""):
    """All that a run left for people there, but the tables."""
    files = (f.relative_to(out / folder) for f in (out / folder).rglob("*") if f.is_file())
    return {f.as_posix() for f in files if ".ctseg" not in f.parts}


@pytest.mark.parametrize(("name", "slices"), [("images/1.png", 3), ("series/001.dcm", 3), ("ct.nii.gz", 3)])
def test_a_file_that_changed_has_its_scan_done_again(batch, mixed, counted, name, slices):
    batch(mixed)
    counted()
    os.utime(mixed / name, ns=(1, 1))
    batch(mixed)
    assert counted() == slices


@pytest.mark.parametrize("name", ["images/1.png", "series/001.dcm.png", "ct.nii.gz/0001.png"])
def test_a_mask_that_is_gone_is_made_again(batch, mixed, counted, name):
    first = batch(mixed)
    counted()
    (first.out / "masks" / name).unlink()
    assert name in batch(mixed).masks
    assert counted() == 3


@pytest.mark.parametrize("name", ["images/1.png", "series/001.dcm.png", "ct.nii.gz/0001.png"])
def test_a_mask_that_a_copy_has_left_empty_is_made_again(batch, mixed, counted, name):
    first = batch(mixed)
    counted()
    (first.out / "masks" / name).write_bytes(b"")
    assert (batch(mixed).out / "masks" / name).stat().st_size
    assert counted() == 3


def test_an_empty_mask_of_an_image_that_is_gone_goes_too(batch, mixed):
    first = batch(mixed)
    (first.out / "masks/images/1.png").write_bytes(b"")
    (mixed / "images/1.png").unlink()
    assert written(batch(mixed).out, "masks") == set(first.times) - {"images/1.png"}


def test_new_slices_are_added(batch, mixed, counted, draw, save_slice):
    batch(mixed)
    counted()
    save_slice(mixed / "more" / "a.png", draw(9))
    done = batch(mixed)
    assert counted() == 1
    assert len(done.masks) == 10


def test_other_options_do_all_again_and_so_does_overwrite(batch, mixed, counted, make_model, tmp_path):
    batch(mixed)
    counted()
    for change in (
        {"overwrite": True},
        {"write": ("mask", "overlay")},
        {"spacing": (1.0, 1.0, 1.0)},
        {"model": str(make_model(tmp_path / "other.onnx", name="another"))},
    ):
        batch(mixed, **change)
        assert counted() == 9


def test_overwrite_does_again_what_is_called_for_and_no_more(batch, mixed, counted):
    batch(mixed)
    counted()
    batch(mixed / "images", root=mixed, overwrite=True)
    assert counted() == 3
    batch(mixed)
    assert counted() == 0


def test_overwrite_that_was_stopped_is_to_be_called_without_it(command, mixed, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Engine, "infer", stop)
    for option, how in (("--overwrite", "the same call without --overwrite"), ("--quiet", "the same call")):
        left = command(mixed, "--out", mixed.parent / "out", option)
        assert left.status == 130
        assert f"interrupted: finished scans are kept, and {how} does the others" in left.err


@pytest.mark.parametrize("end", [25, -1], ids=["within it", "before its end of line"])
def test_a_journal_with_a_torn_line_loses_that_line_alone(batch, mixed, counted, end):
    first = batch(mixed, workers=1)
    counted()
    journal = first.out / ".ctseg" / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    parts = [n for n, line in enumerate(lines) if "result" in json.loads(line)]
    journal.write_bytes(b"".join(lines[: parts[-1]]) + lines[parts[-1]][:end])
    second = batch(mixed)
    assert counted() == 3
    assert figures(second.summary) == figures(first.summary)


def test_what_a_killed_run_left_unfinished_is_cleared(batch, mixed):
    first = batch(mixed)
    journal = first.out / ".ctseg" / "journal.jsonl"
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:-1]))
    (first.out / "masks" / "images" / ".1.png.tmp").write_bytes(b"half")
    batch(mixed)
    assert not list(first.out.rglob("*.tmp"))


def test_what_was_left_unfinished_of_a_scan_that_is_gone_is_cleared_too(batch, mixed, draw, save_slice, monkeypatch):
    """It was new, so of its part nothing had been noted that could be taken back."""
    out = batch(mixed).out
    new = save_slice(mixed / "new/1.png", draw(3))

    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Engine, "infer", die)
        with pytest.raises(KeyboardInterrupt):
            batch(mixed)
    (out / "masks/new").mkdir()
    (out / "masks/new/.1.png.tmp").write_bytes(b"half")
    new.unlink()
    batch(mixed)
    assert not list(out.rglob("*.tmp"))


def test_any_number_of_workers_gives_the_same_bytes(batch, mixed, tmp_path):
    runs = [batch(mixed, workers=count, out=tmp_path / f"out{count}") for count in (1, 3)]
    files = [{f.relative_to(run.out): f.read_bytes() for f in (run.out / "masks").rglob("*.png")} for run in runs]
    assert files[0] == files[1]
    assert figures(runs[0].summary) == figures(runs[1].summary)


def start(*arguments):
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\nfrom ctseg.cli import main; main()"
    call = [sys.executable, "-c", code, "batch", "--device", "cpu", "--workers", "1", *map(str, arguments)]
    return subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def when_some_are_there(out, process):
    """Wait until a run has begun to write."""
    while process.poll() is None and not list((out / "masks").rglob("*.png")):
        time.sleep(0.005)


@pytest.mark.skipif(os.name != "posix", reason="signals are another matter there")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_was_stopped_goes_on_to_the_same_bytes(batch, quarters, draw, save_slice, tmp_path, how):
    for folder in range(4):
        for number in range(60):
            save_slice(tmp_path / "in" / str(folder) / f"{number}.png", draw(number))
    undisturbed = batch(tmp_path / "in")
    shutil.copytree(undisturbed.out, tmp_path / "kept")
    shutil.rmtree(undisturbed.out)
    process = start(tmp_path / "in", "--out", undisturbed.out, "--model", quarters)
    when_some_are_there(undisturbed.out, process)
    process.send_signal(how)
    err = process.communicate()[1]
    if how == signal.SIGINT and process.returncode:
        assert process.returncode == 130
        assert "does the others" in err
        assert not list(undisturbed.out.rglob("*.tmp"))
    resumed = batch(tmp_path / "in")
    assert figures(resumed.summary) == figures(undisturbed.summary)
    kept = {f.relative_to(tmp_path / "kept"): f.read_bytes() for f in (tmp_path / "kept" / "masks").rglob("*.png")}
    assert kept == {f.relative_to(resumed.out): f.read_bytes() for f in (resumed.out / "masks").rglob("*.png")}
    assert not list(resumed.out.rglob("*.tmp"))


def test_of_many_images_only_those_around_the_changed_one_are_done_again(batch, save_slice, counted, draw, tmp_path):
    for number in range(300):
        save_slice(tmp_path / "in" / f"{number}.png", draw(number % 7, 16, 16))
    first = batch(tmp_path / "in")
    assert counted() == 300
    save_slice(tmp_path / "in/299.png", draw(8, 24, 24))
    second = batch(tmp_path / "in")
    assert counted() <= 300 - 256
    untouched = {name for name, time in first.times.items() if second.times[name] == time}
    assert len(untouched) >= 256
    assert second.masks["299.png"].shape == (24, 24)
    assert second.scan["pixels"] == batch(tmp_path / "in", out=tmp_path / "anew").scan["pixels"]


@pytest.mark.parametrize(("file", "mask"), [("images/1.png", "images/1.png"), ("series/001.dcm", "series/001.dcm.png")])
def test_a_slice_that_is_gone_leaves_no_mask(batch, mixed, counted, file, mask):
    before = batch(mixed, write=("mask", "overlay")).times
    counted()
    (mixed / file).unlink()
    second = batch(mixed, write=("mask", "overlay"))
    assert counted() == 2
    assert before.keys() - second.times.keys() == {mask}
    assert not (second.out / "overlays" / mask).exists()


def test_a_series_that_is_gone_leaves_no_mask(batch, mixed, draw, save_series):
    save_series(mixed / "series", draw(7, 64, 64)[None], stems=["other"], seed=1)
    before = batch(mixed).times
    for name in ("000", "001", "002"):
        (mixed / "series" / f"{name}.dcm").unlink()
    gone = {f"series/{name}.dcm.png" for name in ("000", "001", "002")}
    assert before.keys() - batch(mixed).times.keys() == gone


@pytest.mark.parametrize("change", [{"overwrite": True}, {"spacing": (1.0, 1.0, 1.0)}, {"measures": "full"}])
def test_what_is_gone_leaves_nothing_also_where_all_is_done_again(
    batch, mixed, draw, save_series, save_volume, tmp_path, change
):
    both = {"write": ("mask", "nifti")}
    save_series(mixed / "series", draw(7, 64, 64)[None], stems=["other"], seed=1)
    first = batch(mixed, **both)
    own = first.out / "masks/images/own.png"
    own.write_bytes(b"mine")
    for name in ("series/other.dcm", "images/1.png"):
        (mixed / name).unlink()
    save_volume(mixed / "ct.nii.gz", np.stack([draw(seed, 64, 64) for seed in range(2)]))
    second = batch(mixed, **both, **change)
    own.unlink()
    assert written(second.out) == written(batch(mixed, **both, **change, out=tmp_path / "anew").out)


def test_kinds_that_are_not_written_any_more_go_with_the_scans_that_are_done_again(batch, mixed, tmp_path):
    first = batch(mixed, write=("mask", "overlay", "nifti"))
    own = first.out / "overlays/own.png"
    own.write_bytes(b"mine")
    second = batch(mixed / "images", root=mixed)
    assert written(second.out, "overlays") == {*(f"ct.nii.gz/{n:04d}.png" for n in range(3)), *SERIES, "own.png"}
    assert written(second.out, "masks") == set(first.times)
    third = batch(mixed)
    assert written(third.out, "overlays") == {"own.png"}
    assert {name for name in written(third.out, "nifti") if not name.startswith("labels.")} == set()


def test_what_goes_as_it_is_not_written_any_more_is_told(batch, command, mixed, tmp_path):
    out = batch(mixed, write=("mask", "overlay", "nifti")).out
    told = "removed, as --write no longer names it: mask of 3 scans"
    call = (mixed, "--out", out, "--write", "overlay")
    assert f"would be {told}" in command(*call, "--dry-run").err.splitlines()
    assert (out / "masks/images/0.png").exists()
    left = command(*call)
    assert told in left.err.splitlines()
    assert told in json.loads((out / "summary.json").read_text())["notes"]
    assert not (out / "masks").exists()
    assert [file.name for file in sorted((out / "nifti").iterdir())] == ["labels.ctbl", "labels.txt"]
    assert not any("no longer names" in note for note in batch(mixed, write=("overlay",)).summary["notes"])


def test_what_is_not_written_any_more_goes_though_the_run_that_began_it_was_killed(batch, mixed, monkeypatch, tmp_path):
    first = batch(mixed, write=("mask", "overlay"))
    (mixed / "images/1.png").unlink()
    for place in ("parts.plan.Planner.plan", "outputs.outputs.Outputs.sync"):
        with monkeypatch.context() as patched:
            patched.setattr(f"ctseg_batch.{place}", lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                batch(mixed)
    second = batch(mixed)
    assert written(second.out, "overlays") == set()
    assert written(second.out, "masks") == set(first.times) - {"images/1.png"}


def test_a_kind_that_a_stopped_run_wrote_goes_where_the_next_one_does_not_write_it(
    batch, stopped, draw, save_slice, tmp_path
):
    for name in ("a/0", "a/1", "a/2", "b/0", "b/1", "b/2"):
        save_slice(tmp_path / f"in/{name}.png", draw())
    stopped(2, tmp_path / "in", write=("mask", "overlay"))
    assert written(tmp_path / "out", "overlays")
    stopped(1, tmp_path / "in", spacing=(5.0, 0.7, 0.7))
    assert written(batch(tmp_path / "in", spacing=(5.0, 0.7, 0.7)).out, "overlays") == set()


def test_what_is_unfinished_of_a_kind_that_is_not_written_any_more_is_cleared(batch, stopped, mixed):
    stopped(4, mixed, write=("mask", "overlay", "nifti"))
    half = [mixed.parent / "out" / file for file in ("overlays/images/.2.png.tmp", "nifti/.ct.nii.gz.tmp")]
    for file in half:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"half")
    batch(mixed)
    assert not any(file.exists() for file in half)


@pytest.mark.parametrize("before", [0, 6], ids=["new", "known"])
def test_of_a_part_that_was_under_way_when_a_run_stopped_slices_that_are_gone_leave_nothing(
    batch, stopped, draw, save_slice, tmp_path, before
):
    files = [tmp_path / f"in/a/{number}.png" for number in range(7)]
    for file in files[:before]:
        save_slice(file, draw())
    if before:
        batch(tmp_path / "in")
    for file in files[before:]:
        save_slice(file, draw(1))
    stopped(4, tmp_path / "in")
    for number in (2, 3):
        files[number].unlink()
    done = batch(tmp_path / "in")
    assert done.masks.keys() == {f"a/{number}.png" for number in (0, 1, 4, 5, 6)}
    assert done.scan["slices"] == 5


def test_series_that_are_gone_leave_nothing_also_beside_a_file_that_can_not_be_read(batch, save_series, draw, tmp_path):
    def label_maps():
        done = batch(tmp_path / "in", write=("mask", "nifti"))
        return done, {name for name in written(done.out, "nifti") if name.endswith(".nii.gz")}

    series = tmp_path / "in/f"
    save_series(series, np.stack([draw(seed, 64, 64) for seed in range(3)]))
    bad = series / "bad.dcm"
    bad.write_bytes((series / "000.dcm").read_bytes()[:300])
    assert label_maps()[1] == {"f/f.nii.gz"}
    other = save_series(series, np.stack([draw(9, 64, 64)] * 3), stems=["b0", "b1", "b2"], seed=1)
    both, maps = label_maps()
    assert maps == {f"f/{scan}.nii.gz" for scan in both.scans}
    assert len(maps) == 2
    for file in (*other, bad):
        file.unlink()
    left, maps = label_maps()
    assert maps == {"f/f.nii.gz"}
    assert left.masks.keys() == {f"f/00{number}.dcm.png" for number in range(3)}


@pytest.mark.parametrize("alone", [False, True])
def test_a_folder_called_like_a_series_of_the_one_beside_it_keeps_what_is_its(
    batch, save_series, draw, tmp_path, alone
):
    top, kinds = tmp_path / "in", ("mask", "nifti")
    for number, name in enumerate(("f", "f#1a2b3c4d")):
        save_series(top / name, np.stack([draw(seed, 64, 64) for seed in range(3)]), seed=number)
    first = batch(top, write=kinds)
    os.utime(top / "f/000.dcm", ns=(1, 1))
    second = batch(top / "f" if alone else top, root=top, write=kinds)
    assert written(second.out) == written(first.out)
    assert batch(top, write=kinds).summary["throughput"]["slices"] == 0


def test_what_is_gone_is_removed_though_the_run_that_was_about_to_was_killed(batch, mixed, monkeypatch):
    def die_at_scans(_outputs, _slices, scans=()):
        assert not list(scans)

    batch(mixed, write=("mask", "nifti"))
    for file in (mixed / "series").iterdir():
        file.write_bytes(b"")
    with monkeypatch.context() as patched:
        patched.setattr("ctseg_batch.outputs.outputs.Outputs.remove", die_at_scans)
        with pytest.raises(AssertionError):
            batch(mixed, write=("mask", "nifti"))
    assert not any("series" in name for name in written(batch(mixed, write=("mask", "nifti")).out))


def test_scans_that_are_in_out_and_not_in_the_summary_are_told(batch, mixed):
    assert batch(mixed).summary["notes"] == []
    assert batch(mixed / "images", root=mixed).summary["notes"] == [
        "OUT also holds outputs of 2 scans from earlier calls, which this summary leaves out"
    ]
    (mixed / "ct.nii.gz").unlink()
    (note,) = batch(mixed, overwrite=True).summary["notes"]
    assert note.startswith("OUT also holds outputs of 1 scan from")


def test_of_many_images_those_that_are_gone_leave_no_masks(batch, save_slice, counted, draw, tmp_path):
    files = [save_slice(tmp_path / "in" / f"{number}.png", draw(number % 7, 16, 16)) for number in range(520)]
    batch(tmp_path / "in")
    for file in (files[100], *files[250:]):
        file.unlink()
    assert set(batch(tmp_path / "in").masks) == {f"{number}.png" for number in range(250) if number != 100}
    counted()
    batch(tmp_path / "in")
    assert counted() == 0


def dying(act, count=1):
    """The same; a run that does it for the so manieth time ends there."""
    left = iter(range(count - 1))

    def done(*args, **kwargs):
        act(*args, **kwargs)
        if next(left, None) is None:
            raise KeyboardInterrupt

    return done


@pytest.mark.parametrize("name", ["images/1.png", "series/001.dcm", "ct.nii.gz"])
def test_of_files_that_are_taken_away_no_summary_tells_while_the_run_goes_on(
    batch, mixed, draw, save_volume, monkeypatch, name
):
    out = batch(mixed).out
    (mixed / name).unlink()
    if name == "ct.nii.gz":
        save_volume(mixed / name, draw(0, 64, 64)[None])
    with monkeypatch.context() as patched:
        patched.setattr(Outputs, "remove", dying(Outputs.remove))
        with pytest.raises(KeyboardInterrupt):
            batch(mixed)
    assert not (out / "summary.json").exists()


def test_of_many_images_that_a_series_takes_the_place_of_no_mask_is_left(
    batch, save_slice, save_series, draw, tmp_path
):
    for number in range(258):
        save_slice(tmp_path / f"in/x/{number}.png", draw(rows=16, columns=16))
    assert len(batch(tmp_path / "in").masks) == 258
    shutil.rmtree(tmp_path / "in/x")
    save_series(tmp_path / "in/x", np.stack([draw(rows=64, columns=64)] * 2))
    assert len(batch(tmp_path / "in").masks) == 2


def test_parts_that_are_gone_leave_no_masks_though_a_run_stopped_among_them(
    batch, save_slice, draw, monkeypatch, tmp_path
):
    files = [save_slice(tmp_path / f"in/{number:04d}.png", draw(0, 16, 16)) for number in range(520)]
    batch(tmp_path / "in")
    for file in files[100:]:
        file.unlink()
    with monkeypatch.context() as patched:
        patched.setattr(JournalFile, "forget", dying(JournalFile.forget, 2))  # the first one is of slices
        with pytest.raises(KeyboardInterrupt):
            batch(tmp_path / "in")
    assert batch(tmp_path / "in").masks.keys() == {file.name for file in files[:100]}


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize(
    ("step", "first", "gone"),
    [("begin", 0, 256), ("begin", 2, 257), ("forget", 101, 300)],
    ids=["up", "down", "together"],
)
def test_images_that_move_to_another_part_leave_no_mask_though_a_run_stopped_meanwhile(
    batch, save_slice, draw, monkeypatch, tmp_path, step, first, gone, count
):
    files = [tmp_path / f"in/{number:04d}.png" for number in range(301)]
    for file in files[1:]:
        save_slice(file, draw(0, 16, 16))
    batch(tmp_path / "in")
    save_slice(files[0], draw(0, 16, 16))
    for file in files[:first]:
        file.unlink()
    with monkeypatch.context() as patched:
        patched.setattr(JournalFile, step, dying(getattr(JournalFile, step), count))
        with pytest.raises(KeyboardInterrupt):
            batch(tmp_path / "in")
    files[gone].unlink()
    assert batch(tmp_path / "in").masks.keys() == {file.name for file in files[first:] if file != files[gone]}


def test_an_image_called_like_the_mask_of_one_that_is_gone_keeps_its_own(batch, save_slice, draw, tmp_path):
    jpeg = save_slice(tmp_path / "in/1.jpg", draw())
    save_slice(tmp_path / "in/2.png", draw(2))
    assert set(batch(tmp_path / "in").masks) == {"1.jpg.png", "2.png"}
    jpeg.unlink()
    save_slice(tmp_path / "in/1.jpg.png", draw(1))
    done = batch(tmp_path / "in")
    assert set(done.masks) == {"1.jpg.png", "2.png"}
    np.testing.assert_array_equal(done.masks["1.jpg.png"], draw(1))


@pytest.mark.parametrize("swapped", [False, True], ids=["a folder now", "a file now"])
def test_a_file_that_became_a_folder_fails_by_name_and_the_rest_is_done(command, draw, save_slice, tmp_path, swapped):
    names = ["in/scan.png/1.png", "in/scan.png"] if swapped else ["in/scan.png", "in/scan.png/1.png"]
    save_slice(tmp_path / names[0], draw())
    save_slice(tmp_path / "in/other/1.png", draw(1))
    call = (tmp_path / "in", "--out", tmp_path / "out")
    assert command(*call).status == 0
    if swapped:
        shutil.rmtree(tmp_path / "in/scan.png")
    else:
        (tmp_path / "in/scan.png").unlink()
    save_slice(tmp_path / names[1], draw(2))
    save_slice(tmp_path / "in/third/1.png", draw(3))
    for _ in range(2):
        left = command(*call)
        assert left.status == 1
        obstacle = tmp_path / "out/masks/scan.png"
        assert f"failed: {names[1][3:]}: {obstacle} is in the way of its output: delete it" in left.err
    assert (tmp_path / "out/masks/third/1.png").is_file()
    shutil.rmtree(obstacle) if swapped else obstacle.unlink()
    assert command(*call).status == 0
    assert (tmp_path / "out/masks" / names[1][3:]).is_file()


def test_a_slice_of_a_series_whose_name_is_now_a_folder_leaves_no_mask(batch, save_series, save_slice, draw, tmp_path):
    files = save_series(tmp_path / "in/ct", np.stack([draw(n, 64, 64) for n in range(4)]))
    assert len(batch(tmp_path / "in").masks) == 4
    files[3].unlink()
    save_slice(files[3] / "1.png", draw())
    assert set(batch(tmp_path / "in").masks) == {f"ct/00{n}.dcm.png" for n in range(3)} | {"ct/003.dcm/1.png"}


@pytest.mark.parametrize(("kind", "said"), [("file", "is no folder"), ("link", "leads to {}/gone, which is no folder")])
def test_what_lies_in_place_of_a_folder_of_out_ends_the_run_by_name(command, mixed, tmp_path, kind, said):
    place = tmp_path / "out/masks"
    place.parent.mkdir()
    place.write_text("") if kind == "file" else place.symlink_to("gone")
    left = command(mixed, "--out", tmp_path / "out")
    assert left.status == 2
    assert f"{place} {said.format(place.parent)}, so nothing can be written there" in left.err


def test_headers_of_folders_beside_those_that_are_overwritten_are_not_read_again(
    batch, draw, save_series, monkeypatch, tmp_path
):
    for name in "AB":
        save_series(tmp_path / "in" / name, draw(0, 64, 64)[None])
    batch(tmp_path / "in")
    batch(tmp_path / "in/A", root=tmp_path / "in", overwrite=True)
    monkeypatch.setattr("ctseg.reading.open_series", None)
    assert batch(tmp_path / "in").summary["throughput"]["slices"] == 0


def test_dicom_headers_are_not_read_again(batch, mixed, monkeypatch):
    first = batch(mixed)

    def unwanted(*_):
        raise AssertionError("opened again")

    monkeypatch.setattr("ctseg.reading.open_series", unwanted)
    monkeypatch.setattr("ctseg.reading.open_volume", unwanted)
    assert figures(batch(mixed).summary) == figures(first.summary)


def test_what_a_folder_without_slices_skips_is_told_once(batch, draw, save_series, save_slice, tmp_path):
    save_slice(tmp_path / "in/images/a.png", draw())
    save_series(tmp_path / "in/scouts", draw(1, 64, 64)[None], ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    for _ in range(3):
        assert batch(tmp_path / "in").summary["skipped"] == [{"file": "scouts/000.dcm", "reason": "localizer"}]


@pytest.mark.parametrize("write", [("mask",), ("nifti",), ("dicom-seg",)])
def test_a_failed_slice_is_not_done_again_before_it_can_be_read(batch, mixed, counted, write):
    """A file that could not be read for the moment has the same size and time of change once it can be."""
    image, slice_of_series = mixed / "images/1.png", mixed / "series/001.dcm"
    whole = {file: (file.read_bytes(), file.stat()) for file in (image, slice_of_series)}

    def put(file, content):
        file.write_bytes(content)
        os.utime(file, ns=(whole[file][1].st_atime_ns, whole[file][1].st_mtime_ns))

    dataset = pydicom.dcmread(slice_of_series)
    dataset.RescaleSlope = 0  # its header is in order, its pixels are not
    dataset.save_as(slice_of_series)
    assert slice_of_series.stat().st_size == len(whole[slice_of_series][0])
    put(slice_of_series, slice_of_series.read_bytes())
    put(image, bytes(len(whole[image][0])))
    first = batch(mixed, write=write)
    assert (first.status, first.summary["totals"]["failed_slices"]) == (1, 2)
    counted()
    assert figures(batch(mixed, write=write).summary) == figures(first.summary)
    assert counted() == 0
    for file in whole:
        put(file, whole[file][0])
    assert batch(mixed, write=write).status == 0
    assert counted() == 6


@pytest.mark.parametrize("write", [("mask",), ("nifti",), ("dicom-seg",)])
def test_a_damaged_volume_is_nothing_to_do_before_it_can_be_read(batch, mixed, write):
    file = mixed / "ct.nii.gz"
    whole, found = file.read_bytes(), file.stat()

    def put(content):
        file.write_bytes(content)
        os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns))

    put(whole[: len(whole) // 2].ljust(len(whole), b"\0"))
    first = batch(mixed, write=write)
    assert first.scans["ct.nii.gz"]["failed_slices"] == 3
    second = batch(mixed, write=write)
    assert second.summary["throughput"]["slices"] == 0
    assert figures(second.summary) == figures(first.summary)
    put(whole)
    assert batch(mixed, write=write).scans["ct.nii.gz"]["status"] == "ok"


@pytest.mark.parametrize(
    ("reader", "name"),
    [
        ("ctseg.reading.images.read_image", "images/1.png"),
        ("ctseg.reading.dicom_series.read_slice", "series/001.dcm"),
        ("ctseg.reading.volume._load", "ct.nii.gz"),
    ],
)
def test_what_no_reader_foresaw_fails_as_before_and_nothing_else(batch, mixed, monkeypatch, reader, name):
    module, function = reader.rsplit(".", 1)
    read = getattr(importlib.import_module(module), function)

    def failing(file, *rest):
        if file == mixed / name:
            raise KeyError("of a library")
        return read(file, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(reader, failing)
        first, second = batch(mixed), batch(mixed)
    assert first.status == 1
    assert second.summary["throughput"]["slices"] == 0
    assert figures(second.summary) == figures(first.summary)
    assert batch(mixed).status == 0


@pytest.mark.parametrize("write", [("mask",), ("nifti",), ("dicom-seg",)])
@pytest.mark.parametrize("name", ["images", "series", "ct.nii.gz", "ct.dcm"])
def test_a_slice_for_which_there_was_no_memory_is_tried_again(batch, mixed, convert, monkeypatch, name, write):
    convert(mixed / "ct.dcm", sorted((mixed / "series").iterdir()))
    infer, failing = Engine.infer, []

    def short(self, sources, outputs):
        failing.extend(sources[: not failing])
        if sources[0] is failing[0]:
            raise MemoryError
        return infer(self, sources, outputs)

    with monkeypatch.context() as patched:
        patched.setattr(Engine, "infer", short)
        first = batch(mixed / name, write=write)
    assert (first.scan["failed_slices"], first.scan["slices"]) == (1, 3)
    assert "fewer --workers need less" in first.scan["errors"][0]["reason"]
    second = batch(mixed / name, write=write, workers=1)
    assert (second.status, second.scan["failed_slices"]) == (0, 0)


def test_what_it_left_is_cleared_also_when_all_is_done_again(batch, mixed):
    first = batch(mixed)
    journal = first.out / ".ctseg/journal.jsonl"
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:-1]))
    (first.out / "masks/images/.gone.png.tmp").write_bytes(b"half")
    batch(mixed, overwrite=True)
    assert not list(first.out.rglob("*.tmp"))


def test_a_damaged_line_within_the_journal_is_passed_over(batch, mixed, counted):
    first = batch(mixed, workers=1)
    counted()
    journal = first.out / ".ctseg/journal.jsonl"
    head, *lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([head, b"\0\0\xff\n", b'["no object"]\n', *lines]))
    assert figures(batch(mixed).summary) == figures(first.summary)
    assert counted() == 0


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (b'"pixels":[', b'"pixels":[1'),
        (b'"by_slice"', b'"by_slyce"'),
        (b'"key":"', b'"key":"0'),
        (b'"part":', b'"pert":'),
    ],
)
def test_a_line_that_was_damaged_to_other_json_does_not_count(batch, mixed, counted, good, bad):
    first = batch(mixed, workers=1)
    counted()
    journal = first.out / ".ctseg/journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    done = next(number for number, line in enumerate(lines) if b'"pixels"' in line)
    assert good in lines[done]
    lines[done] = lines[done].replace(good, bad)
    journal.write_bytes(b"".join(lines))
    assert figures(batch(mixed).summary) == figures(first.summary)
    assert counted() > 0
    assert counted() == 0 == batch(mixed).summary["throughput"]["slices"]


@pytest.mark.parametrize("head", [b"", b"{}\n", b'{"format":99}\n', b"no json\n"])
def test_a_journal_that_says_nothing_is_refused(batch, command, mixed, head):
    out = batch(mixed).out
    (out / ".ctseg/journal.jsonl").write_bytes(head)
    left = command(mixed, "--out", out)
    assert left.status == 2
    assert f"{out / '.ctseg/journal.jsonl'} is damaged, or was written by another version of ctseg" in left.err


def test_a_part_that_was_begun_again_counts_as_not_done(batch, mixed, monkeypatch):
    """The same inputs were done before, but by now some masks may be those of the run that was stopped."""
    first = batch(mixed, workers=1)
    mask = first.out / "masks/images/0.png"
    content = mask.read_bytes()
    mask.unlink()

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Engine, "infer", stop)
        with pytest.raises(KeyboardInterrupt):
            batch(mixed, workers=1)
    mask.write_bytes(b"not what belongs here")
    assert figures(batch(mixed).summary) == figures(first.summary)
    assert mask.read_bytes() == content


def test_what_no_longer_opens_leaves_no_masks_of_an_earlier_run(batch, mixed):
    batch(mixed)
    (mixed / "series" / "001.dcm").write_bytes(b"")
    (mixed / "ct.nii.gz").write_bytes(b"")
    done = batch(mixed)
    assert [name for name in done.masks if "images" not in name] == ["series/000.dcm.png", "series/002.dcm.png"]
    assert done.status == 1


def test_the_results_of_another_run_within_the_input_are_no_ct(batch, mixed):
    first = batch(mixed, out=mixed / "results", write=("mask", "overlay"))
    assert batch(mixed).scans.keys() == first.scans.keys()
    (mixed / "masks").mkdir()  # a name that only results make special
    (mixed / "images" / "0.png").rename(mixed / "masks" / "0.png")
    assert "masks" in batch(mixed).scans
