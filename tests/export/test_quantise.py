import copy
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch

from ctseg.errors import CallError, ModelError
from ctseg.phantom import Phantom
from ctseg.runtime import open_on_cpu
from ctseg.scan import Slice
from ctseg.training import checkpoint
from ctseg.training.checkpoint import Checkpoint
from ctseg_export.export import FEWEST_SLICES, export_model
from ctseg_export.graph import labels_graph
from ctseg_export.proof import measure, slice_batches
from ctseg_export.quantise import in_int8


@pytest.fixture(scope="module")
def slices():
    phantom = Phantom(seed=2, slices=FEWEST_SLICES, size=96)
    return [Slice(phantom.slice(index)[0], "hu") for index in range(FEWEST_SLICES)]


@pytest.fixture(scope="module")
def quantised(light, slices):
    return in_int8(light.logits, slice_batches(light.recipe.preparation, slices[::2]))


def test_the_labels_stay_nearly_the_same_on_slices_it_was_not_made_by(light, quantised, slices, open_session):
    session = open_session(labels_graph(quantised))
    for batch in slice_batches(light.recipe.preparation, slices[1::2]):
        labels, _ = session.run(None, {"slice": batch})
        with torch.inference_mode():
            expected = light.net(torch.from_numpy(batch)).argmax(1).numpy()
        assert np.mean(labels != expected) < 0.05


def test_the_classic_network_can_be_quantised_too(classic, slices, open_session):
    model = labels_graph(in_int8(classic.logits, slice_batches(classic.recipe.preparation, slices[:4])))
    batch = next(slice_batches(classic.recipe.preparation, slices[5:6]))
    labels, _ = open_session(model).run(None, {"slice": batch})
    assert labels.shape == (1, *batch.shape[2:])


def test_all_but_the_first_and_the_last_convolution_have_weights_of_eight_bits(light, quantised):
    stored = [t for t in quantised.graph.initializer if t.data_type == onnx.TensorProto.INT8 and len(t.dims) == 4]
    convolutions = sum(isinstance(m, torch.nn.Conv2d) for m in light.net.modules())
    assert len(stored) == convolutions - 2
    # Seven bits of the eight: the processors that add pairs in 16 bits would overflow.
    assert all(np.abs(onnx.numpy_helper.to_array(t).astype(int)).max() <= 64 for t in stored)


def test_the_graph_it_is_made_of_is_left_alone(light, slices):
    before = light.logits.SerializeToString(deterministic=True)
    in_int8(light.logits, slice_batches(light.recipe.preparation, slices[:4]))
    assert light.logits.SerializeToString(deterministic=True) == before


def test_without_enough_slices_the_error_says_what_to_give(checkpoint_file, slices, tmp_path):
    with pytest.raises(CallError, match="--slices"):
        export_model(checkpoint_file, tmp_path / "m.onnx", precision="int8", slices=slices[:-1])
    assert not list(tmp_path.iterdir())


@pytest.fixture
def exact(graph_at_hand, monkeypatch):
    """Leaves the graph as it is: spares a test the time, and the loss, of quantising. The batches that it is given."""
    given = []
    monkeypatch.setattr("ctseg_export.export.in_int8", lambda graph, batches: (given.extend(batches), graph)[1])
    return given


def test_it_is_proved_on_the_slices_that_it_was_not_made_by(checkpoint_file, exact, slices, tmp_path, monkeypatch):
    proved = []

    def measured(model, net, batches):
        proved.extend(batches)
        return measure(model, net, proved)

    monkeypatch.setattr("ctseg_export.export.measure", measured)
    export_model(checkpoint_file, tmp_path / "m.onnx", precision="int8", slices=slices)
    assert len(exact) == len(proved) == FEWEST_SLICES // 2
    assert not any(np.array_equal(one, other) for one in exact for other in proved)


def test_it_gives_no_logits_though_those_of_the_network_are_calibrated(
    checkpoint_file, exact, slices, tmp_path, open_session
):
    checkpoint.save(replace(checkpoint.load(checkpoint_file), temperature=1.25), tmp_path / "c.pt")
    made = export_model(tmp_path / "c.pt", tmp_path / "m.onnx", precision="int8", slices=slices)
    assert [output.name for output in open_session(made.file).get_outputs()] == ["labels"]
    assert open_on_cpu(made.file)[1].temperature is None


def test_slices_without_lung_prove_nothing(light, slices, tmp_path):
    blind = copy.deepcopy(light.net)
    torch.nn.init.zeros_(blind.head.weight)
    blind.head.bias.data = torch.tensor([1.0, 0.0, 0.0, 0.0])
    checkpoint.save(Checkpoint(blind, light.recipe, {}, {}, {}), tmp_path / "best.pt")
    with pytest.raises(CallError, match=r"only 0.00% of the slices that int8 is compared on is lung.*--slices"):
        export_model(tmp_path / "best.pt", tmp_path / "m.onnx", precision="int8", slices=slices)
    assert not (tmp_path / "m.onnx").exists()


def test_a_file_that_labels_too_much_otherwise_is_not_written(
    checkpoint_file, graph_at_hand, slices, tmp_path, monkeypatch
):
    monkeypatch.setattr("ctseg_export.export.in_int8", lambda graph, batches: _with_other_weights(graph))
    with pytest.raises(
        ModelError, match=r"^8 bits lose too much.* the label of \d+.* with --slices, or train longer$"
    ) as told:
        export_model(checkpoint_file, tmp_path / "m.onnx", precision="int8", slices=slices)
    assert "logit" not in str(told.value)
    assert not list(tmp_path.iterdir())


def _with_other_weights(graph):
    wrong = onnx.ModelProto()
    wrong.CopyFrom(graph)
    head = next(t for t in wrong.graph.initializer if t.name == "head.weight")
    head.CopyFrom(onnx.numpy_helper.from_array(-onnx.numpy_helper.to_array(head), head.name))
    return wrong
