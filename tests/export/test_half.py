import copy

import numpy as np
import onnx.checker
import pytest
import torch
from onnx import ModelProto, TensorProto, numpy_helper

from ctseg.errors import ModelError
from ctseg.training import checkpoint
from ctseg.training.checkpoint import Checkpoint
from ctseg_export.export import export_model
from ctseg_export.graph import labels_graph
from ctseg_export.half import check_range, in_half
from ctseg_export.proof import LIMITS


def test_the_labels_stay_nearly_the_same(example, open_session, noise):
    batch = noise(2, 64, 96)
    labels, _ = open_session(labels_graph(in_half(example.logits))).run(None, {"slice": batch})
    with torch.inference_mode():
        expected = example.net(torch.from_numpy(batch)).argmax(1).numpy()
    assert 0 < (labels != expected).mean() < 0.005


def test_larger_logits_may_lose_more(light, tmp_path, monkeypatch):
    """Some hundred times as large, so are the errors of rounding."""
    net, graph = copy.deepcopy(light.net), ModelProto()
    graph.CopyFrom(light.logits)
    weights = net.head.weight.detach().mul_(300).numpy()
    stored = next(tensor for tensor in graph.graph.initializer if tensor.name == "head.weight")
    stored.CopyFrom(numpy_helper.from_array(weights, stored.name))
    checkpoint.save(Checkpoint(net, light.recipe, {}, {}, {}), tmp_path / "best.pt")
    monkeypatch.setattr("ctseg_export.export.logits_graph", lambda net, multiple: graph)
    done = export_model(tmp_path / "best.pt", tmp_path / "m.fp16.onnx", precision="fp16")
    assert done.difference.logit > LIMITS["fp16"].logit
    assert done.file.is_file()


def test_values_near_the_end_of_half_precision_are_refused(light, noise):
    batches = [noise(1, 64, 96)]
    check_range(light.logits, batches)
    larger = ModelProto()
    larger.CopyFrom(light.logits)
    for tensor in larger.graph.initializer:
        if tensor.name == "head.weight":
            tensor.CopyFrom(numpy_helper.from_array(1e5 * numpy_helper.to_array(tensor), tensor.name))
    with pytest.raises(ModelError, match="too close to 65504, the limit of float16"):
        check_range(larger, batches)


def test_the_weights_take_half_the_room(example):
    single, half = labels_graph(example.logits), labels_graph(in_half(example.logits))

    def weights(model):
        return {t.data_type for t in model.graph.initializer if len(t.dims) == 4}

    assert (weights(single), weights(half)) == ({TensorProto.FLOAT}, {TensorProto.FLOAT16})


def test_input_and_output_stay_as_they_are(example, open_session):
    session = open_session(labels_graph(in_half(example.logits)))
    assert session.get_inputs()[0].type == "tensor(float)"
    assert session.get_outputs()[0].type == "tensor(uint8)"


def test_grey_values_are_not_rounded_before_they_are_normalised(light, open_session):
    """Two greys that half precision can't tell apart are scaled first: what reaches the network differs."""
    model = in_half(light.logits)
    cast = next(node for node in model.graph.node if node.op_type == "Cast")
    model.graph.output[0].CopyFrom(onnx.ValueInfoProto(name=cast.output[0]))
    batch = np.full((1, 1, 8, 8), 130.0, np.float32)
    session = open_session(model)
    (first,), (second,) = (session.run(None, {"slice": batch + shift}) for shift in (0, 0.05))
    assert np.float16(130.0) == np.float16(130.05)
    assert (first != second).all()


def test_the_graph_it_is_made_of_is_left_alone(light):
    before = light.logits.SerializeToString(deterministic=True)
    onnx.checker.check_model(in_half(light.logits), full_check=True)
    assert light.logits.SerializeToString(deterministic=True) == before
