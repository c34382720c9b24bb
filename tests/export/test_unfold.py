import onnx
import pytest
import torch
from onnx import numpy_helper

from ctseg.errors import ModelError
from ctseg.training import checkpoint
from ctseg.training.network_file import find_network, open_network
from ctseg.training.unfold import is_folded, open_model, recalibrated
from ctseg_export.export import export_model


def changed(exported, change, file):
    """A model file with something else in it."""
    model = onnx.load(exported.file)
    change(model)
    onnx.save(model, file)
    return file


def widen(model):
    for entry in model.metadata_props:
        if entry.key == "ctseg.training":
            entry.value = entry.value.replace("[8, 16, 16]", "[8, 16, 24]")


def inflate(model):
    """Weights of terabytes."""
    for entry in model.metadata_props:
        if entry.key == "ctseg.training":
            entry.value = entry.value.replace("[8, 16, 16]", "[8, 16, 1000000]")


def multiply(model):
    """Blocks whose building alone takes minutes."""
    for entry in model.metadata_props:
        if entry.key == "ctseg.training":
            entry.value = entry.value.replace("[0, 1, 1]", "[0, 1, 20000]")


def forget_the_recipe(model):
    for entry in model.metadata_props:
        if entry.key == "ctseg.training":
            entry.value = "{}"


def shift(model):
    """Another operation than the network has, which no weight tells."""
    bias = numpy_helper.from_array(numpy_helper.to_array(model.graph.initializer[0]).ravel()[:1] * 0 + 40, "shift")
    model.graph.initializer.append(bias)
    first = model.graph.node[0]
    model.graph.node.insert(0, onnx.helper.make_node("Add", ["slice", "shift"], ["shifted"]))
    first.input[list(first.input).index("slice")] = "shifted"


def test_a_model_file_gives_back_the_network_it_was_made_of(example, tmp_path, noise):
    kept = checkpoint.Checkpoint(example.net, example.recipe, {"datasets": [], "seed": 0}, {}, {}, 1.5)
    checkpoint.save(kept, tmp_path / "best.pt")
    found = open_network(export_model(tmp_path / "best.pt", tmp_path / "model.onnx").file)
    batch = torch.from_numpy(noise(2, 64, 96))
    with torch.inference_mode():
        torch.testing.assert_close(found.net(batch), example.net(batch), atol=1e-4, rtol=1e-4)
    assert found.recipe == example.recipe
    assert found.temperature == 1.5


def test_once_settled_it_computes_the_same_in_training_too(light, exported, noise):
    batch = torch.from_numpy(noise(4, 96, 96))
    net = recalibrated(open_model(exported.file).net, [batch])
    with torch.inference_mode():
        theirs = light.net(batch)
        torch.testing.assert_close(net.eval()(batch), theirs, atol=1e-3, rtol=1e-3)
        torch.testing.assert_close(net.train()(batch), theirs, atol=1e-3, rtol=1e-3)


def test_a_folded_network_is_known_for_one_in_whatever_file(light, exported, noise, tmp_path):
    folded = open_model(exported.file)
    checkpoint.save(folded, tmp_path / "folded.pt")
    assert is_folded(checkpoint.load(tmp_path / "folded.pt").net)
    assert not is_folded(recalibrated(folded.net, [torch.from_numpy(noise(4, 96, 96))]))
    assert not is_folded(light.net)


def test_what_is_settled_is_as_large_as_what_training_begins_with(exported, noise):
    net = recalibrated(open_model(exported.file).net, [torch.from_numpy(noise(4, 96, 96))])
    inner = net.encoder[1][1].first[0].weight
    assert inner.flatten(1).norm(dim=1).tolist() == pytest.approx([2**0.5] * len(inner), rel=1e-4)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (widen, "holds no network that this ctseg can build"),
        (inflate, "holds no network that this ctseg can build .its recipe describes a larger network"),
        (forget_the_recipe, "holds no network that this ctseg can build"),
        (shift, "is not what its recipe makes"),
    ],
)
def test_a_file_whose_network_is_not_known_is_refused(exported, tmp_path, change, reason):
    with pytest.raises(ModelError, match=rf"light\.onnx {reason}"):
        open_model(changed(exported, change, tmp_path / "light.onnx"))


def test_no_network_is_built_that_a_file_can_not_hold(exported, tmp_path, monkeypatch):
    monkeypatch.setattr("ctseg.training.unfold.build", lambda _: pytest.fail("built"))
    with pytest.raises(ModelError, match=r"light\.onnx holds no network .* .its recipe describes a larger network"):
        open_model(changed(exported, multiply, tmp_path / "light.onnx"))


def test_a_file_in_half_precision_is_refused(checkpoint_file, graph_at_hand, tmp_path):
    half = export_model(checkpoint_file, tmp_path / "half.onnx", precision="fp16").file
    for use in (open_model, lambda file: export_model(file, tmp_path / "again.onnx")):
        with pytest.raises(ModelError, match=r"half\.onnx is in fp16, made only to be run: take the same model in"):
            use(half)


@pytest.mark.parametrize("name", ["fst", "none.onnx"])
def test_a_name_that_is_no_file_says_what_there_is(name, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/best.pt").write_bytes(b"")
    with pytest.raises(ModelError, match=r"run is the folder of a training run: name .*best\.pt"):
        find_network(str(tmp_path / "run"))
    with pytest.raises(ModelError, match=r"neither a file nor a shipped model \(fast\)"):
        find_network(name)


def test_a_shipped_model_goes_before_the_folder_of_a_run_with_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fast").mkdir()
    (tmp_path / "fast/best.pt").write_bytes(b"")
    assert find_network("fast").name == "fast.onnx"
