"""Model files that are none, damaged, foreign or hostile: each ends the call in one line, and nothing is written."""

import os
import shutil
import sys

import onnx
import onnx.helper
import pytest

from ctseg.model import find_model

NAMES = {"slice": "picture", "labels": "mask"}


@pytest.fixture
def call(command, draw, save_slice, tmp_path):
    """Call `ctseg batch` with a model file; gives back what it said, once it is sure that it left all as it was."""
    save_slice(tmp_path / "in/a.png", draw())
    (tmp_path / "models").mkdir()

    def called(file):
        before = sorted(tmp_path.rglob("*"))
        left = command(tmp_path / "in", "--out", tmp_path / "out", "--model", file)
        assert (left.status, left.out) == (2, "")
        assert left.err.startswith("error: ")
        assert left.err.count("\n") == 1
        assert str(file) in left.err
        assert "Traceback" not in left.err
        assert "ONNXRuntimeError" not in left.err
        assert sorted(tmp_path.rglob("*")) == before
        return left.err

    return called


@pytest.fixture
def change(quarters, tmp_path):
    """The model of these tests with a change, as a file; the change is done to its protobuf."""

    def changed(how):
        model = onnx.load(quarters)
        how(model)
        file = tmp_path / "models" / "changed.onnx"
        file.write_bytes(model.SerializeToString())
        return file

    return changed


@pytest.mark.parametrize("share", [0, 0.01, 0.3, 0.9, 0.999])
def test_a_file_that_was_cut_off(call, tmp_path, share):
    whole = find_model("fast").read_bytes()
    file = tmp_path / "models/half.onnx"
    file.write_bytes(whole[: int(share * len(whole))])
    said = call(file)
    assert any(
        why in said for why in ("is not an ONNX file", "is not a model that onnxruntime can run", "does not say how")
    )


@pytest.mark.parametrize("place", [0, 2, 10, 40, 100, 200])
def test_a_file_with_a_damaged_byte(call, quarters, tmp_path, place):
    content = bytearray(quarters.read_bytes())
    content[place] ^= 0xFF
    file = tmp_path / "models/bad.onnx"
    file.write_bytes(content)
    call(file)


def test_a_file_whose_text_is_no_text(call, change):
    """Strings in protobuf are UTF-8, but nothing checks them before they are asked for."""
    file = change(lambda model: setattr(model.metadata_props[0], "value", "~~~~"))
    file.write_bytes(file.read_bytes().replace(b"~~~~", b"\xff\xfe\xff\xfe"))
    call(file)


@pytest.mark.parametrize("version", [2**31 - 1, 99])
def test_a_file_of_a_later_time(call, change, version):
    assert "not a model that onnxruntime can run" in call(change(lambda model: setattr(model, "ir_version", version)))
    assert "not a model that onnxruntime can run" in call(
        change(lambda model: setattr(model.opset_import[0], "version", version))
    )


def test_a_file_that_does_not_say_how_it_is_to_be_used(call, change):
    assert "has no ctseg metadata" in call(change(lambda model: model.ClearField("metadata_props")))


@pytest.mark.parametrize(
    "place", ["secret.bin", "./secret.bin", "{}/secret.bin", "/etc/passwd", "../" * 20 + "etc/passwd"]
)
def test_a_file_with_weights_elsewhere(call, change, monkeypatch, tmp_path, place):
    """Wherever they are: beside the file, in the folder of the call, or in another one."""
    (tmp_path / "models/secret.bin").write_bytes(bytes(range(64)))
    monkeypatch.chdir(tmp_path / "models")

    def point(model):
        weights = onnx.TensorProto(name="weights", data_type=onnx.TensorProto.UINT8, dims=[16])
        weights.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", place.format(tmp_path / "models")), ("offset", "0"), ("length", "16")):
            weights.external_data.add(key=key, value=value)
        model.graph.initializer.append(weights)
        model.graph.node[-1].output[0] = "before"
        model.graph.node.append(onnx.helper.make_node("ReduceMax", ["weights"], ["most"], keepdims=0))
        model.graph.node.append(onnx.helper.make_node("Add", ["before", "most"], ["labels"]))

    assert "keeps weights in another file" in call(change(point))


@pytest.mark.parametrize("which", ["slice", "labels"])
def test_a_file_whose_input_or_output_is_called_otherwise(call, change, which):
    def rename(model):
        for node in model.graph.node:
            node.input[:] = [NAMES[which] if name == which else name for name in node.input]
            node.output[:] = [NAMES[which] if name == which else name for name in node.output]
        for value in (*model.graph.input, *model.graph.output):
            value.name = NAMES[which] if value.name == which else value.name

    assert f"'{NAMES[which]}: tensor(" in call(change(rename))


def test_a_file_whose_labels_are_no_labels(call, change):
    def as_floats(model):
        model.graph.node[-1].output[0] = "before"
        model.graph.node.append(onnx.helper.make_node("Cast", ["before"], ["labels"], to=1))
        model.graph.output[0].type.tensor_type.elem_type = 1

    assert "labels: tensor(float)" in call(change(as_floats))


def test_a_file_that_takes_one_size_alone(call, change):
    def fix(model):
        model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 64

    assert "slice: tensor(float) * x 1 x 64 x *" in call(change(fix))


def test_a_folder(call, tmp_path):
    (tmp_path / "models/fast.onnx").mkdir()
    assert "neither a file nor a shipped model" in call(tmp_path / "models/fast.onnx")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_does_not_block(call, tmp_path):
    os.mkfifo(tmp_path / "models/pipe.onnx")
    assert "neither a file nor a shipped model" in call(tmp_path / "models/pipe.onnx")


@pytest.mark.skipif(sys.platform == "win32", reason="no such devices there")
def test_a_device(call, tmp_path):
    (tmp_path / "models/zero.onnx").symlink_to("/dev/zero")
    call(tmp_path / "models/zero.onnx")


@pytest.mark.skipif(sys.platform == "win32", reason="a hole in a file takes room there")
def test_a_file_of_a_terabyte(call, tmp_path):
    file = tmp_path / "models/hole.onnx"
    with file.open("wb") as stream:
        stream.truncate(2**40)
    assert "larger than any" in call(file)


def test_a_file_of_another_kind(call, tmp_path):
    shutil.copy(shutil.which("ctseg") or sys.executable, tmp_path / "models/program.onnx")
    assert "is not an ONNX file, or is damaged" in call(tmp_path / "models/program.onnx")
