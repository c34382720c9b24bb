"""Right and left, also where the lungs touch, where one is missing, and whichever way the slices are turned."""

import numpy as np
import pytest

from ctseg.lungs import absent, separate_lungs, thirds
from ctseg.phantom import Phantom

SPACING = (5.0, 6.0, 6.0)
SLICES, SIDE = 6, 64
MIDDLE = 32


def chest(gap=8, rows=(12, 52), width=20):
    """Two boxes of lung, `gap` columns apart about the middle of the picture."""
    labels = np.zeros((SLICES, SIDE, SIDE), np.uint8)
    labels[:, rows[0] : rows[1], MIDDLE - gap // 2 - width : MIDDLE - gap // 2] = 1
    labels[:, rows[0] : rows[1], MIDDLE + gap // 2 : MIDDLE + gap // 2 + width] = 1
    return labels


def parted(labels, spacing=SPACING):
    """The voxels of the right lung and of the left one."""
    border = separate_lungs(list(labels), spacing)
    left = np.stack([border.is_left(index, labels.shape[2]) for index in range(len(labels))])
    return (labels > 0) & ~left, (labels > 0) & left


def halves(labels, at=MIDDLE):
    return (labels > 0) & (np.arange(labels.shape[2]) < at), (labels > 0) & (np.arange(labels.shape[2]) >= at)


def test_lungs_that_lie_apart_are_parted_to_the_voxel():
    labels = chest()
    for found, expected in zip(parted(labels), halves(labels), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_lungs_that_touch_are_cut_where_they_are_joined_by_least():
    labels = chest()
    labels[:, 12:22, 28:36] = 1  # ten rows thick ...
    labels[:, 13:22, 33] = 0  # ... but one at column 33
    right, left = parted(labels)
    assert right[:, 13:, 33:].sum() == 0
    assert left[:, 13:, :33].sum() == 0


@pytest.mark.parametrize("spacing", [SPACING, (5.0, 24.0, 6.0)])
def test_a_lung_that_reaches_across_the_midline_stays_whole(spacing):
    labels = chest()
    labels[:, 12:42, 36:] = 0  # the left one is at the back ...
    labels[:, 12:30, 28:39] = 1  # ... and the right one in front of it
    right, left = parted(labels, spacing)
    assert right[:, 12:30, 28:39].all()
    assert left[:, 42:52, 36:56].all()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_lungs_of_phantoms_which_touch_are_parted_at_their_midline(seed):
    phantom = Phantom(seed=seed, slices=24, size=128, disease=0.3)
    labels = phantom.volume()[1]
    wrong = sum(
        int((found != expected).sum())
        for found, expected in zip(parted(labels, phantom.spacing_mm), halves(labels, 64), strict=True)
    )
    assert wrong < 0.005 * np.count_nonzero(labels)


@pytest.mark.parametrize("shift", [-12, 12])
def test_a_patient_who_lies_beside_the_middle_of_the_picture_is_parted_too(shift):
    labels = np.roll(chest(width=14), shift, axis=2)
    for found, expected in zip(parted(labels), halves(labels, MIDDLE + shift), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("name", "kept"), [("left", slice(None, MIDDLE)), ("right", slice(MIDDLE, None))])
def test_a_single_lung_is_not_halved_and_the_other_is_absent(name, kept):
    labels = np.zeros_like(chest())
    labels[:, :, kept] = chest()[:, :, kept]
    sizes = [int(lung.sum()) for lung in parted(labels)]
    assert sorted(sizes) == [0, int(labels.sum())]
    assert absent(sizes) == (name,)


@pytest.mark.parametrize(("columns", "side"), [(slice(14, 46), 0), (slice(18, 50), 1)])
def test_a_single_lung_across_the_middle_is_on_the_side_where_most_of_it_is(columns, side):
    labels = np.zeros((SLICES, SIDE, SIDE), np.uint8)
    labels[:, 10:54, columns] = 1
    assert parted(labels)[side].sum() == labels.sum()


def test_a_single_lung_that_is_narrow_is_on_its_own_side():
    labels = np.zeros((SLICES, SIDE, SIDE), np.uint8)
    labels[:, 12:52, 40:50] = 1
    right, left = parted(labels)
    assert not right.any()
    assert left.sum() == labels.sum()


def test_what_is_left_of_a_collapsed_lung_is_not_given_to_the_other():
    labels = chest()
    labels[:, :, 38:] = 0
    right, left = parted(labels)
    assert left.sum() == labels[:, :, MIDDLE:].sum()
    assert absent([int(right.sum()), int(left.sum())]) == ()


def test_without_lung_there_is_nothing_to_part_and_none_is_missing():
    right, left = parted(np.zeros((2, 16, 16), np.uint8))
    assert not right.any()
    assert not left.any()
    assert absent([0, 0]) == ()


def test_thirds_have_the_same_volume_not_the_same_height():
    assert thirds(np.array([10, 10, 10, 10, 10, 10])).tolist() == [2, 2, 1, 1, 0, 0]
    assert thirds(np.array([30, 5, 5, 5, 5, 5, 5, 30])).tolist() == [2, 1, 1, 1, 1, 1, 1, 0]
    assert thirds(np.array([0.1, 0.2, 0.1])).tolist() == [2, 1, 0]
    assert thirds(np.zeros(2)).tolist() == [2, 2]


def test_stray_voxels_far_below_move_no_third():
    lung = [10, 10, 10, 10, 10, 10]
    assert thirds(np.array([1, 0, 0, 0, 0, 0, *lung])).tolist()[6:] == thirds(np.array(lung)).tolist()


@pytest.mark.parametrize("times", [2, 8])
def test_pixels_of_any_size_part_the_lungs_at_the_same_place(times):
    labels = chest()
    labels[:, 12:42, 36:] = 0
    labels[:, 12:30, 28:38] = 1
    fine = labels.repeat(times, 1).repeat(times, 2)
    right, left = parted(fine, (5.0, 6.0 / times, 6.0 / times))
    assert right[:, 12 * times : 30 * times, 28 * times : 38 * times].all()
    assert left[:, 42 * times : 52 * times, 36 * times : 56 * times].all()


def test_how_much_of_the_lungs_a_border_cuts_is_told_from_the_side():
    narrow = chest(gap=4, rows=(4, 60), width=5)
    narrow[:, 30:35, 30:34] = 1  # 5 of 56 rows are joined
    assert all(lung.any() for lung in parted(narrow))
    flat = np.zeros_like(narrow)
    flat[:, 28:34, 4:60] = 1  # six rows of a single lung
    assert sorted(int(lung.sum()) for lung in parted(flat)) == [0, int(flat.sum())]


def test_a_gap_in_one_slice_alone_does_not_draw_the_border_there():
    labels = chest()
    labels[3, 12:32, 28:36] = 1
    labels[3, :, 25] = 0
    right, _ = parted(labels)
    assert right[3, :, :28].sum() == np.count_nonzero(labels[3, :, :28])


@pytest.mark.parametrize(
    ("voxels", "gone"), [((96, 4), ()), ((97, 3), ()), ((1, 99), ("right",)), ((2, 98), ()), ((985, 15), ("left",))]
)
def test_a_lung_with_less_than_a_fiftieth_is_absent(voxels, gone):
    assert absent(voxels) == gone
