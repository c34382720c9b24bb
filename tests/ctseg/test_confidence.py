import numpy as np
import pytest

from ctseg.confidence import restore_confidence, winning_probability
from ctseg.prepare import Restoration


def test_it_is_the_softmax_of_the_class_that_wins():
    logits = np.log(np.array([0.1, 0.2, 0.6, 0.1], np.float32)).reshape(4, 1, 1)
    assert winning_probability(logits, 1.0).item() == pytest.approx(0.6)
    # Of logits halved, square roots: sqrt(0.6) / (sqrt(0.6) + sqrt(0.2) + 2 sqrt(0.1)).
    assert winning_probability(logits, 2.0).item() == pytest.approx(0.41774, abs=1e-5)


def test_four_classes_alike_leave_a_quarter_and_large_logits_do_not_overflow():
    assert winning_probability(np.zeros((4, 2, 3), np.float16), 1.5).tolist() == [[0.25] * 3] * 2
    huge = np.array([6e4, 0, 0, 0], np.float16).reshape(4, 1, 1)
    assert winning_probability(huge, 0.5).item() == 1


def test_it_comes_back_to_the_slices_size_without_the_padding():
    working = np.full((32, 32), 0.25, np.float32)
    working[:20, :30] = 0.6
    restored = restore_confidence(working, Restoration((40, 60), (20, 30)))
    assert restored.shape == (40, 60)
    assert (restored == 153).all()  # 0.6 of 255: no black of the padding comes in


def test_a_pixel_of_a_smaller_slice_has_the_mean_of_all_that_it_covers():
    working = np.full((96, 96), 0.9, np.float32)
    working[0, 0] = 0
    restored = restore_confidence(working, Restoration((32, 32), (96, 96)))
    assert restored[0, 0] == 204  # 0.8 of 255
    assert (restored.ravel()[1:] == np.rint(np.float32(0.9) * np.float32(255))).all()
