import numpy as np
import pytest
from onnx import ModelProto, numpy_helper

from ctseg.errors import ModelError
from ctseg.phantom import Phantom
from ctseg.prepare import Preparation
from ctseg.scan import Slice
from ctseg_export.graph import labels_graph
from ctseg_export.half import in_half
from ctseg_export.proof import LIMITS, Difference, Limits, made_up_batches, measure, slice_batches


@pytest.fixture
def batches(light):
    how = light.recipe.preparation
    return list(made_up_batches(how))


def altered(model, change):
    """The same graph, one convolution's weights changed."""
    copied = ModelProto()
    copied.CopyFrom(model)
    tensor = next(t for t in copied.graph.initializer if t.name == "head.weight")
    weights = change(numpy_helper.to_array(tensor)).astype(np.float32)
    tensor.CopyFrom(numpy_helper.from_array(weights, tensor.name))
    return copied


def test_the_right_graph_passes(light, batches):
    found = measure(labels_graph(light.logits), light.net, batches)
    assert 0 < found.logit < 1e-4
    assert found.label_share < 1e-4
    assert found.slices == sum(len(batch) for batch in batches) > 10
    found.check(LIMITS["fp32"])


def test_a_weight_that_is_slightly_off_is_seen_in_the_logits(light, batches):
    wrong = altered(labels_graph(light.logits), lambda weights: weights * 1.001)
    found = measure(wrong, light.net, batches)
    assert found.label_share < 1e-4
    with pytest.raises(ModelError, match=r"a logit differs by 0\.\d+.*nothing was written"):
        found.check(LIMITS["fp32"])


def test_classes_in_another_order_are_seen_in_the_labels(light, batches):
    wrong = labels_graph(light.logits)
    decision = next(node for node in wrong.graph.node if node.op_type == "Split")
    decision.output[0], decision.output[1] = decision.output[1], decision.output[0]
    found = measure(wrong, light.net, batches)
    assert found.logit < 1e-3
    assert found.label_share > 0.1
    with pytest.raises(ModelError, match="of the pixels"):
        found.check(LIMITS["fp32"])


def test_a_logit_that_is_no_number_fails(light, batches):
    wrong = altered(labels_graph(light.logits), lambda weights: weights * np.nan)
    found = measure(wrong, light.net, batches)
    assert np.isnan(found.logit)
    with pytest.raises(ModelError, match="nan"):
        found.check(Limits(1e9, 1.0))


def test_half_precision_has_limits_of_its_own(light, batches):
    found = measure(labels_graph(in_half(light.logits)), light.net, batches)
    found.check(LIMITS["fp16"])
    with pytest.raises(ModelError):
        found.check(LIMITS["fp32"])


def test_a_limit_may_be_reached_not_passed():
    Difference(1, 1e-3, 1e-4).check(Limits(1e-3, 1e-4))
    for worse in (Difference(1, 1.1e-3, 0), Difference(1, 0, 1.1e-4)):
        with pytest.raises(ModelError):
            worse.check(Limits(1e-3, 1e-4))


def test_a_rare_class_that_is_lost_is_named_though_few_pixels_differ(light):
    without = np.reshape([0, 0, 100, 0], (4, 1, 1, 1))  # of what a rectified layer gives
    wrong = altered(labels_graph(light.logits), lambda weights: weights - without)
    slices = [Slice(Phantom(seed=seed, slices=5, disease=0.1).slice(2)[0], "hu") for seed in range(3)]
    found = measure(wrong, light.net, slice_batches(light.recipe.preparation, slices))
    assert 0 < found.label_share < 0.03
    found.check(Limits(np.inf, 0.03))
    with pytest.raises(ModelError, match="finds ground glass elsewhere than the network"):
        found.check(Limits(np.inf, 0.03, 0.9))


def test_the_proof_meets_other_batches_sizes_and_the_slices_given():
    how = Preparation(long_side=96, multiple=8)
    given = Slice(np.full((50, 100), 77, np.uint8), "grey8")
    batches = [*made_up_batches(how), *slice_batches(how, [given])]
    assert all(b.dtype == np.float32 and b.min() >= 0 and b.max() <= 255 for b in batches)
    assert len({b.shape[0] for b in batches}) > 2
    assert len({b.shape[2:] for b in batches}) > 4
    prepared = next(b for b in batches if b.shape == (1, 1, 48, 96))
    assert (prepared == 77).all()
