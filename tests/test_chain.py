"""The whole chain on phantoms: train, export, segment against the truth; the scores worked out a second time."""

import csv
import json
import subprocess
import sys

import cv2
import numpy as np
import pytest

from ctseg.phantom import Phantom, write_dataset, write_dicom

NAMES = ("background", "normal_lung", "ground_glass", "consolidation")


def ctseg(*arguments, status=0):
    """Run the command as a person would and give back what it printed on standard output."""
    call = [sys.executable, "-c", "from ctseg.cli import main; main()", *map(str, arguments)]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("chain")


@pytest.fixture(scope="module")
def model(folder):
    write_dataset([Phantom(seed=n, slices=4, size=96, disease=0.3) for n in range(4)], folder / "data")
    options = ("--epochs", 2, "--canvas", 96, "--batch-size", 4, "--threads", 1, "--device", "cpu")
    ctseg("train", folder / "data", "--out", folder / "run", *options)
    ctseg("export", folder / "run" / "best.pt", "--out", folder / "model.onnx")
    return folder / "model.onnx"


def test_from_phantoms_to_a_table_that_adds_up(folder, model):
    phantom = Phantom(seed=9, slices=6, size=96, disease=0.3)
    scans, truth, out = folder / "scans" / "one", folder / "truth" / "one", folder / "out"
    stems = ["q", "b", "z", "a", "k", "c"]
    write_dicom(phantom, scans, truth=truth, stems=stems)
    printed = ctseg("batch", scans.parent, "--out", out, "--truth", truth.parent, "--model", model, "--json")

    (scan,) = json.loads(printed)["scans"]
    assert (scan["scan"], scan["status"], scan["slices"]) == ("one", "ok", 6)
    masks = np.stack([cv2.imread(str(out / "masks" / "one" / f"{stem}.dcm.png"), -1) for stem in stems])
    truths = np.stack([phantom.slice(index)[1] for index in range(6)])
    assert masks.shape == truths.shape
    expected = [
        np.count_nonzero((masks == c) & (truths == c)) / np.count_nonzero((masks == c) | (truths == c))
        for c in range(4)
    ]
    assert [scan["iou"][name] for name in NAMES] == pytest.approx(expected)
    assert scan["iou"]["mean"] == pytest.approx(np.mean(expected))
    voxel_ml = np.prod(phantom.spacing_mm) / 1000
    for index, name in enumerate(NAMES[1:], start=1):
        assert scan["volumes_ml"][name] == pytest.approx(np.count_nonzero(masks == index) * voxel_ml, rel=1e-3)

    assert json.loads((out / "summary.json").read_text())["scans"] == [scan]
    with (out / "summary.csv").open(newline="") as rows:
        (row,) = csv.DictReader(rows)
    assert row["scan"] == "one"


def test_a_second_call_has_nothing_to_do(folder, model):
    scans, truth, out = folder / "scans", folder / "truth", folder / "out"
    before = {file: file.stat().st_mtime_ns for file in (out / "masks").rglob("*.png")}
    ctseg("batch", scans, "--out", out, "--truth", truth, "--model", model)
    assert {file: file.stat().st_mtime_ns for file in (out / "masks").rglob("*.png")} == before
