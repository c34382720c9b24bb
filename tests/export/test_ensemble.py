"""The mean of several networks, and of one network's looks at a slice and its mirror images."""

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from ctseg.datasets.learnt_groups import group_digest
from ctseg.errors import CallError, ModelError
from ctseg.model import file_digest
from ctseg.runtime import open_on_cpu
from ctseg.training import checkpoint
from ctseg.training.evaluate import open_candidate
from ctseg.training.network_file import open_network
from ctseg_export.export import export_model

MIRRORS = ((), (2,), (3,), (2, 3))


@pytest.fixture(scope="module")
def pair(checkpoint_file, tmp_path_factory):
    """Two checkpoints of the same recipe, whose networks, temperatures and data differ."""
    folder = tmp_path_factory.mktemp("pair")
    first = replace(checkpoint.load(checkpoint_file), temperature=2.0)
    second = checkpoint.load(checkpoint_file)
    with torch.no_grad():
        second.net.head.weight.mul_(torch.tensor([1.5, -1.0, 0.5, 2.0])[:, None, None, None])
    other = {
        "name": "third", "slices": {"train": 1}, "groups": {"train": ["z"]}, "licence": "free", "citation": "",
        "learnt_from": [group_digest("third", "z")],
    }  # fmt: skip
    datasets = [*second.training["datasets"], other]
    second = replace(second, temperature=0.5, training={"datasets": datasets, "seed": 1})
    for name, one in (("a", first), ("b", second)):
        checkpoint.save(one, folder / f"{name}.pt")
    return folder / "a.pt", folder / "b.pt"


@pytest.fixture(scope="module")
def mean(pair):
    """The model file of both."""
    first, second = pair
    return export_model(first, first.with_name("mean.onnx"), others=[second]).file


def logits(file, batch, open_session):
    return open_session(file).run(["logits"], {"slice": batch})[0]


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_mean_is_that_of_the_logits_over_their_temperatures(pair, mean, noise, open_session, tmp_path, precision):
    first, second = pair
    file = mean
    if precision == "fp16":
        file = export_model(first, tmp_path / "m.onnx", others=[second], precision=precision).file
    batch = noise(2, 64, 96)
    with torch.inference_mode():
        a, b = (open_network(one).net(torch.from_numpy(batch)).numpy() for one in pair)
    tolerance = 1e-4 if precision == "fp32" else 0.1
    np.testing.assert_allclose(logits(file, batch, open_session), (a / 2.0 + b / 0.5) / 2, atol=tolerance)
    assert open_on_cpu(file)[1].temperature == 1.0


def test_mirrored_it_says_of_a_mirrored_slice_what_it_says_of_the_slice(pair, noise, open_session, tmp_path):
    file = export_model(pair[0], tmp_path / "m.onnx", is_mirrored=True).file
    batch = noise(3, 64, 96)
    whole = logits(file, batch, open_session)
    with torch.inference_mode():
        net = open_network(pair[0]).net
        looks = [net(torch.from_numpy(batch).flip(axes)).flip(axes).numpy() / 2.0 for axes in MIRRORS]
    np.testing.assert_allclose(whole, np.mean(looks, axis=0), atol=1e-4)
    for axes in MIRRORS[1:]:
        turned = logits(file, np.flip(batch, axes).copy(), open_session)
        np.testing.assert_allclose(np.flip(turned, axes), whole, atol=1e-5)


@pytest.mark.parametrize("is_mirrored", [True, False])
def test_a_member_whose_temperature_is_at_a_bound_leaves_the_mean_uncalibrated(
    pair, noise, open_session, tmp_path, is_mirrored
):
    checkpoint.save(replace(checkpoint.load(pair[0]), temperature=4.0), tmp_path / "bound.pt")
    others = () if is_mirrored else (pair[1],)
    file = export_model(tmp_path / "bound.pt", tmp_path / "m.onnx", others=others, is_mirrored=is_mirrored).file
    assert open_on_cpu(file)[1].temperature == 4.0
    batch = noise(1, 64, 96)
    with torch.inference_mode():
        a, b = (open_network(one).net(torch.from_numpy(batch)).numpy() for one in pair)
    if not is_mirrored:
        given = logits(file, batch, open_session) / 4.0
        np.testing.assert_allclose(given, (a / 4.0 + b / 0.5) / 2, atol=1e-4)


def test_it_knows_whom_any_of_its_networks_learnt_from(exported, pair, tmp_path):
    made = export_model(pair[0], tmp_path / "m.onnx", others=[pair[1]], is_mirrored=True)
    spec = open_on_cpu(made.file)[1]
    assert (spec.name, spec.scores) == ("ensemble", {})
    assert [one["name"] for one in spec.training["datasets"]] == ["first", "second", "third"]
    assert [one["sha256"] for one in spec.training["members"]] == [file_digest(one) for one in pair]
    assert spec.training["mirrored"] is True
    assert spec.licence == "first: non-commercial use only; third: free; for research, not for diagnosis"
    assert spec.export["gmac"] == pytest.approx(8 * exported.spec.export["gmac"], rel=0.03)  # both are rounded
    known = [open_candidate(str(one)).learnt for one in (made.file, *pair)]
    assert known[0] == known[1] | known[2]


def test_a_model_file_may_be_a_member_and_probabilities_need_all_to_be_calibrated(
    exported, pair, noise, open_session, tmp_path
):
    checkpoint.save(replace(checkpoint.load(pair[1]), temperature=None), tmp_path / "unsure.pt")
    file = export_model(exported.file, tmp_path / "m.onnx", others=[tmp_path / "unsure.pt"]).file
    labels = open_session(file).run(["labels"], {"slice": noise(1, 64, 64)})[0]
    assert labels.shape == (1, 64, 64)
    assert open_on_cpu(file)[1].temperature is None
    with pytest.raises(CallError, match=r"light\.onnx is not calibrated but others are"):
        export_model(pair[1], tmp_path / "n.onnx", others=[exported.file])


def test_no_network_counts_twice(pair, exported, checkpoint_file, tmp_path):
    for files in ([*pair, pair[0]], [exported.file, checkpoint_file]):
        with pytest.raises(CallError, match="named twice"):
            export_model(files[0], tmp_path / "m.onnx", others=files[1:])


def test_networks_that_see_slices_differently_are_no_members(checkpoint_file, pair, tmp_path):
    other = checkpoint.load(checkpoint_file)
    how = replace(other.recipe.preparation, window=(-1000.0, 0.0))
    checkpoint.save(replace(other, recipe=replace(other.recipe, preparation=how)), tmp_path / "c.pt")
    with pytest.raises(CallError, match=r"c\.pt uses another preparation of slices than .*a\.pt"):
        export_model(pair[0], tmp_path / "m.onnx", others=[tmp_path / "c.pt"])
    assert asdict(how) != asdict(checkpoint.load(pair[0]).recipe.preparation)


def test_several_are_not_made_in_int8_nor_trained_on(pair, mean, tmp_path):
    with pytest.raises(CallError, match="int8 is for a single network"):
        export_model(pair[0], tmp_path / "m.onnx", others=[pair[1]], precision="int8")
    for use in (open_network, lambda file: export_model(file, tmp_path / "again.onnx")):
        with pytest.raises(ModelError, match=r"mean\.onnx is the mean over .*, made only to be run: name a single"):
            use(mean)
