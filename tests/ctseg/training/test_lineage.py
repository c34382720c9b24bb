from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ctseg.datasets.dataset import Dataset
from ctseg.datasets.learnt_groups import group_digest, learnt_groups
from ctseg.datasets.mask_meaning import MaskMeaning
from ctseg.errors import DatasetError, ModelError
from ctseg.prepare import Preparation
from ctseg.scan import Slice
from ctseg.training import checkpoint
from ctseg.training.checkpoint import Checkpoint
from ctseg.training.lineage import check_learnt, inherited_datasets, open_alike
from ctseg.training.networks import build
from ctseg.training.recipe import LIGHT, Architecture, choose_recipe
from ctseg.training.samples import Sample, Samples

RECIPE = replace(LIGHT, architecture=Architecture("light", (8, 8), (0, 1)))


def samples(train, val=(), test=(), unlabelled=(), blank=()):
    """`blank` groups are held out, and have no labelled slice."""

    def of(groups):
        pixels = np.zeros((4, 4), np.uint8)
        return tuple(Sample(Slice(pixels, "grey8"), pixels, "d", group, Path("f")) for group in groups)

    splits = {"train": of(train), "val": of(val), "test": of(test)}
    held_out = frozenset([*val, *test, *blank])
    return Samples(Dataset("d", Path(), MaskMeaning({}), ()), MaskMeaning({}), splits, of(unlabelled), held_out)


@pytest.fixture
def trained(tmp_path):
    training = {"datasets": [{"name": "d", "groups": {}, "learnt_from": [group_digest("d", "a")]}], "seed": 0}
    checkpoint.save(Checkpoint(build(RECIPE.architecture), RECIPE, training, {}, {}), tmp_path / "best.pt")
    return tmp_path / "best.pt"


def test_a_start_is_known_by_the_groups_it_was_trained_on(trained):
    assert learnt_groups(open_alike(trained, RECIPE).training["datasets"]) == {group_digest("d", "a")}


def test_what_knows_a_group_held_back_is_refused():
    known = [{"name": "d", "learnt_from": [group_digest("d", "a"), group_digest("d", "c")]}]
    with pytest.raises(
        DatasetError, match=r"the teacher was trained on c of d, which is held out here \(1 such group\)"
    ):
        check_learnt("the teacher", known, [samples(["a"], ["c", "e"])])
    with pytest.raises(DatasetError, match="the teacher was trained on c of d"):
        check_learnt("the teacher", known, [samples(["a"], ["e"], test=["c"])])
    with pytest.raises(DatasetError, match="the teacher was trained on c of d"):
        check_learnt("the teacher", known, [samples(["a"], ["e"], blank=["c"])])
    check_learnt("the teacher", known, [samples(["a", "c"], ["e"])])
    check_learnt("the teacher", known, [samples(["a"], ["e"], unlabelled=["c"])])


def test_what_forebears_learnt_from_is_not_forgotten():
    own = {"name": "d", "learnt_from": [group_digest("d", "a"), group_digest("d", "b")]}
    the_same = {"name": "d", "learnt_from": [group_digest("d", "a")]}
    another = {"name": "e", "learnt_from": [group_digest("e", "a")], "licence": "non-commercial"}
    assert inherited_datasets([the_same, another, another], [own]) == [another]


def test_a_start_at_another_canvas_is_refused_by_its_canvas_where_that_is_the_size_in_use(tmp_path):
    recipe = choose_recipe("seed", {"canvas": 64})
    small = replace(recipe, architecture=Architecture("classic", (4, 8)))
    checkpoint.save(Checkpoint(build(small.architecture), small, {}, {}, {}), tmp_path / "best.pt")
    other = replace(choose_recipe("seed", {"canvas": 96}), architecture=small.architecture)
    with pytest.raises(ModelError, match=r"was trained at --canvas 64, .* give this run the same, not 96"):
        open_alike(tmp_path / "best.pt", other)
    assert open_alike(tmp_path / "best.pt", small).recipe == small


@pytest.mark.parametrize(
    ("other", "what"),
    [
        (replace(RECIPE, architecture=Architecture("light", (8, 16), (0, 1))), "network"),
        (replace(RECIPE, preparation=Preparation(long_side=64, multiple=32)), "preparation"),
        (replace(RECIPE, preset="other", architecture=Architecture("light", (8, 16), (0, 1))), ".*the same --preset"),
    ],
)
def test_a_start_that_the_recipe_does_not_train_is_refused(trained, other, what):
    with pytest.raises(ModelError, match=rf"best\.pt has a different {what}"):
        open_alike(trained, other)
