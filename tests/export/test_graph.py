from itertools import product

import numpy as np
import onnx.parser
import pytest
import torch
from onnx import TensorProto

from ctseg_export.graph import labels_graph

PASSED_THROUGH = """
<ir_version: 10, opset_import: ["": 18]>
given (float[N, 4, H, W] slice) => (float[N, 4, H, W] logits) { logits = Identity (slice) }
"""


@pytest.mark.parametrize(("count", "rows", "columns"), [(1, 1, 1), (1, 4, 4), (2, 3, 5), (5, 2, 1)])
def test_any_batch_and_size_gives_the_labels_of_the_network(example, open_session, noise, count, rows, columns):
    multiple = example.recipe.preparation.multiple
    batch = noise(count, rows * multiple, columns * multiple)
    labels, _ = open_session(labels_graph(example.logits)).run(None, {"slice": batch})
    with torch.inference_mode():
        expected = example.net(torch.from_numpy(batch)).argmax(1)
    assert labels.shape == (count, rows * multiple, columns * multiple)
    np.testing.assert_array_equal(labels, expected)


def test_the_networks_of_these_tests_tell_classes_apart(example, open_session, noise):
    labels, _ = open_session(labels_graph(example.logits)).run(None, {"slice": noise(2, 64, 96)})
    assert (np.bincount(labels.ravel(), minlength=4) > 50).sum() >= 3


def test_the_graph_keeps_the_contract(example, open_session):
    session = open_session(labels_graph(example.logits))
    (given,), (returned, logits) = session.get_inputs(), session.get_outputs()
    assert (given.name, given.type, given.shape) == ("slice", "tensor(float)", ["N", 1, "H", "W"])
    assert (returned.name, returned.type, returned.shape) == ("labels", "tensor(uint8)", ["N", "H", "W"])
    assert (logits.name, logits.shape) == ("logits", ["N", 4, "H", "W"])


def test_a_tie_goes_to_the_lower_class(open_session):
    """All 256 orders of four logits from four values, many of them tied."""
    logits = np.array(list(product((-1.0, 0.0, 0.5, 2.0), repeat=4)), np.float32)
    batch = logits.T.reshape(1, 4, 16, 16)
    labels, _ = open_session(labels_graph(onnx.parser.parse_model(PASSED_THROUGH))).run(None, {"slice": batch})
    lowest_of_the_best = [row.tolist().index(row.max()) for row in logits]
    assert labels.ravel().tolist() == lowest_of_the_best


def test_batch_normalisation_is_folded_and_no_size_is_computed(example):
    used = {node.op_type for node in labels_graph(example.logits).graph.node}
    assert used.isdisjoint({"BatchNormalization", "Shape", "Cast", "Constant", "Gather", "ArgMax"})
    assert "Conv" in used


def test_the_weights_are_in_the_file(example):
    model = labels_graph(example.logits)
    assert all(tensor.data_location == TensorProto.DEFAULT for tensor in model.graph.initializer)
    convolutions = sum(m.weight.numel() for m in example.net.modules() if isinstance(m, torch.nn.Conv2d))
    assert len(model.SerializeToString()) > 4 * convolutions


def test_the_file_tells_nothing_of_the_machine(example):
    written = labels_graph(example.logits).SerializeToString()
    assert b"site-packages" not in written
    assert b".py" not in written
