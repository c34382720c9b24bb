"""What hangs together is one lesion, what is too small is none."""

import numpy as np
import pytest

from ctseg.lesions import find_lesions
from ctseg.lungs import Border

SPACING = (10.0, 10.0, 10.0)  # a voxel is a millilitre


def found(labels, spacing=SPACING, left_from=5, weights=None):
    border = Border(np.full(labels.shape[:2], left_from, np.int32))
    return find_lesions(list(labels), border, spacing, weights)


def lung(slices=4, rows=10, columns=10):
    return np.ones((slices, rows, columns), np.uint8)


def test_lesions_are_counted_by_lung_and_measured():
    labels = lung()
    labels[0:2, 2, 2] = 2  # two voxels on the right
    labels[1, 7, 7:10] = 3  # three on the left
    labels[3, 0, 3:6] = 2  # two on the right, one on the left
    lesions = found(labels)
    assert (lesions.count, lesions.right, lesions.left, lesions.smaller) == (3, 2, 1, 0)
    assert (lesions.volume_ml, lesions.median_ml, lesions.largest_ml) == (8, 3, 3)


def test_a_lesion_is_where_most_of_it_is_by_the_weights_of_its_slices():
    labels = lung(slices=2)
    labels[0, 2, 4:10] = 2  # one voxel on the right, five on the left
    labels[1, 2, 1:4] = 2  # three on the right
    lesions = found(labels, weights=[0.2, 1.8])
    assert (lesions.right, lesions.left) == (1, 0)
    assert lesions.volume_ml == pytest.approx(6 * 0.2 + 3 * 1.8)


def test_ground_glass_and_consolidation_that_touch_are_one_lesion():
    labels = lung()
    labels[1, 4, 4], labels[1, 4, 5] = 2, 3
    assert found(labels).count == 1


def test_corners_that_touch_hang_together_and_a_gap_parts():
    labels = lung()
    labels[1, 4, 4] = labels[2, 5, 5] = 2
    assert found(labels).count == 1
    labels[2, 5, 5], labels[3, 6, 6] = 1, 2
    assert found(labels).count == 2


def test_what_is_smaller_than_a_tenth_of_a_millilitre_does_not_count():
    labels = lung()
    labels[0, 0, 0:3] = 2
    labels[3, 9, 6:8] = 2
    lesions = found(labels, (2.0, 5.0, 4.0))  # 0.04 mL a voxel
    assert (lesions.count, lesions.smaller) == (1, 1)
    assert lesions.volume_ml == pytest.approx(0.12)


def test_healthy_lungs_have_none():
    lesions = found(lung())
    assert (lesions.count, lesions.volume_ml, lesions.median_ml, lesions.largest_ml) == (0, 0.0, None, None)


def test_a_lesion_is_told_by_the_border_of_its_own_slices():
    labels = lung()
    labels[2, 4, 4:6] = 2
    border = Border(np.repeat(np.int32([8, 8, 2, 2]), 10).reshape(4, 10))
    lesions = find_lesions(list(labels), border, SPACING, None)
    assert (lesions.right, lesions.left) == (0, 1)
