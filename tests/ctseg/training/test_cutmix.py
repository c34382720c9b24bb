from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ctseg.scan import Slice
from ctseg.training.batches import load_epoch, plan_epoch
from ctseg.training.cutmix import cutmix, partners
from ctseg.training.recipe import LIGHT
from ctseg.training.samples import Drawn, Sample

SETS = ["a", "a", "a", "b", "b", "alone"]


def drawn(number, *, is_taught=True):
    """A slice whose grey values, labels and soft labels all are its number."""
    plane = np.full((40, 40), number, np.uint8)
    soft_labels = np.repeat(plane[..., None], 4, axis=2) if is_taught else None
    return Drawn(plane.astype(np.float32), plane, soft_labels)


def test_a_slice_is_mixed_with_any_other_of_its_set_and_never_with_itself():
    seen = [partners(SETS, 1.0, np.random.default_rng(seed)) for seed in range(50)]
    found = [set(of_one) for of_one in zip(*seen, strict=True)]
    assert found == [{1, 2}, {0, 2}, {0, 1}, {4}, {3}, {None}]


@pytest.mark.parametrize(("chance", "fewest", "most"), [(0.0, 0, 0), (0.5, 70, 130)])
def test_so_many_are_mixed(chance, fewest, most):
    found = [partners(["a"] * 4, chance, np.random.default_rng(seed)) for seed in range(50)]
    assert fewest <= sum(place is not None for chosen in found for place in chosen) <= most


@pytest.mark.parametrize("is_taught", [True, False])
def test_a_rectangle_of_the_other_slice_is_put_into_the_one_with_its_labels(is_taught):
    one, other = drawn(1, is_taught=is_taught), drawn(2, is_taught=is_taught)
    for seed in range(20):
        grey, allowed, soft_labels = cutmix(one, other, np.random.default_rng(seed))
        np.testing.assert_array_equal(grey, allowed)
        assert (soft_labels is not None) == is_taught
        if soft_labels is not None:
            assert (soft_labels == allowed[..., None]).all()
        assert set(np.unique(allowed)) == {1, 2}
        rows, columns = (np.flatnonzero((allowed == 2).any(axis=axis)) for axis in (1, 0))
        assert (allowed == 2).sum() == len(rows) * len(columns)
        assert all(0.25 * 40 <= len(side) <= 0.6 * 40 for side in (rows, columns))
    assert (one.grey == 1).all()


@pytest.mark.parametrize(("share", "labels"), [(0.0, 1), (1.0, 2)])
def test_a_recipe_that_says_so_mixes_the_slices_of_its_batches(share, labels):
    plane = np.zeros((64, 64), np.int16)
    samples = [
        Sample(Slice(plane, "hu"), np.full((64, 64), allowed, np.uint8), "a", "g", Path("f"))
        for allowed in (0b0010, 0b0100, 0b1000)
    ]
    recipe = replace(LIGHT, canvas=64, batch_size=3, cutmix=share)
    (batch,) = load_epoch(plan_epoch([samples], recipe, epoch=1), recipe)
    assert [len(np.unique(allowed)) for allowed in batch.allowed] == [labels] * 3
