"""The tutorial's commands, as they stand there but for its sizes, in one shell."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"
SIZES = "PATIENTS=8 SLICES=24 SIZE=192 EPOCHS=25"
NAMES = ("background", "normal_lung", "ground_glass", "consolidation")
SMALL = "PATIENTS=4 SLICES=3 SIZE=64 EPOCHS=1"


@pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash")
def test_its_commands_run_and_leave_what_it_says(tmp_path):
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert blocks[0].startswith("pip install '.[train,export]'\n")  # which the tests have done
    assert blocks[1].strip() == SIZES
    script = "\n".join(["set -eux", blocks[0].partition("\n")[2], SMALL, *blocks[2:]])
    here = Path(sys.executable).parent
    path = f"{here}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "CTSEG_TRAIN_CANVAS": "64", "CTSEG_TRAIN_THREADS": "1"}
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    top = tmp_path / "ctseg-tutorial"
    for made in ("best.pt", "curves.png", "panels.png", "metrics.json"):
        assert (top / "runs/first" / made).is_file()
    check_figures(top)
    with (top / "results/summary.csv").open(newline="") as rows:
        scans = {row["scan"]: row for row in csv.DictReader(rows)}
    assert set(scans) == {"another.nii.gz", "mild.nii.gz", "severe"}
    assert scans["another.nii.gz"]["iou_mean"] == scans["mild.nii.gz"]["iou_mean"] != ""
    assert (top / "results/overlays/mild.nii.gz/0000.png").is_file()
    assert cv2.imread(str(top / "mild.png")).shape == (64 + 72, 64, 3)
    assert "nothing to do: 9 slices were done before" in done.stderr
    assert "write is set by ctseg.toml" not in done.stderr


def test_its_model_has_one_name_in_every_precision():
    exports = re.findall(r"ctseg export [^`\n]+", PAGE.read_text(encoding="utf-8"))
    assert len(exports) == 2
    assert all(" --name first " in call for call in exports)


def check_figures(top):
    """IoU and volumes of a scan, worked out a second time."""
    (scan,) = (s for s in json.loads((top / "results/summary.json").read_text())["scans"] if s["scan"] == "severe")
    files = sorted((top / "truth/severe").iterdir())
    truths = np.stack([cv2.imread(str(file), cv2.IMREAD_UNCHANGED) for file in files])
    names = [f"{file.stem}.dcm.png" for file in files]
    masks = np.stack([cv2.imread(str(top / "results/masks/severe" / name), cv2.IMREAD_UNCHANGED) for name in names])
    assert masks.shape == truths.shape
    expected = [
        np.count_nonzero((masks == c) & (truths == c)) / np.count_nonzero((masks == c) | (truths == c))
        for c in range(4)
    ]
    assert [scan["iou"][name] for name in NAMES] == pytest.approx(expected)
    assert scan["iou"]["mean"] == pytest.approx(np.mean(expected))
    for index, name in enumerate(NAMES[1:], start=1):
        volume = np.count_nonzero(masks == index) * np.prod(scan["spacing_mm"]) / 1000
        assert scan["volumes_ml"][name] == pytest.approx(volume, rel=1e-3)
