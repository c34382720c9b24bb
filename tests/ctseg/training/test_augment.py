from pathlib import Path

import cv2
import numpy as np
import pytest

from ctseg.prepare import Preparation
from ctseg.scan import Slice
from ctseg.training.augment import quadruple, randomise
from ctseg.training.samples import Sample

HOW = Preparation((-1000.0, 0.0), long_side=64, multiple=32)


def sample(hu, allowed):
    return Sample(Slice(np.array(hu, np.int16), "hu"), np.array(allowed, np.uint8), "d", "g", Path("f"))


def corner():
    """A slice that is white, and consolidation, in its upper left quarter only."""
    hu, allowed = np.full((64, 64), -1000), np.full((64, 64), 0b0001)
    hu[:32, :32], allowed[:32, :32] = 0, 0b1000
    return sample(hu, allowed)


@pytest.mark.parametrize(
    ("variant", "rows", "columns"),
    [(0, slice(32), slice(32)), (1, slice(32), slice(32, 64)), (2, slice(32, 64), slice(32))],
)
def test_the_quadruple_mirrors_slice_and_labels_together(variant, rows, columns):
    grey, allowed, _ = quadruple(corner(), variant, HOW, 64)
    expected = np.zeros((64, 64), bool)
    expected[rows, columns] = True
    assert ((grey == 255) == expected).all()
    assert ((allowed == 0b1000) == expected).all()


def test_the_fourth_of_the_quadruple_is_turned_by_45_degrees():
    hu = np.full((65, 65), -1000)
    hu[32, 40:44] = 0  # to the right of the centre
    grey, allowed, _ = quadruple(sample(hu, np.full((65, 65), 1)), 3, HOW, 65)
    y, x = np.unravel_index(grey.argmax(), grey.shape)
    assert abs(y - 32) == abs(x - 32) == pytest.approx(9.5 / np.sqrt(2), abs=1)
    assert (allowed == 1).all()


def test_random_draws_repeat_with_their_seed_and_keep_to_their_range():
    for seed in range(40):
        grey, allowed, _ = randomise(corner(), np.random.default_rng(seed), HOW, 48)
        again, _, _ = randomise(corner(), np.random.default_rng(seed), HOW, 48)
        assert (grey == again).all()
        assert grey.dtype == np.float32
        assert grey.shape == allowed.shape == (48, 48)
        assert grey.min() >= 0
        assert grey.max() <= 255
        assert set(np.unique(allowed)) <= {0b0001, 0b1000}


def test_random_draws_keep_labels_on_what_they_label():
    agreement = []
    for seed in range(40):
        grey, allowed, _ = randomise(corner(), np.random.default_rng(seed), HOW, 48)
        if 50 < np.count_nonzero(allowed == 0b1000) < 2000:
            agreement.append(grey[allowed == 0b1000].mean() - grey[allowed == 0b0001].mean())
    assert len(agreement) > 20
    assert min(agreement) > 0


@pytest.mark.parametrize(("plain", "fewest", "most"), [(0.0, 0, 5), (0.5, 25, 55), (1.0, 80, 80)])
def test_a_share_of_the_random_draws_is_in_the_grey_values_of_use(plain, fewest, most):
    frame = sample(np.full((64, 64), -500), np.full((64, 64), 0b0010))
    seen = 0
    for seed in range(80):
        grey, allowed, _ = randomise(frame, np.random.default_rng(seed), HOW, 48, plain)
        inside = cv2.erode((allowed == 0b0010).astype(np.uint8), np.ones((5, 5)), borderValue=0) > 0
        seen += bool(np.abs(grey[inside] - 127.5).max(initial=0) < 0.01)
    assert fewest <= seen <= most


def test_a_rectangle_of_a_partner_shares_the_window_and_the_damage_of_the_slice():
    one, partner = (sample(np.full((64, 64), -400), np.full((64, 64), label)) for label in (0b0010, 0b1000))
    for seed in range(100):
        grey, allowed, _ = randomise(one, np.random.default_rng(seed), HOW, 64, 0.3, partner)
        assert set(np.unique(allowed)) <= {0b0001, 0b0010, 0b1000}
        inside, pasted = np.median(grey[allowed == 0b0010]), np.median(grey[allowed == 0b1000])
        assert inside == pytest.approx(pasted, abs=20)


@pytest.mark.parametrize("variant", [0, 3])
def test_a_slice_is_drawn_as_it_lies_in_the_body(variant):
    """A disc, in rows that are twice as far apart as columns."""
    rows, columns = np.mgrid[:32, :64]
    inside = (2 * rows - 31) ** 2 + (columns - 31.5) ** 2 < 20**2
    image = Slice(np.where(inside, 0, -1000).astype(np.int16), "hu", aspect=2.0)
    one = Sample(image, np.where(inside, 0b1000, 0b0001).astype(np.uint8), "d", "g", Path("f"))
    grey, allowed, _ = quadruple(one, variant, HOW, 64)
    for seen in (grey > 127, allowed == 0b1000):
        assert [np.count_nonzero(seen.any(axis=axis)) for axis in (0, 1)] == pytest.approx([40, 40], abs=2)


def test_a_teachers_probabilities_are_drawn_with_what_they_are_of():
    rows, columns = np.mgrid[:64, :64]
    inside = (rows - 20) ** 2 + (columns - 40) ** 2 < 15**2
    soft = np.zeros((32, 32, 4), np.uint8)
    soft[..., 0], soft[..., 3] = 255 * ~inside[::2, ::2], 255 * inside[::2, ::2]
    image = Slice(np.where(inside, 0, -1000).astype(np.int16), "hu")
    one = Sample(image, np.where(inside, 0b1000, 0b0001).astype(np.uint8), "d", "g", Path("f"), soft)
    for seed in range(20):
        _, allowed, told = randomise(one, np.random.default_rng(seed), HOW, 48)
        assert ((told[..., 3] > 127) != (allowed == 0b1000)).mean() < 0.03
        assert (told.sum(axis=2, dtype=int) > 250).all()
