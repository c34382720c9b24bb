import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctseg.metrics import confusion, scores

TRUTH = np.array([[0, 0, 1, 1], [2, 2, 2, 1]], np.uint8)
MASK = np.array([[0, 1, 1, 1], [2, 2, 1, 1]], np.uint8)


def test_confusion_counts_pixels_by_true_and_predicted_class():
    assert confusion(TRUTH, MASK, 4).tolist() == [[1, 1, 0, 0], [0, 3, 0, 0], [0, 1, 2, 0], [0, 0, 0, 0]]


def test_iou_and_dice_of_a_case_worked_by_hand():
    result = scores(confusion(TRUTH, MASK, 4))
    assert result.iou == (1 / 2, 3 / 5, 2 / 3, None)
    assert result.dice == (2 / 3, 6 / 8, 4 / 5, None)
    assert result.mean_iou == pytest.approx((1 / 2 + 3 / 5 + 2 / 3) / 3)


def test_a_class_only_predicted_scores_zero_not_none():
    assert scores(confusion(np.zeros((2, 2), np.uint8), np.ones((2, 2), np.uint8), 2)).iou == (0, 0)


def test_what_the_truth_has_none_of_drags_one_of_the_means_down():
    truth, mask = np.array([[0, 0, 1, 1]], np.uint8), np.array([[0, 0, 1, 2]], np.uint8)
    found = scores(confusion(truth, mask, 4))
    assert (found.iou, found.mean_iou, found.mean_iou_present) == ((1, 1 / 2, 0, None), 1 / 2, 3 / 4)
    assert found.mean_dice_present == pytest.approx((1 + 2 / 3) / 2)


def test_masks_of_different_shapes_are_refused():
    with pytest.raises(ValueError, match="one shape"):
        confusion(np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8), 4)


PAIRS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60)


@settings(deadline=None, derandomize=True)
@given(PAIRS)
def test_scores_are_those_of_sets_of_pixels(pairs):
    """Worked out from the definitions, class by class: no table, no NumPy."""
    truth, mask = np.array(pairs, np.uint8).T
    found = scores(confusion(truth, mask, 4))
    for index, (iou, dice) in enumerate(zip(found.iou, found.dice, strict=True)):
        true = {place for place, (t, _) in enumerate(pairs) if t == index}
        predicted = {place for place, (_, p) in enumerate(pairs) if p == index}
        if true | predicted:
            assert iou == len(true & predicted) / len(true | predicted)
            assert dice == 2 * len(true & predicted) / (len(true) + len(predicted))
        else:
            assert (iou, dice) == (None, None)
    present = [iou for iou in found.iou if iou is not None]
    assert found.mean_iou == pytest.approx(sum(present) / len(present))


@given(PAIRS)
def test_counts_add_up_over_slices(pairs):
    truth, mask = np.array(pairs, np.uint8).T
    whole = confusion(truth, mask, 4)
    half = len(pairs) // 2
    assert (whole == confusion(truth[:half], mask[:half], 4) + confusion(truth[half:], mask[half:], 4)).all()
    assert whole.sum() == len(pairs)
    for iou, dice in zip(scores(whole).iou, scores(whole).dice, strict=True):
        assert (iou is None) == (dice is None)
        if iou is not None and dice is not None:
            assert dice == pytest.approx(2 * iou / (1 + iou))
