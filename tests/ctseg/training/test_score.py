"""Figures of a network's masks of samples."""

from pathlib import Path

import numpy as np
import pytest

from ctseg.cleanup import Cleanup
from ctseg.prepare import Preparation
from ctseg.scan import Slice
from ctseg.training.samples import Sample
from ctseg.training.score import label, told_iou


def test_classes_that_the_truth_has_none_of_do_not_count():
    assert told_iou(np.array([[3, 0, 1], [0, 4, 0], [0, 0, 0]])) == pytest.approx((3 / 4 + 1) / 2)


def test_a_mask_is_cleaned_as_in_use():
    predicted = np.zeros((64, 64), np.uint8)
    predicted[10:40, 10:40], predicted[60, 60] = 1, 2
    one = Sample(Slice(np.zeros((64, 64), np.uint8), "grey8"), np.ones((64, 64), np.uint8), "d", "g", Path("f"))
    mask = label(lambda grey: predicted, one, Preparation(long_side=64, multiple=32), Cleanup(slice_fraction=0.01))
    assert (mask[60, 60], np.count_nonzero(mask)) == (0, 900)
