import numpy as np
import pytest

from ctseg.training.augment import Drawn
from ctseg.training.cutmix import cutmix

SETS = ["a", "a", "a", "b", "b", "alone"]


def drawn(number, *, is_taught=True):
    """A slice whose grey values, labels and soft labels all are its number."""
    plane = np.full((40, 40), number, np.uint8)
    soft_labels = np.repeat(plane[..., None], 4, axis=2) if is_taught else None
    return Drawn(plane.astype(np.float32), plane, soft_labels)


@pytest.mark.parametrize("is_taught", [True, False])
def test_a_rectangle_of_another_slice_of_the_set_is_put_into_each_with_its_labels(is_taught):
    batch = [drawn(number, is_taught=is_taught) for number in range(len(SETS))]
    for seed in range(20):
        mixed = cutmix(batch, SETS, 1.0, np.random.default_rng(seed))
        for number, (name, (grey, allowed, soft_labels)) in enumerate(zip(SETS, mixed, strict=True)):
            np.testing.assert_array_equal(grey, allowed)
            assert (soft_labels is not None) == is_taught
            if soft_labels is not None:
                assert (soft_labels == allowed[..., None]).all()
            (*others,) = set(np.unique(allowed)) - {number}
            if name == "alone":
                assert not others
                continue
            (other,) = others
            assert SETS[other] == name
            rows, columns = (np.flatnonzero((allowed == other).any(axis=axis)) for axis in (1, 0))
            assert (allowed == other).sum() == len(rows) * len(columns)
            assert all(0.25 * 40 <= len(side) <= 0.6 * 40 for side in (rows, columns))
    assert all((one.grey == number).all() for number, one in enumerate(batch))


@pytest.mark.parametrize(("chance", "fewest", "most"), [(0.0, 0, 0), (0.5, 70, 130)])
def test_so_many_are_mixed(chance, fewest, most):
    batch = [drawn(number) for number in range(4)]
    found = [cutmix(batch, ["a"] * 4, chance, np.random.default_rng(seed)) for seed in range(50)]
    assert fewest <= sum(len(np.unique(one.grey)) > 1 for mixed in found for one in mixed) <= most
