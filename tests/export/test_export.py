import errno
import importlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import typer

from ctseg.cli import load
from ctseg.datasets.learnt_groups import group_digest
from ctseg.errors import CallError, MissingExtraError, ModelError
from ctseg.model import WEIGHTS, from_metadata
from ctseg.runtime import open_on_cpu
from ctseg.scan import Slice
from ctseg.training import checkpoint
from ctseg.training.network_file import weights_digest
from ctseg_export.command import export
from ctseg_export.ensemble import open_ensemble
from ctseg_export.export import export_model


@pytest.fixture
def spec(exported, open_session):
    return from_metadata(open_session(exported.file).get_modelmeta().custom_metadata_map, exported.file)


def test_the_file_segments_as_the_network_does(exported, light, open_session, noise):
    batch = noise(2, 32, 48)
    (labels,) = open_session(exported.file).run(["labels"], {"slice": batch})
    with torch.inference_mode():
        np.testing.assert_array_equal(labels, light.net(torch.from_numpy(batch)).argmax(1))


def test_the_file_says_how_it_is_used_and_where_it_comes_from(spec, light):
    assert (spec.name, spec.version, spec.precision) == ("light", "1", "fp32")
    assert spec.preparation == light.recipe.preparation
    assert spec.cleanup == light.recipe.cleanup
    assert spec.scores == {"first": {"mean_iou": 0.5, "groups": 1}}
    assert spec.training["recipe"]["architecture"]["widths"] == [8, 16, 16]
    assert [d["name"] for d in spec.training["datasets"]] == ["first", "second"]


def test_the_licence_is_what_the_data_demand(spec):
    assert spec.licence == "first: non-commercial use only; for research, not for diagnosis"


def test_patients_are_counted_not_named(exported, spec):
    assert spec.training["datasets"][0]["groups"] == {"train": 2, "val": 1}
    assert b"patient-" not in exported.file.read_bytes()


def test_those_learnt_from_can_be_known_again(spec):
    learnt = spec.training["datasets"][0]["learnt_from"]
    assert len(learnt) == 2
    assert {group_digest("first", f"patient-{name}") for name in ("anna", "bert")} == set(learnt)
    assert group_digest("second", "patient-anna") not in learnt


@pytest.mark.parametrize(
    ("patient", "series", "known"),
    [("patient-cora", "y", 0), ("patient-anna", "y", 1), ("patient-cora", "x", 1), ("patient-anna", "x", 2)],
)
def test_benchmarks_score_it_on_nobody_it_learnt_from(exported, tmp_path, monkeypatch, patient, series, known):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    accuracy = importlib.import_module("accuracy")
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "dataset.json").write_text(json.dumps({"name": name}))
    rows = ["file,patient,split", f"0.png,{patient},val", "1.png,patient-bert,train"]
    (tmp_path / "first" / "index.csv").write_text("\n".join(rows))
    call = str(exported.file), [tmp_path / "first"], tmp_path / "second", [series]
    if not known:
        accuracy.check_held_back(*call)
        return
    with pytest.raises(typer.BadParameter, match=f"learnt from {known} of the 2 patients here"):
        accuracy.check_held_back(*call)


def test_files_of_one_network_say_so_in_any_precision(exported, checkpoint_file, tmp_path):
    """As `--precision` wants it: beside a file may lie that of an earlier training by the same call."""
    half = export_model(checkpoint_file, tmp_path / "half.onnx", precision="fp16").spec.training
    assert half == exported.spec.training
    other = checkpoint.load(checkpoint_file)
    with torch.no_grad():
        other.net.head.weight.mul_(1.01)
    assert weights_digest(other) != half[WEIGHTS]
    mean, of_the_file = (
        open_ensemble([file], is_mirrored=True).training[WEIGHTS] for file in (checkpoint_file, exported.file)
    )
    assert mean == of_the_file != half[WEIGHTS]


def test_the_proof_is_written_down(exported, spec, light):
    said = spec.export
    assert said["slices_compared"] == exported.difference.slices
    assert exported.difference.logit <= said["logit_difference_at_most"] <= 1e-3
    assert exported.difference.label_share <= said["label_difference_at_most"] <= 1e-4
    assert said["parameters"] == sum(p.numel() for p in light.net.parameters())


def test_the_cost_is_that_of_the_convolutions_at_working_size(spec, light):
    """Counted by hand: each convolution's weights, once for each pixel that it puts out."""
    macs = 0

    def count(module, _, output):
        nonlocal macs
        macs += module.weight.numel() * output.shape[2] * output.shape[3]

    hooks = [m.register_forward_hook(count) for m in light.net.modules() if isinstance(m, torch.nn.Conv2d)]
    with torch.inference_mode():
        light.net(torch.zeros(1, 1, 96, 96))
    for hook in hooks:
        hook.remove()
    assert spec.export["gmac"] == pytest.approx(macs / 1e9, abs=0.0006)


def test_what_the_caller_says_comes_first(checkpoint_file, graph_at_hand, tmp_path, open_session):
    file = tmp_path / "new" / "m.fp16.onnx"
    given = [Slice(np.zeros((64, 64), np.uint8), "grey8")]
    made = export_model(checkpoint_file, file, precision="fp16", name="mine", version="2", licence="mine", slices=given)
    spec = from_metadata(open_session(file).get_modelmeta().custom_metadata_map, file)
    assert (spec.name, spec.version, spec.licence, spec.precision) == ("mine", "2", "mine", "fp16")
    assert made.spec.name == "mine"
    assert made.difference.slices == 12
    assert [f.name for f in file.parent.iterdir()] == ["m.fp16.onnx"]


def test_a_graph_that_is_not_the_network_is_not_written(checkpoint_file, classic, tmp_path, monkeypatch):
    monkeypatch.setattr("ctseg_export.export.logits_graph", lambda net, multiple: classic.logits)
    with pytest.raises(ModelError, match="nothing was written"):
        export_model(checkpoint_file, tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_place_is_kept_or_replaced(checkpoint_file, graph_at_hand, tmp_path, capsys):
    out = tmp_path / "m[" / "1].onnx"  # a terminal would take that for a mark of its own
    out.parent.mkdir()
    out.write_text("mine")
    call = [str(checkpoint_file), "--out", str(out)]
    with pytest.raises(CallError, match="--overwrite"):
        load("export")(call, standalone_mode=False)
    assert out.read_text() == "mine"
    load("export")([*call, "--overwrite"], standalone_mode=False)
    assert out.stat().st_size > 10_000
    assert f"{out} is written; next: ctseg inspect" in capsys.readouterr().out


def test_a_model_is_never_written_over_a_checkpoint(checkpoint_file):
    before = checkpoint_file.read_bytes()
    with pytest.raises(CallError, match=r"\.pt is the ending of checkpoints"):
        load("export")([str(checkpoint_file), "--out", str(checkpoint_file), "--overwrite"], standalone_mode=False)
    assert checkpoint_file.read_bytes() == before


def test_another_process_writes_the_same_bytes_and_no_warnings(checkpoint_file, exported, tmp_path):
    call = [sys.executable, "-c", "from ctseg.cli import main; main()", "export", str(checkpoint_file)]
    done = subprocess.run(
        [*call, "--out", str(tmp_path / "m.onnx")],
        env={**os.environ, "PYTHONHASHSEED": "7", "COLUMNS": "120"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "m.onnx").read_bytes() == exported.file.read_bytes()


def test_a_checkpoint_that_is_none_is_refused(tmp_path):
    (tmp_path / "text.pt").write_text("weights")
    for name in ("text.pt", "absent.pt"):
        with pytest.raises(ModelError, match=name):
            export_model(tmp_path / name, tmp_path / "m.onnx")


def test_a_place_that_can_not_be_written_is_the_callers_error(checkpoint_file, tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    for place, why in {
        tmp_path / "file" / "m.onnx": f"the folder {tmp_path / 'file'} can't be made: {os.strerror(errno.EEXIST)}",
        tmp_path / "folder": os.strerror(errno.EISDIR),
    }.items():
        with pytest.raises(CallError, match="can't be written") as refused:
            export_model(checkpoint_file, place)
        assert str(refused.value) == f"{place} can't be written: {why}"


@pytest.mark.parametrize("absent", ["torch", "onnx", "onnxscript"])
def test_without_the_extra_it_is_named(monkeypatch, tmp_path, absent):
    monkeypatch.setitem(sys.modules, absent, None)
    with pytest.raises(MissingExtraError, match=rf"{absent}.*pip install '.\[export\]'"):
        export([str(tmp_path / "best.pt")], tmp_path / "model.onnx")


@pytest.mark.parametrize(("temperature", "outputs"), [(1.25, ["labels", "logits"]), (None, ["labels"])])
def test_logits_are_given_out_where_they_are_calibrated(
    checkpoint_file, graph_at_hand, tmp_path, open_session, temperature, outputs
):
    checkpoint.save(replace(checkpoint.load(checkpoint_file), temperature=temperature), tmp_path / "c.pt")
    file = export_model(tmp_path / "c.pt", tmp_path / "m.onnx").file
    assert [output.name for output in open_session(file).get_outputs()] == outputs
    assert open_on_cpu(file)[1].temperature == temperature
