"""A training as a process that is killed at any moment, twice into one folder, on a full disk."""

import errno
import os
import random
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
import torch

from ctseg.cli import main
from ctseg.training import checkpoint, report

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals are another matter there")

EPOCHS = 9


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A data set in the seed layout: a square a slice."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for patient in range(5):
        mask = np.zeros((40, 40), np.uint8)
        mask[8:24, 8:24] = 1 + patient % 3
        grey = mask * 60 + rng.integers(0, 20, mask.shape, np.uint8)
        for part, picture in (("image", grey), ("mask", mask)):
            (folder / part / str(patient)).mkdir(parents=True)
            cv2.imwrite(str(folder / part / str(patient) / "0.png"), picture)
    return folder


def train(data, out, *more):
    call = [sys.executable, "-m", "ctseg", "train", data, "--out", out, "--canvas", 32, "--batch-size", 4, "--epochs"]
    call += [EPOCHS, "--device", "cpu", "--threads", 1, *more]
    return subprocess.Popen(list(map(str, call)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def undisturbed(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed")
    process = train(data, out)
    process.communicate()
    assert process.returncode == 0
    return out


def weights(file):
    return checkpoint.load(file).net.state_dict()


def test_a_scheduler_ends_it_as_ctrl_c_does(data, tmp_path):
    process = train(data, tmp_path / "run")
    next(line for line in process.stderr if line.startswith("epoch 1/"))
    process.terminate()
    assert "--resume continues after the last complete epoch" in process.communicate()[1]
    assert process.returncode == 128 + signal.SIGTERM


def test_a_run_without_a_checkpoint_is_begun_anew_by_any_call(data, tmp_path, monkeypatch):
    call = ["train", str(data), "--out", str(tmp_path / "run"), "--device", "cpu", "--epochs"]
    monkeypatch.setattr("ctseg.training.train.run", lambda *_: None)  # as if it had failed before its first epoch
    for epochs in ("1", "2"):
        with pytest.raises(SystemExit) as left:
            main([*call, epochs])
        assert not left.value.code
    with pytest.raises(SystemExit) as left:
        main([*call, "2", "--resume"])
    assert not left.value.code
    (tmp_path / "run/best.pt").write_bytes(b"a result")
    with pytest.raises(SystemExit) as left:
        main([*call, "3"])
    assert left.value.code == 2


def test_nothing_is_written_among_the_data(data, capsys):
    with pytest.raises(SystemExit) as left:
        main(["train", str(data), "--out", str(data / "."), "--device", "cpu"])
    assert left.value.code == 2
    assert "it is a data set, to which nothing is written" in " ".join(capsys.readouterr().err.split())


def test_killed_at_any_moment_it_goes_on_to_the_same_result(data, undisturbed, tmp_path):
    draws = random.Random(0)
    out = tmp_path / "killed"
    for epoch in (1, 4):
        process = train(data, out, *(["--resume"] if (out / "recipe.json").exists() else []))
        for line in process.stderr:
            if line.startswith(f"epoch {epoch}/"):
                break
        time.sleep(draws.random() * 0.1)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    process = train(data, out, "--resume")
    err = process.communicate()[1]
    assert process.returncode == 0, err
    assert "continuing after epoch" in err
    for name in ("best.pt", "last.pt"):
        one, other = weights(undisturbed / name), weights(out / name)
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one)


def test_interrupted_it_says_how_to_go_on(data, tmp_path):
    process = train(data, tmp_path / "run")
    for line in process.stderr:
        if line.startswith("epoch 1/"):
            break
    process.send_signal(signal.SIGINT)
    err = process.communicate()[1]
    assert process.returncode == 130
    assert "--resume continues after the last complete epoch" in err
    assert "Traceback" not in err


def test_interrupted_after_the_last_epoch_it_says_how_to_go_on_too(data, tmp_path, monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(report, "draw_curves", interrupted)
    with pytest.raises(SystemExit) as left:
        main(["train", str(data), "--out", str(tmp_path / "run"), "--canvas", "32", "--epochs", "1", "--device", "cpu"])
    assert left.value.code == 130
    assert capsys.readouterr().err.endswith("--resume continues after the last complete epoch\n")


def test_a_second_training_into_the_same_folder_is_told_so(data, tmp_path):
    first = train(data, tmp_path / "run")
    for line in first.stderr:
        if line.startswith("epoch 1/"):
            break
    first.send_signal(signal.SIGSTOP)
    second = train(data, tmp_path / "run", "--resume")
    err = second.communicate()[1]
    first.kill()
    first.communicate()
    assert second.returncode == 2
    assert f"error: another run is writing to {tmp_path / 'run'}" in err


def test_a_disk_that_is_full_leaves_no_half_of_a_recipe(data, tmp_path, monkeypatch, capsys):
    call = ["train", str(data), "--out", str(tmp_path / "run"), "--device", "cpu"]
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def fails(*_):
        raise full

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fails)
        with pytest.raises(SystemExit) as left:
            main(call)
    assert left.value.code == 2
    assert "recipe.json can't be written: No space left on device" in " ".join(capsys.readouterr().err.split())
    assert [file.name for file in (tmp_path / "run").iterdir()] == [".lock"]
    with monkeypatch.context() as patched:
        patched.setattr("ctseg.training.train.run", lambda *_: None)
        with pytest.raises(SystemExit) as left:
            main(call)
    assert not left.value.code
