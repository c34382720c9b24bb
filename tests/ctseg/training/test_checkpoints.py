"""Checkpoints that hold code, are damaged or none at all: whichever command is given one refuses it in one line."""

import contextlib
import os
import signal
import zipfile
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from ctseg.cli import main
from ctseg.datasets.learnt_groups import group_digest
from ctseg.errors import CallError, ModelError
from ctseg.process.signals import raised
from ctseg.training import checkpoint
from ctseg.training.checkpoint import Checkpoint
from ctseg.training.networks import build
from ctseg.training.recipe import LIGHT, Architecture

TINY = replace(LIGHT, architecture=Architecture("light", (8, 8, 8), (0, 1, 1)))


class Bomb:
    """What makes a file if it is unpickled."""

    def __init__(self, file):
        self._file = file

    def __reduce__(self):
        return open, (str(self._file), "w")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Three patients with a slice each."""
    folder = tmp_path_factory.mktemp("data")
    for patient in range(3):
        for part in ("image", "mask"):
            (folder / part / str(patient)).mkdir(parents=True)
            pixels = np.arange(1024, dtype=np.uint16).reshape(32, 32) % 4 + (patient if part == "image" else 0)
            cv2.imwrite(str(folder / part / str(patient) / "0.png"), pixels.astype(np.uint8))
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A checkpoint as training writes it, of a network that learnt nothing."""
    file = tmp_path_factory.mktemp("whole") / "whole.pt"
    groups = {"train": ["0"], "val": ["1"], "test": ["2"]}
    training = {"datasets": [{"name": "data", "groups": groups, "learnt_from": [group_digest("data", "0")]}]}
    checkpoint.save(Checkpoint(build(TINY.architecture), TINY, training, {}, {}), file)
    return file


@pytest.fixture
def bomb(whole, tmp_path):
    """The same with code in each place that a checkpoint has."""

    def made(place):
        state = torch.load(whole, weights_only=True)
        state[place] = {"0": Bomb(tmp_path / "boom")} if place == "training" else Bomb(tmp_path / "boom")
        torch.save(state, tmp_path / "bomb.pt")
        return tmp_path / "bomb.pt"

    return made


@pytest.fixture
def refused(capsys):
    """Call a command that is to end in one line on standard error, which is given back."""

    def called(*arguments):
        with pytest.raises(SystemExit) as left:
            main([str(word) for word in arguments])
        said = capsys.readouterr()
        assert (left.value.code, said.out) == (2, "")
        assert said.err.startswith("error: ")
        assert said.err.count("\n") == 1
        return said.err

    return called


@pytest.mark.parametrize("place", ["format", "weights", "training", "progress"])
@pytest.mark.parametrize("name", ["evaluate", "export", "train --teacher"])
def test_code_in_a_checkpoint_is_never_run(refused, bomb, data, tmp_path, name, place):
    file = bomb(place)
    calls = {
        "evaluate": ["evaluate", file, data],
        "export": ["export", file, "--out", tmp_path / "model.onnx"],
        "train --teacher": ["train", data, "--out", tmp_path / "run", "--teacher", file, "--device", "cpu"],
    }
    assert "bomb.pt is not a checkpoint of ctseg train, or is damaged" in refused(*calls[name])
    assert not (tmp_path / "boom").exists()
    assert not (tmp_path / "model.onnx").exists()


def test_code_in_the_checkpoint_of_a_run_is_not_run_when_that_goes_on(refused, bomb, data, tmp_path, monkeypatch):
    call = ["train", data, "--out", tmp_path / "run", "--epochs", 1, "--device", "cpu"]
    with monkeypatch.context() as patched:
        patched.setattr("ctseg.training.train.run", lambda *_: None)  # it ends before the first epoch
        main_ends(call)
    bomb("progress").rename(tmp_path / "run/last.pt")
    with pytest.raises(SystemExit) as left:
        main([*map(str, call), "--resume"])
    assert left.value.code == 2
    assert not (tmp_path / "boom").exists()


def main_ends(call):
    with pytest.raises(SystemExit) as left:
        main([str(word) for word in call])
    assert not left.value.code


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
@pytest.mark.parametrize("name", ["evaluate", "export"])
def test_a_pipe_and_a_folder_are_no_checkpoints_and_do_not_block(refused, data, tmp_path, name):
    os.mkfifo(tmp_path / "pipe.pt")
    (tmp_path / "folder.pt").mkdir()
    for file in (tmp_path / "pipe.pt", tmp_path / "folder.pt"):
        rest = [data] if name == "evaluate" else ["--out", tmp_path / "model.onnx"]
        assert f"no checkpoint {file}" in refused(name, file, *rest)


@pytest.mark.parametrize("odd", [None, 1, "text", [], {}, {"kind": "light"}, float("inf"), [[1]], {"name": [1]}])
def test_a_checkpoint_whose_parts_are_others_is_refused(whole, tmp_path, odd):
    state = torch.load(whole, weights_only=True)
    for part in ("format", "format_version", "classes", "recipe", "weights", "training", "scores", "progress"):
        if odd == state[part] or (isinstance(odd, dict) and part in ("training", "scores", "progress")):
            continue  # it could be so
        torch.save({**state, part: odd}, tmp_path / "odd.pt")
        with pytest.raises(ModelError, match=r"odd\.pt"):
            checkpoint.load(tmp_path / "odd.pt")


def test_a_checkpoint_without_one_of_its_parts_is_refused(whole, tmp_path):
    state = torch.load(whole, weights_only=True)
    for part in state.keys() - {"temperature"}:
        torch.save({name: value for name, value in state.items() if name != part}, tmp_path / "less.pt")
        with pytest.raises(ModelError, match=r"less\.pt"):
            checkpoint.load(tmp_path / "less.pt")


@pytest.mark.parametrize("field", ["architecture", "preparation", "cleanup"])
@pytest.mark.parametrize("odd", [None, "text", {"kind": "light", "widths": ["a"], "blocks": [1]}, [1, 2]])
def test_a_recipe_of_other_parts_is_refused(whole, tmp_path, field, odd):
    state = torch.load(whole, weights_only=True)
    torch.save({**state, "recipe": {**state["recipe"], field: odd}}, tmp_path / "odd.pt")
    with pytest.raises(ModelError, match=r"odd\.pt"):
        checkpoint.load(tmp_path / "odd.pt")


def damage(state, place, value):
    """Put a value at a place in a checkpoint's content, or take what is there away."""
    *way, last = place
    for name in way:
        state = state[name]
    if value is None:
        del state[last]
    else:
        state[last] = value


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("temperature",), "abc"),
        (("temperature",), -1.0),
        (("temperature",), float("nan")),
        (("training", "datasets"), 5),
        (("training", "datasets", 0, "groups"), None),
        (("training", "datasets", 0, "learnt_from"), 3),
        (("training", "datasets", 0, "name"), None),
        (("scores", "data"), [1]),
        (("recipe", "dice_weight"), "a"),
        (("recipe", "averaging"), float("nan")),
        (("recipe", "architecture", "kind"), "dense"),
        (("recipe", "preparation", "multiple"), 7),
        (("recipe", "preparation", "multiple"), 4),
        (("weights", "head.bias"), torch.full((4,), float("nan"))),
        (("recipe", "architecture", "widths"), (8, 8, 10**6)),  # which would take terabytes
    ],
)
def test_what_would_fail_later_is_refused_when_a_checkpoint_is_read(whole, tmp_path, place, value):
    state = torch.load(whole, weights_only=True)
    damage(state, place, value)
    torch.save(state, tmp_path / "odd.pt")
    with pytest.raises(ModelError, match=r"odd\.pt"):
        checkpoint.load(tmp_path / "odd.pt")


def test_a_checkpoint_of_the_first_version_says_whom_it_learnt_from(whole, tmp_path):
    """It had the names of groups alone."""
    state = torch.load(whole, weights_only=True)
    damage(state, ("training", "datasets", 0, "learnt_from"), None)
    torch.save(state, tmp_path / "old.pt")
    assert checkpoint.load(tmp_path / "old.pt").training == checkpoint.load(whole).training
    damage(state, ("training", "datasets", 0, "groups", "train"), None)
    torch.save(state, tmp_path / "odd.pt")
    with pytest.raises(ModelError, match=r"odd\.pt"):
        checkpoint.load(tmp_path / "odd.pt")


def test_weights_that_a_file_does_not_hold_are_refused_before_they_take_memory(tmp_path):
    """Of one number each, said to be many."""
    huge = replace(TINY, architecture=Architecture("light", (8, 8, 20_000), (0, 1, 1)))
    with torch.device("meta"):
        shapes = {name: part.shape for name, part in build(huge.architecture).state_dict().items()}
    weights = {name: torch.zeros(()).expand(shape) for name, shape in shapes.items()}
    checkpoint.save(Checkpoint(build(TINY.architecture), huge, {"datasets": [], "seed": 0}, {}, {}), tmp_path / "a.pt")
    state = torch.load(tmp_path / "a.pt", weights_only=True)
    torch.save({**state, "weights": weights}, tmp_path / "a.pt")
    assert (tmp_path / "a.pt").stat().st_size < 10**6
    with pytest.raises(ModelError, match="its weights would take more memory than the file"):
        checkpoint.load(tmp_path / "a.pt")


def test_no_network_is_built_that_a_file_can_not_hold(whole, tmp_path, monkeypatch):
    state = torch.load(whole, weights_only=True)
    damage(state, ("recipe", "architecture", "blocks"), (-30_000, 1, 20_000))  # which alone would take minutes
    torch.save(state, tmp_path / "odd.pt")
    monkeypatch.setattr("ctseg.training.checkpoint.build", lambda _: pytest.fail("built"))
    with pytest.raises(ModelError, match="its recipe describes a larger network"):
        checkpoint.load(tmp_path / "odd.pt")


def test_a_compressed_file_is_refused_before_it_takes_memory(whole, tmp_path, monkeypatch):
    torch.save({**torch.load(whole, weights_only=True), "more": torch.zeros(10**7)}, tmp_path / "large.pt")
    bomb, overlapping = tmp_path / "bomb.pt", tmp_path / "overlapping.pt"
    with zipfile.ZipFile(tmp_path / "large.pt") as parts, zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in parts.namelist():
            packed.writestr(name, parts.read(name))
    assert bomb.stat().st_size < 10**6
    with zipfile.ZipFile(whole) as parts, zipfile.ZipFile(overlapping, "w") as packed:
        for name in parts.namelist():
            packed.writestr(name, parts.read(name))
        packed.filelist += packed.filelist  # entries of one place
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("loaded"))
    with pytest.raises(ModelError, match=r"bomb\.pt was compressed anew: take it as `ctseg train` wrote it"):
        checkpoint.load(bomb)
    with pytest.raises(ModelError, match=r"overlapping\.pt is not a checkpoint of ctseg train, or is damaged"):
        checkpoint.load(overlapping)


def test_a_run_does_not_go_on_from_another_checkpoint(whole, data, tmp_path, monkeypatch, capsys):
    call = ["train", data, "--out", tmp_path / "run", "--epochs", 1, "--device", "cpu"]
    with monkeypatch.context() as patched:
        patched.setattr("ctseg.training.train.run", lambda *_: None)  # it ends before the first epoch
        main_ends(call)
    other = replace(checkpoint.load(whole), recipe=LIGHT, net=build(LIGHT.architecture))
    for name in ("last.pt", "best.pt"):
        checkpoint.save(other, tmp_path / "run" / name)
    with pytest.raises(SystemExit) as left:
        main([*map(str, call), "--resume"])
    assert left.value.code == 2
    assert "last.pt does not record where its run was" in capsys.readouterr().err.splitlines()[-1]


def test_a_checkpoint_that_was_cut_off_or_damaged_is_refused_or_read(whole, tmp_path):
    content = whole.read_bytes()
    rng = np.random.default_rng(0)
    for end in rng.integers(0, len(content), 20):
        (tmp_path / "half.pt").write_bytes(content[:end])
        with pytest.raises(ModelError, match=r"half\.pt"):
            checkpoint.load(tmp_path / "half.pt")
    for _ in range(40):
        damaged = bytearray(content)
        for place in rng.integers(0, len(content), 3):
            damaged[place] ^= int(rng.integers(1, 256))
        (tmp_path / "bad.pt").write_bytes(damaged)
        with contextlib.suppress(ModelError):
            assert isinstance(checkpoint.load(tmp_path / "bad.pt"), Checkpoint)


def test_a_damaged_byte_in_the_weights_is_never_taken_for_a_weight(refused, whole, tmp_path):
    content = bytearray(whole.read_bytes())
    weights = checkpoint.load(whole).net.state_dict()["head.weight"].numpy().tobytes()
    content[content.index(weights) + 3] ^= 0x40
    (tmp_path / "bad.pt").write_bytes(content)
    said = refused("export", tmp_path / "bad.pt", "--out", tmp_path / "model.onnx")
    assert "bad.pt is not a checkpoint of ctseg train, or is damaged" in said


def test_a_disk_that_takes_no_more_is_told_as_that_and_leaves_the_former_checkpoint(whole, tmp_path):
    resource = pytest.importorskip("resource")
    (tmp_path / "best.pt").write_bytes(b"the former one")
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    found = checkpoint.load(whole)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, former[1]))
    try:
        with pytest.raises(
            CallError, match=r"best\.pt can't be written: File too large; --resume continues once it can"
        ):
            checkpoint.save(found, tmp_path / "best.pt")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {"best.pt": b"the former one"}


@pytest.mark.skipif(os.name != "posix", reason="signals are another matter there")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_ctrl_c_and_the_like_wait_until_a_checkpoint_is_written(whole, tmp_path, monkeypatch, name):
    save, number = torch.save, getattr(signal, name)
    handler = signal.getsignal(number)

    def interrupted(state, stream):
        signal.raise_signal(number)
        save(state, stream)

    monkeypatch.setattr(torch, "save", interrupted)
    with pytest.raises(KeyboardInterrupt), raised():
        checkpoint.save(checkpoint.load(whole), tmp_path / "new.pt")
    assert checkpoint.load(tmp_path / "new.pt").recipe == TINY
    assert signal.getsignal(number) is handler
