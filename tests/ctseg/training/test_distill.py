from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from ctseg.datasets.dataset import Dataset
from ctseg.datasets.learnt_groups import group_digest, learnt_groups
from ctseg.datasets.mask_meaning import MaskMeaning
from ctseg.errors import ModelError
from ctseg.prepare import Preparation
from ctseg.scan import Slice
from ctseg.training import checkpoint
from ctseg.training.augment import randomise
from ctseg.training.batches import load_epoch, plan_epoch
from ctseg.training.checkpoint import Checkpoint
from ctseg.training.distill import Teacher, open_teacher, with_soft_labels
from ctseg.training.networks import build
from ctseg.training.recipe import LIGHT, Architecture
from ctseg.training.samples import Sample, Samples

HOW = Preparation(long_side=32, multiple=32)
CPU = torch.device("cpu")


class Threshold(nn.Module):
    """Sure of consolidation where a pixel is bright, of background where it is dark, whichever way up."""

    def forward(self, grey):
        bright = (grey > 127).float()
        return 50 * torch.cat([1 - bright, 0 * bright, 0 * bright, bright], dim=1)


def sample(group="a"):
    """Bright at the upper left only; the mask says nothing."""
    pixels = np.zeros((48, 64), np.uint8)
    pixels[:24, :16] = 255
    return Sample(Slice(pixels, "grey8"), np.full(pixels.shape, 0b1111, np.uint8), "d", group, Path("f"))


def samples(train, val=()):
    splits = {"train": tuple(map(sample, train)), "val": tuple(map(sample, val)), "test": ()}
    return Samples(Dataset("d", Path(), MaskMeaning({}), ()), MaskMeaning({}), splits)


def teacher(*learnt):
    described = {"name": "d", "learnt_from": [group_digest("d", group) for group in learnt]}
    return Teacher((Threshold(),), HOW, (described,), (), CPU)


def test_an_opinion_lies_on_the_slice_as_it_is_although_the_teacher_sees_it_mirrored_too():
    soft_labels = teacher().soft_labels(sample())
    assert soft_labels.shape == (24, 32, 4)  # 48 x 64 at a long side of 32, without the padding
    assert (soft_labels[:12, :8] == [0, 0, 0, 255]).all()
    assert (soft_labels[13:, 9:] == [255, 0, 0, 0]).all()


def test_each_training_slice_gets_one_and_no_other():
    (data,) = with_soft_labels([samples(["a", "b"], ["c"])], teacher("a", "b"))
    assert all(s.soft_labels is not None for s in data.splits["train"])
    assert data.splits["val"][0].soft_labels is None


def test_slices_whose_labels_tell_nothing_are_learnt_from_once_there_is_an_opinion():
    data = replace(samples(["a"]), unlabelled=(sample("b"),))
    (told,) = with_soft_labels([data.for_a_teacher()], teacher("a"))
    assert [s.group for s in told.splits["train"]] == ["a", "b"]
    assert told.splits["train"][1].soft_labels is not None
    assert not told.unlabelled


def test_a_drawn_opinion_stays_on_what_it_is_of():
    told = replace(sample(), soft_labels=teacher().soft_labels(sample()))
    agreement = []
    for seed in range(30):
        grey, _, soft_labels = randomise(told, np.random.default_rng(seed), HOW, 48)
        assert soft_labels.shape == (48, 48, 4)
        bright = soft_labels[..., 3] > 250
        if bright.sum() > 50:
            agreement.append(grey[bright].mean() - grey[soft_labels[..., 0] > 250].mean())
    assert len(agreement) > 15
    assert min(agreement) > 0


def test_batches_hold_opinions_only_where_every_slice_has_one():
    recipe = replace(LIGHT, canvas=32, batch_size=2, preparation=HOW)
    (data,) = with_soft_labels([samples(["a", "b"])], teacher())
    (batch,) = load_epoch(plan_epoch([data.splits["train"]], recipe, 1), recipe)
    assert batch.soft_labels.shape == (2, 4, 32, 32)
    half = [data.splits["train"][0], sample("b")]
    (batch,) = load_epoch(plan_epoch([half], recipe, 1), recipe)
    assert batch.soft_labels is None


def test_teachers_come_from_checkpoints_and_must_look_alike(tmp_path):
    recipe = replace(LIGHT, architecture=Architecture("light", (8, 8), (0, 1)), preparation=HOW)
    training = {"datasets": [{"name": "d", "groups": {}, "learnt_from": [group_digest("d", "a")]}], "seed": 0}
    for name, how in (("one.pt", HOW), ("other.pt", replace(HOW, long_side=64))):
        net = build(recipe.architecture)
        checkpoint.save(Checkpoint(net, replace(recipe, preparation=how), training, {}, {}), tmp_path / name)
    found = open_teacher([tmp_path / "one.pt", tmp_path / "one.pt"], CPU)
    assert len(found.nets) == 2
    assert learnt_groups(found.datasets) == {group_digest("d", "a")}
    assert found.provenance[0]["preset"] == "light"
    with pytest.raises(ModelError, match=r"other\.pt"):
        open_teacher([tmp_path / "one.pt", tmp_path / "other.pt"], CPU)
