import hashlib
import json
import subprocess
import sys
from dataclasses import replace

import onnx.helper
import onnx.parser
import pytest

from ctseg.cleanup import Cleanup
from ctseg.cli import load
from ctseg.errors import ModelError
from ctseg.model import FORMAT_VERSION, ModelSpec, to_metadata
from ctseg.prepare import Preparation
from ctseg_batch.commands.inspect import as_lines

GRAPH = """
<ir_version: 10, opset_import: ["": 18]>
nothing (float[N, 1, H, W] slice) => (uint8[N, H, W] labels) <int64[1] axis = {1}>
{
    whole = Cast <to = 2> (slice)
    labels = Squeeze (whole, axis)
}
"""
SPEC = ModelSpec(
    name="mine",
    version="7",
    licence="[red]not for sale[/]",
    domains=("hu",),
    preparation=Preparation((-1100.0, 100.0), 320, 16),
    cleanup=Cleanup(slice_fraction=0.0005),
    training={"datasets": [{"name": "set_a", "slices": {"train": 40, "val": 9}, "licence": "free"}], "seed": 3},
    scores={"set_a": {"iou": {"background": 0.98, "consolidation": None, "mean": 0.6123}}},
    export={"gmac": 1.207},
)


@pytest.fixture
def write(tmp_path):
    """A model file with the metadata given."""

    def written(metadata):
        model = onnx.parser.parse_model(GRAPH)
        onnx.helper.set_model_props(model, metadata)
        file = tmp_path / "mine.onnx"
        file.write_bytes(model.SerializeToString())
        return file

    return written


@pytest.fixture
def shown(write, capsys, monkeypatch):
    """What `ctseg inspect` prints of a file with SPEC, line ends and runs of blanks closed up."""
    monkeypatch.setenv("COLUMNS", "200")
    file = write(to_metadata(SPEC))
    load("inspect")([str(file)], standalone_mode=False)
    return file, " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    "line",
    [
        "mine, version 7, fp32",
        "licence [red]not for sale[/]",
        "0 background ██ 1 normal lung ██ 2 ground glass ██ 3 consolidation",
        "accepts Hounsfield units preparation",
        "HU from -1100 to 100 become grey 0 to 255",
        "the longer side becomes 320 pixels, then is padded with black to multiples of 16",
        "clean-up lung in pieces below 0.05 % of a slice becomes background confidence",
        "confidence it gives no probabilities scores",
        "set_a slices: train 40, val 9 licence: free",
        "iou: background 0.98, consolidation -, mean 0.612",
        "gmac: 1.21",
    ],
)
def test_the_table_tells_what_the_file_says(shown, line):
    assert line in shown[1]


def test_the_table_names_the_very_file(shown):
    file, text = shown
    assert hashlib.sha256(file.read_bytes()).hexdigest() in text
    assert str(file) in text


def test_json_holds_every_field(write, capsys):
    file = write(to_metadata(SPEC))
    load("inspect")([str(file), "--json"], standalone_mode=False)
    said = json.loads(capsys.readouterr().out)
    assert said["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert said["bytes"] == file.stat().st_size
    assert [c["name"] for c in said["classes"]] == ["background", "normal_lung", "ground_glass", "consolidation"]
    assert said["preparation"] == {"window": [-1100, 100], "long_side": 320, "multiple": 16}
    assert said["licence"] == SPEC.licence
    assert said["scores"] == SPEC.scores
    assert said["training"]["datasets"][0]["slices"]["train"] == 40


def test_a_file_cannot_write_on_the_terminal(write, capsys):
    metadata = to_metadata(SPEC)
    metadata["ctseg.licence"] = json.dumps("\x1b[2J\x07free")
    load("inspect")([str(write(metadata))], standalone_mode=False)
    printed = capsys.readouterr().out
    assert "free" in printed
    assert "\x1b" not in printed
    assert "\x07" not in printed


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({}, "does not say how to use it"),
        ({**to_metadata(SPEC), "ctseg.format_version": str(FORMAT_VERSION + 1)}, "update ctseg"),
        ({**to_metadata(SPEC), "ctseg.preparation": "{"}, "damaged"),
    ],
)
def test_files_that_do_not_say_enough_are_refused(write, metadata, reason):
    with pytest.raises(ModelError, match=rf"mine\.onnx.*{reason}"):
        load("inspect")([str(write(metadata))], standalone_mode=False)


def test_a_damaged_file_is_an_error_in_one_line(tmp_path):
    file = tmp_path / "half.onnx"
    file.write_bytes(b"\x08\x0a not a model")
    call = [sys.executable, "-c", "from ctseg.cli import main; main()", "inspect", str(file)]
    done = subprocess.run(call, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: {file} is not an ONNX file, or is damaged\n"


def test_neither_torch_nor_onnx_is_needed(write):
    code = (
        "import sys; sys.modules.update(torch=None, onnx=None); "
        "from ctseg.cli import load; load('inspect')(standalone_mode=False)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(write(to_metadata(SPEC)))], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "mine" in done.stdout


def test_figures_of_the_network_before_are_told_as_such_first(write, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    theirs = {"iou": {"ground_glass": 0, "mean": 0.49}, "of": "the network that it began with", "split": "val"}
    load("inspect")([str(write(to_metadata(replace(SPEC, scores={"set_a": theirs}))))], standalone_mode=False)
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    start = lines.index("scores       set_a")
    assert lines[start + 1 : start + 3] == [
        "of: the network that it began with: the last run held no patients out",
        "iou: ground_glass 0, mean 0.49",
    ]
    assert "mean: 0 for a class may mean that only the mask has it, even in a single pixel" in lines


def test_scores_have_one_mean_and_no_0_for_classes_that_a_set_does_not_show(write, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    figures = {"ground_glass": 0, "normal_lung": 0.9, "mean": 0.45, "mean_present": 0.9}
    load("inspect")([str(write(to_metadata(replace(SPEC, scores={"set_a": {"iou": figures}}))))], standalone_mode=False)
    said = capsys.readouterr().out
    assert "iou: normal_lung 0.9, ground_glass -, mean of the classes that occur 0.9" in said
    assert (
        "measured in training, slice by slice; means include background; -: no slice of the set shows the class" in said
    )
    assert "mean: 0 for a class" not in said


def test_what_few_ask_for_is_told_if_asked(write, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    training = {**SPEC.training, "recipe": {"epochs": 35}, "seed": 7}
    file = str(write(to_metadata(replace(SPEC, training=training))))
    brief, whole = (
        load("inspect")([file, *more], standalone_mode=False) or capsys.readouterr().out for more in ([], ["-v"])
    )
    assert "set_a" in brief
    assert "train 40" in brief
    for line in ("recipe: epochs 35", "seed: 7"):
        assert line not in brief
        assert line in whole
    assert brief.index("iou: ") < brief.index("train 40")


def test_a_mean_of_networks_is_told_as_such_and_not_as_a_training(write, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    start = [{"sha256": "a" * 64}, {"sha256": "b" * 64}]
    for rate, is_told in ((0.0, True), (0.001, False)):
        training = {"recipe": {"learning_rate": rate, "start_share": 1.0}, "start": start}
        load("inspect")([str(write(to_metadata(replace(SPEC, training=training)))), "-v"], standalone_mode=False)
        assert ("the mean weights of the 2 networks under `start`, not trained" in capsys.readouterr().out) == is_told


def test_an_offset_of_a_network_that_was_not_trained_any_further_is_told(write, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    for offset, told in (({"background": -0.5}, ", with `logit_offset` added"), ({}, "")):
        recipe = {"learning_rate": 0.0, "start_share": 1.0, "logit_offset": offset}
        training = {"recipe": recipe, "start": [{"sha256": "a" * 64}]}
        load("inspect")([str(write(to_metadata(replace(SPEC, training=training)))), "-v"], standalone_mode=False)
        said = capsys.readouterr().out
        assert f"the weights of the network under `start`{told}, not trained any further:" in said


def test_nested_figures_become_indented_lines():
    story = {"a": {"b": {"c": 1, "d": [2, 3]}, "e": None}, "f": "text"}
    assert list(as_lines(story)) == ["a", "  b: c 1, d 2 3", "  e: -", "f: text"]


def test_data_sets_of_one_name_are_both_told():
    story = {
        "datasets": [{"name": "mine", "slices": 10}, {"name": "theirs", "slices": 1}, {"name": "mine", "slices": 9}]
    }
    assert list(as_lines(story)) == ["datasets", "  mine (1): slices 10", "  theirs: slices 1", "  mine (3): slices 9"]
