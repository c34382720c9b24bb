"""How much work a run does, counted: what a stopwatch would show on a quiet machine, and miss on a busy one."""

import os
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from ctseg.model import find_model
from ctseg.prepare import Preparation, prepare, to_grey
from ctseg.scan import Slice
from ctseg.stages import listening
from ctseg.window import LUNG_WINDOW
from ctseg_batch.profiling.network import costliest

_opened: Counter[str] = Counter()
_watched: list[str] = []


def _audit(event, arguments):
    if event == "open" and _watched and isinstance(arguments[0], str) and arguments[0].startswith(_watched[0]):
        _opened[arguments[0]] += 1


sys.addaudithook(_audit)  # it stays in the process for good, and does nothing unless it is asked to


@pytest.fixture
def opened(tmp_path):
    """How often each file below `in` is opened."""
    _opened.clear()
    _watched[:] = [str(tmp_path / "in")]
    yield _opened
    _watched.clear()


@pytest.fixture
def sessions(monkeypatch):
    made = []
    real = onnxruntime.InferenceSession
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *a, **k: made.append(1) or real(*a, **k))
    return made


def test_one_session_serves_all_workers(batch, draw, save_slice, sessions, tmp_path):
    for number in range(12):
        save_slice(tmp_path / "in" / f"{number}.png", draw(number))
    batch(tmp_path / "in", device="cpu", workers=4)
    assert len(sessions) == 1


def test_an_image_is_opened_once_and_a_dicom_slice_twice(batch, draw, save_slice, save_series, opened, tmp_path):
    images = [save_slice(tmp_path / "in" / "images" / f"{n}.png", draw(n)) for n in range(5)]
    series = save_series(tmp_path / "in" / "ct", np.stack([draw(n, 64, 64) for n in range(5)]))
    opened.clear()
    batch(tmp_path / "in")
    assert {opened[str(file)] for file in images} == {1}
    # For its place in the series, then for its pixels.
    assert {opened[str(file)] for file in series} == {2}


def test_a_second_call_opens_no_image(batch, draw, save_slice, opened, tmp_path):
    for number in range(5):
        save_slice(tmp_path / "in" / f"{number}.png", draw(number))
    batch(tmp_path / "in")
    opened.clear()
    batch(tmp_path / "in")
    assert not opened


def test_a_folder_of_masks_is_listed_once_for_all_its_volumes(batch, draw, save_volume, tmp_path, monkeypatch):
    for number in range(4):
        labels = np.stack([draw(number)] * 2)
        save_volume(tmp_path / "in" / f"{number}.nii", labels)
        save_volume(tmp_path / "truth" / f"{number}.nii", labels, truth=True)
    listed, real = Counter(), os.scandir
    monkeypatch.setattr(os, "scandir", lambda folder: listed.update([Path(folder).name]) or real(folder))
    done = batch(tmp_path / "in", truth=tmp_path / "truth")
    assert all(scan["iou"] for scan in done.summary["scans"])
    assert listed["truth"] == 1


class Ear:
    """Counts the stages that it hears of."""

    def __init__(self):
        self.heard = Counter()

    def note(self, name, start, end, slices, pixels):
        self.heard[name] += 1


def test_every_slice_passes_every_stage_once(batch, draw, save_slice, tmp_path):
    for number in range(6):
        save_slice(tmp_path / "in" / f"{number}.png", draw(number))
    with listening(ear := Ear()):
        batch(tmp_path / "in", workers=3)
    stages = ("read", "decode", "prepare", "infer", "restore", "clean", "encode", "write")
    assert {name: ear.heard[name] for name in stages} == dict.fromkeys(stages, 6)


def test_slices_of_one_shape_go_through_the_network_together(batch, draw, save_slice, tmp_path):
    for number in range(10):
        save_slice(tmp_path / "in" / f"{number}.png", draw(number))
    save_slice(tmp_path / "in" / "9.png", draw(9, 64, 24))
    with listening(ear := Ear()):
        done = batch(tmp_path / "in", batch_size=4)
    assert ear.heard["infer"] == 4  # 4, 4, then 1 and the one of another shape
    np.testing.assert_array_equal(done.masks["7.png"], draw(7))
    np.testing.assert_array_equal(done.masks["9.png"], draw(9, 64, 24))


def test_grey_slices_are_not_copied_on_their_way_to_the_network():
    pixels = np.zeros((64, 64), np.uint8)
    assert to_grey(Slice(pixels, "grey8"), LUNG_WINDOW) is pixels


def test_the_runtime_fuses_what_it_can_of_the_shipped_network():
    file = find_model("fast")
    batch = prepare(Slice(np.zeros((512, 512), np.uint8), "grey8"), Preparation())[0]
    kinds = Counter(node.kind for node in costliest(file, batch, ["CPUExecutionProvider"], 1000))
    assert kinds["Conv"] == 32
    # Each ReLU and each addition of a residual block is part of the convolution before it.
    assert kinds["Relu"] + kinds["BatchNormalization"] == 0
    assert kinds["Add"] <= 4
