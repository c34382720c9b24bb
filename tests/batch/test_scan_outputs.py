"""Outputs of whole scans: what they are called, when they are made again, and what they cost a run without them."""

import json
import os
import shutil
import subprocess
import sys
import time
import weakref
from collections import Counter
from dataclasses import replace

import nibabel
import numpy as np
import pytest

from ctseg.stages import listening
from ctseg_batch.outputs import scan_outputs
from ctseg_batch.outputs.outputs import Outputs

BOTH = ("nifti", "dicom-seg")
ALL = ("mask", *BOTH)


@pytest.fixture
def labels(draw):
    return np.stack([draw(seed, 64, 64) for seed in range(3)])


@pytest.fixture
def mixed(draw, save_slice, save_series, save_volume, labels, tmp_path):
    """Images, a series, a volume: three slices each."""
    for number, mask in enumerate(labels):
        save_slice(tmp_path / "in" / "images" / f"{number}.png", mask)
    save_series(tmp_path / "in" / "series", labels)
    save_volume(tmp_path / "in" / "ct.nii.gz", labels)
    return tmp_path / "in"


MIXED = ["dicom-seg/series/series.dcm", "nifti/ct.nii.gz", "nifti/series/series.nii.gz"]


def files(out, *folders):
    made = (file for folder in folders or BOTH for file in (out / folder).rglob("*") if file.is_file())
    return sorted(file.relative_to(out).as_posix() for file in made if not file.name.startswith("labels."))


def figures(summary):
    return {key: value for key, value in summary.items() if key != "throughput"}


def test_no_scans_file_lands_on_anothers(batch, draw, save_slice, save_series, save_volume, tmp_path):
    top = tmp_path / "in"
    seeds = iter(range(100))

    def volume(name):
        file = save_volume(
            tmp_path / "made.nii.gz" if name.endswith(".gz") else tmp_path / "made.nii", draw(next(seeds))[None]
        )
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        file.rename(top / name)

    def series(name, **tags):
        save_series(top / name, draw(next(seeds), 64, 64)[None], **tags)

    for name in (
        "a.nii",
        "a.nii.gz",
        "a.nii.nii.gz",
        "a.NII.GZ",
        "ct/ct",
        "ct/ct.nii",
        "ct/ct.nii.gz",
        "ct/ct#scan.nii.gz",
    ):
        volume(name)
    series("ct")
    series("deep/x")
    series("deep/x/x.dcm")
    series("deep/x/x.nii.gz")
    save_slice(top / "deep/y/1.png", draw(next(seeds)))
    save_slice(top / "deep/y/y.nii.gz/1.png", draw(next(seeds)))
    series("two", SeriesInstanceUID="1.2.3")
    save_series(top / "two", draw(next(seeds), 64, 64)[None], stems=["b"], SeriesInstanceUID="1.2.4")
    series("both")
    save_slice(top / "both/1.png", draw(next(seeds)))
    done = batch(top, write=ALL, spacing=(1.0, 1.0, 1.0))
    assert done.status == 0
    assert len(files(done.out, "nifti")) == len(done.scans) == 18
    assert len(files(done.out, "dicom-seg")) == 7
    found = {
        name: np.bincount(np.asarray(nibabel.load(done.out / name).dataobj).ravel(), minlength=4).tolist()
        for name in files(done.out, "nifti")
    }
    assert sorted(found.values()) == sorted(list(scan["pixels"].values()) for scan in done.scans.values())
    for name in ("a.nii.gz", "a.nii.nii.gz", "ct/ct.nii.gz"):
        assert found[f"nifti/{name}"] == list(done.scans[name]["pixels"].values())
    for name in done.scans:
        if "#" in name:
            assert f"nifti/{name.partition('#')[0]}/{name}.nii.gz" in found or name.endswith(".nii.gz")
    assert batch(top, write=ALL, spacing=(1.0, 1.0, 1.0)).summary["throughput"]["slices"] == 0


def test_a_root_that_is_a_scan_gives_its_name(batch, save_series, labels, tmp_path):
    save_series(tmp_path / "in", labels)
    assert files(batch(tmp_path / "in", write=BOTH).out) == ["dicom-seg/in.dcm", "nifti/in.nii.gz"]
    save_series(tmp_path / "in/in", labels)  # and then its name is taken
    done = batch(tmp_path / "in", write=BOTH)
    assert set(done.scans) == {".", "in"}
    assert files(done.out, "nifti") == ["nifti/in.nii.gz", "nifti/in/in.nii.gz"]


def test_the_same_call_does_nothing_and_says_the_same(batch, mixed, counted):
    first = batch(mixed, write=BOTH)
    assert counted() == 9
    assert files(first.out) == MIXED
    times = [(first.out / name).stat().st_mtime_ns for name in MIXED]
    second = batch(mixed, write=BOTH)
    assert counted() == 0
    assert figures(second.summary) == figures(first.summary)
    assert [(first.out / name).stat().st_mtime_ns for name in MIXED] == times
    assert first.summary["notes"] == [
        "no dicom-seg of 2 scans: it can only be made from a DICOM series",
        "no nifti of 1 scan: images form a stack only with --spacing Z,Y,X, and only up to 4096 of them",
    ]


@pytest.mark.parametrize("name", MIXED)
def test_a_file_that_is_gone_is_made_again(batch, mixed, counted, name):
    first = batch(mixed, write=ALL)
    content = (first.out / name).read_bytes()
    counted()
    (first.out / name).unlink()
    batch(mixed, write=ALL)
    assert counted() == 3
    assert (first.out / name).read_bytes() == content


def test_a_scan_that_changed_has_its_files_made_again_and_one_that_fails_keeps_none(batch, mixed, draw, save_volume):
    first = batch(mixed, write=BOTH)
    save_volume(mixed / "ct.nii.gz", draw(7, 64, 64)[None])
    batch(mixed, write=BOTH)
    np.testing.assert_array_equal(
        np.asarray(nibabel.load(first.out / "nifti/ct.nii.gz").dataobj)[:, :, 0], draw(7, 64, 64)[::-1, ::-1].T
    )
    (mixed / "ct.nii.gz").write_bytes(b"")
    for file in (mixed / "series").iterdir():
        file.write_bytes(file.read_bytes()[:-100])
    done = batch(mixed, write=BOTH)
    assert done.status == 1
    assert files(done.out) == []


def test_a_series_that_turns_out_to_be_two_leaves_no_file_of_the_one(batch, save_series, labels, tmp_path):
    save_series(tmp_path / "in/ct", labels)
    batch(tmp_path / "in", write=BOTH)
    save_series(tmp_path / "in/ct", labels, stems=["x", "y", "z"], SeriesInstanceUID="1.2.3")
    done = batch(tmp_path / "in", write=BOTH)
    assert len(files(done.out)) == 4
    assert "nifti/ct/ct.nii.gz" not in files(done.out)
    for stem in "xyz":
        (tmp_path / f"in/ct/{stem}.dcm").unlink()
    assert files(batch(tmp_path / "in", write=BOTH).out) == ["dicom-seg/ct/ct.dcm", "nifti/ct/ct.nii.gz"]


def test_what_a_killed_run_left_unfinished_is_cleared(batch, mixed):
    first = batch(mixed, write=BOTH)
    journal = first.out / ".ctseg/journal.jsonl"
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:-1]))
    for folder in BOTH:
        (first.out / folder / "series/.series.tmp").write_bytes(b"half")
    batch(mixed, write=BOTH)
    assert not list(first.out.rglob("*.tmp"))


def test_any_number_of_workers_gives_the_same_bytes(batch, mixed, tmp_path):
    runs = [batch(mixed, workers=count, out=tmp_path / f"out{count}", write=BOTH) for count in (1, 3)]
    assert [(r.out / n).read_bytes() for r in runs[:1] for n in MIXED] == [
        (r.out / n).read_bytes() for r in runs[1:] for n in MIXED
    ]
    assert figures(runs[0].summary) == figures(runs[1].summary)


@pytest.mark.skipif(os.name != "posix", reason="signals are another matter there")
def test_a_run_that_was_killed_while_it_wrote_them_goes_on_to_the_same_bytes(
    batch, quarters, save_series, save_volume, labels, tmp_path
):
    for number in range(12):
        save_series(tmp_path / f"in/{number}", labels, seed=number)
        save_volume(tmp_path / f"in/{number}.nii", labels)
    code = "import sys\nfrom ctseg.cli import main\nmain()"
    call = [sys.executable, "-c", code, "batch", str(tmp_path / "in"), "--out", str(tmp_path / "killed")]
    call += ["--model", str(quarters), "--device", "cpu", "--workers", "2", "--write", ",".join(BOTH)]
    for wanted in (1, 14):
        process = subprocess.Popen(call, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and len(files(tmp_path / "killed")) < wanted:
            time.sleep(0.002)
        process.kill()
        process.wait()
    resumed, undisturbed = (
        batch(tmp_path / "in", write=BOTH, out=tmp_path / "killed"),
        batch(tmp_path / "in", write=BOTH),
    )
    assert figures(resumed.summary) == figures(undisturbed.summary)
    names = files(undisturbed.out)
    assert files(resumed.out) == names
    assert len(names) == 36
    assert [(resumed.out / name).read_bytes() for name in names] == [
        (undisturbed.out / name).read_bytes() for name in names
    ]


def test_results_within_the_input_are_no_ct(batch, mixed):
    first = batch(mixed, out=mixed / "results", write=ALL)
    assert batch(mixed).scans.keys() == first.scans.keys()


def test_out_among_the_inputs_is_refused(command, mixed, tmp_path):
    shutil.copytree(mixed, tmp_path / "out/nifti")
    assert command(tmp_path / "out/nifti", "--out", tmp_path / "out", "--write", "nifti").status == 2


@pytest.mark.parametrize(
    ("error", "said"), [(MemoryError(), "there was not enough memory"), (KeyError("odd\nthing"), "KeyError: 'odd")]
)
def test_an_output_that_fails_fails_its_scan_alone_and_is_tried_again(batch, mixed, monkeypatch, error, said):
    def full(_):
        raise error

    writers = dict(scan_outputs.SCAN_WRITERS)
    with monkeypatch.context() as patched:
        broken = replace(writers["nifti"], encode=full)
        patched.setattr("ctseg_batch.outputs.outputs.SCAN_WRITERS", {**writers, "nifti": broken})
        done = batch(mixed, write=ALL)
    assert done.status == 1
    assert {name: scan["status"] for name, scan in done.scans.items()} == {
        "ct.nii.gz": "partial",
        "series": "partial",
        "images": "ok",
    }
    assert f"no nifti: {said}" in done.scans["ct.nii.gz"]["errors"][0]["reason"]
    assert len(done.masks) == 9
    assert files(done.out) == MIXED[:1]
    again = batch(mixed, write=ALL)
    assert (again.status, files(again.out)) == (0, MIXED)


class Ear:
    """Counts the stages that it hears of."""

    def __init__(self):
        self.heard = Counter()

    def note(self, name, start, end, slices, pixels):
        self.heard[name] += 1


@pytest.mark.parametrize(("write", "more"), [(("mask",), 0), (("mask", "nifti"), 2), (ALL, 4)])
def test_each_output_of_a_scan_is_made_once_and_none_that_nobody_wants(batch, mixed, write, more):
    with listening(ear := Ear()):
        batch(mixed, write=write, workers=3)
    assert ear.heard["encode"] == 9 + more
    assert ear.heard["infer"] == 9


@pytest.mark.parametrize("kind", ["images", "series", "ct.nii.gz"])
def test_a_run_without_them_lets_go_of_each_mask_when_it_is_written(batch, mixed, monkeypatch, kind):
    masks, alive = [], []
    write = Outputs.write

    def watched(self, name, seen):
        alive.append(sum(mask() is not None for mask in masks))
        masks.append(weakref.ref(seen.labels))
        write(self, name, seen)

    monkeypatch.setattr(Outputs, "write", watched)
    batch(mixed / kind, workers=1)
    alone = list(alive)
    masks.clear(), alive.clear()
    batch(mixed / kind, workers=1, write=ALL, spacing=(1.0, 1.0, 1.0), out=mixed.parent / "all")
    assert alone == [0, 0, 0]
    assert alive == [0, 1, 2]


def test_a_run_without_them_loads_none_of_their_libraries(mixed, quarters, tmp_path):
    code = (
        "import sys, json\nfrom pathlib import Path\n"
        "from ctseg_batch.call import Call\nfrom ctseg_batch.run import run\n"
        "from ctseg_batch.watcher import Watcher\n"
        "top, out, model = sys.argv[1:]\n"
        "run(Call([Path(top)], out=Path(out), model=model, device='cpu'), Watcher())\n"
        "print(json.dumps([name for name in ('highdicom', 'nrrd', 'SimpleITK') if name in sys.modules]))"
    )
    call = [sys.executable, "-c", code, str(mixed), str(tmp_path / "out"), str(quarters)]
    assert json.loads(subprocess.run(call, capture_output=True, check=True, text=True).stdout) == []
