"""Volumes, HU and mass by lung and third, on a stack that is worked out by hand."""

import numpy as np
import pytest

from ctseg.lungs import Border
from ctseg.regions import describe, grade, sum_by_lung, total

SPACING = (10.0, 10.0, 10.0)  # a voxel is a millilitre

# Three slices of two rows, feet first. The border is at column 2: right of the picture is the patient's left.
MASKS = [
    np.array([[1, 0, 3, 3], [1, 2, 0, 1]], np.uint8),
    np.array([[1, 1, 0, 1], [1, 0, 1, 1]], np.uint8),
    np.array([[2, 1, 0, 1], [0, 1, 1, 1]], np.uint8),
]
HU = [
    np.array([[-900, 40, 0, 100], [-800, -500, 40, -1200]], np.int16),
    np.full((2, 4), -850, np.int16),
    np.full((2, 4), -850, np.int16),
]
BORDER = Border(np.full((3, 2), 2, np.int32))


@pytest.fixture
def lungs():
    return sum_by_lung(MASKS, BORDER, [hu[mask > 0] for hu, mask in zip(HU, MASKS, strict=True)])


def test_each_lung_has_its_own_volumes_and_shares(lungs):
    right, left = (describe(total(lung), SPACING) for lung in lungs)
    assert right.volumes_ml == {"normal_lung": 7, "ground_glass": 2, "consolidation": 0}
    assert left.volumes_ml == {"normal_lung": 7, "ground_glass": 0, "consolidation": 2}
    assert (right.lung_ml, left.lung_ml) == (9, 9)
    assert right.percent == pytest.approx({"normal_lung": 700 / 9, "ground_glass": 200 / 9, "consolidation": 0})
    assert left.involvement_percent == pytest.approx(200 / 9)


def test_thirds_are_slices_from_above(lungs):
    upper, middle, lower = (describe(third, SPACING) for third in lungs[0])
    assert upper.volumes_ml == {"normal_lung": 2, "ground_glass": 1, "consolidation": 0}
    assert middle.volumes_ml == {"normal_lung": 3, "ground_glass": 0, "consolidation": 0}
    assert lower.involvement_percent == pytest.approx(100 / 3)


def test_hu_and_mass_are_those_of_the_voxels(lungs):
    lower_right, lower_left = (describe(lung[2], SPACING) for lung in lungs)
    assert lower_right.mean_hu == pytest.approx(
        {"normal_lung": -850, "ground_glass": -500, "consolidation": None, "lung": -2200 / 3}
    )
    # 0.1 and 0.2 g of normal lung, 0.5 g of ground glass
    assert lower_right.mass_g == pytest.approx(
        {"normal_lung": 0.3, "ground_glass": 0.5, "consolidation": 0, "lung": 0.8}
    )
    # Consolidation of 0 and 100 HU; what is lighter than air weighs nothing, and does not take from the others.
    assert lower_left.mass_g == pytest.approx({"normal_lung": 0, "ground_glass": 0, "consolidation": 2.1, "lung": 2.1})
    assert lower_left.mean_hu["normal_lung"] == -1200


def test_without_hu_there_are_volumes_alone():
    right, left = (describe(total(lung), SPACING) for lung in sum_by_lung(MASKS, BORDER, None))
    assert (right.lung_ml, left.lung_ml) == (9, 9)
    assert right.mean_hu is None
    assert right.mass_g is None


def test_where_there_is_no_lung_there_is_no_share():
    (right, _) = sum_by_lung([np.zeros((2, 4), np.uint8)] * 3, BORDER, None)
    found = describe(total(right), SPACING)
    assert found.involvement_percent is None
    assert set(found.percent.values()) == {None}
    assert found.lung_ml == 0


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        (0, 0),
        (0.1, 1),
        (4.99, 1),
        (5, 2),
        (25, 2),
        (25.1, 3),
        (49.9, 3),
        (50, 4),
        (75, 4),
        (75.1, 5),
        (100, 5),
        (None, None),
    ],
)
def test_severity_has_the_steps_of_the_literature(share, expected):
    assert grade(share) == expected
