import numpy as np
import pytest
from scipy import ndimage

from ctseg.cleanup import Cleanup, clean_slice, clean_volume


def test_small_components_of_a_slice_go_and_others_stay_as_they_are():
    labels = np.zeros((100, 100), np.uint8)
    labels[10:50, 10:50] = 1
    labels[20:22, 20:22] = 3  # a lesion inside the lung is part of it
    labels[80:83, 80:83] = 2  # 9 pixels of 10,000
    cleaned = clean_slice(labels, Cleanup(slice_fraction=0.001))
    assert (cleaned[80:83, 80:83] == 0).all()
    assert (cleaned[:60] == labels[:60]).all()
    assert (clean_slice(labels, Cleanup(slice_fraction=0.0009)) == labels).all()


def test_a_small_piece_within_a_small_piece_goes_with_it():
    labels = np.zeros((200, 200), np.uint8)
    labels[50:70, 50:70] = 1
    labels[52:68, 52:68] = 0
    labels[56:64, 56:64] = 2
    assert not clean_slice(labels, Cleanup(slice_fraction=0.02)).any()


def test_pieces_go_by_the_pixels_that_scipy_counts():
    rng = np.random.default_rng(0)
    for blur in (0.5, 1, 2, 3):
        smooth = ndimage.gaussian_filter(rng.random((64, 80)), blur)
        labels = np.where(smooth > np.quantile(smooth, 0.6), rng.integers(1, 4, smooth.shape), 0).astype(np.uint8)
        pieces, count = ndimage.label(labels, np.ones((3, 3)))
        filled = [ndimage.binary_fill_holes(pieces == piece) for piece in range(1, count + 1)]
        smallest = sorted(shape.sum() for shape in filled)[count // 2]
        expected = labels.copy()
        for shape in filled:
            if shape.sum() < smallest:
                expected[shape] = 0
        np.testing.assert_array_equal(clean_slice(labels, Cleanup(slice_fraction=smallest / labels.size)), expected)


def test_a_volume_keeps_both_lungs_and_loses_what_lies_apart():
    labels = np.zeros((20, 64, 64), np.uint8)
    labels[2:18, 10:50, 6:26] = 1
    labels[4:16, 10:50, 38:58] = 2
    labels[0:2, 58:62, 30:34] = 1
    cleaned = clean_volume(labels.copy(), Cleanup(volume_fraction=0.05))
    assert (cleaned[2:] == labels[2:]).all()
    assert not cleaned[:2].any()


def test_a_thin_slice_of_lung_that_hangs_on_above_stays():
    labels = np.zeros((10, 64, 64), np.uint8)
    labels[1:9, 8:40, 8:40] = 1
    labels[0, 20, 20] = 1
    assert clean_volume(labels.copy(), Cleanup(volume_fraction=0.05))[0, 20, 20] == 1


def test_what_touches_a_lung_by_a_corner_in_the_slice_below_stays():
    labels = np.zeros((3, 64, 64), np.uint8)
    labels[:2, :32, :32] = 1
    labels[2, 32:36, 32:36] = 1
    assert (clean_volume(labels.copy(), Cleanup(volume_fraction=0.1)) == labels).all()


def test_empty_masks_pass():
    empty = np.zeros((3, 7, 9), np.uint8)
    assert not clean_volume(empty, Cleanup(volume_fraction=0.05)).any()
    assert not clean_slice(empty[0], Cleanup(slice_fraction=0.05)).any()


@pytest.mark.parametrize("fraction", [-0.1, 1.0, float("nan")])
def test_fractions_that_are_none_are_refused(fraction):
    with pytest.raises(ValueError, match="fraction"):
        Cleanup(slice_fraction=fraction)


@pytest.mark.parametrize("shape", [(3, 40, 52), (2, 33, 46), (1, 5, 3)])
def test_a_speck_anywhere_in_a_scan_of_any_size_is_found(shape):
    rng = np.random.default_rng(0)
    for _ in range(20):
        labels = np.zeros((4, *shape[1:]), np.uint8)
        labels[0] = 1
        place = (3, int(rng.integers(shape[1])), int(rng.integers(shape[2])))
        labels[place] = 3
        cleaned = clean_volume(labels.copy(), Cleanup(volume_fraction=0.6))
        assert cleaned[place] == 0
        assert (cleaned[0] == 1).all()


def test_a_piece_is_small_by_the_largest_one_not_by_all_lung():
    labels = np.zeros((10, 64, 64), np.uint8)
    labels[:, 8:48, 0:20] = 1
    labels[:, 8:48, 32:52] = 1
    labels[:3, 56:64, 56:64] = 1  # 192 voxels: 2.4 % of one lung, 1.2 % of both
    assert (clean_volume(labels.copy(), Cleanup(volume_fraction=0.02)) == labels).all()
    assert not clean_volume(labels.copy(), Cleanup(volume_fraction=0.03))[:, 56:].any()
