import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctseg.prepare import Preparation, Restoration, prepare, restore
from ctseg.scan import Slice


def hu(values):
    return Slice(np.array(values, np.int16), "hu")


def test_window_maps_its_ends_to_black_and_white():
    grey, _ = prepare(hu([[-4000, -1000], [-500, 3000]]), Preparation((-1000.0, 0.0), long_side=2, multiple=1))
    assert grey.shape == (1, 1, 2, 2)
    assert grey.dtype == np.float32
    assert grey[0, 0].tolist() == [[0, 0], [127.5, 255]]


def test_grey_slices_keep_their_values():
    source = Slice(np.array([[0, 100], [200, 255]], np.uint8), "grey8")
    grey, _ = prepare(source, Preparation((-1000.0, 0.0), long_side=2, multiple=1))
    assert grey[0, 0].tolist() == [[0, 100], [200, 255]]


def test_long_side_is_resized_and_padded_with_black():
    source = Slice(np.full((100, 60), 200, np.uint8), "grey8")
    grey, undo = prepare(source, Preparation(long_side=64, multiple=32))
    assert grey.shape == (1, 1, 64, 64)
    assert undo.resized == (64, 38)
    assert (grey[..., :38] == 200).all()
    assert (grey[..., 38:] == 0).all()


def test_halving_averages_areas():
    source = Slice(np.array([[0, 100] * 2, [100, 200] * 2] * 2, np.uint8), "grey8")
    grey, _ = prepare(source, Preparation(long_side=2, multiple=1))
    assert (grey == 100).all()


@pytest.mark.parametrize(("shape", "way"), [((96, 96), cv2.INTER_LINEAR), ((192, 150), cv2.INTER_AREA)])
def test_only_what_shrinks_much_averages_areas(shape, way):
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    grey, undo = prepare(Slice(pixels, "grey8"), Preparation(long_side=72, multiple=1))
    np.testing.assert_array_equal(grey[0, 0], cv2.resize(pixels, undo.resized[::-1], interpolation=way))


@pytest.mark.parametrize(
    ("shape", "aspect", "seen"),
    [((40, 120), 3.0, (96, 96)), ((120, 40), 1 / 3, (96, 96)), ((30, 120), 2.0, (48, 96)), ((20, 192), 5.0, (50, 96))],
)
def test_slices_are_seen_as_they_lie_in_the_body(shape, aspect, seen):
    """A disc in mm is a disc for the network, and comes back as it was drawn."""
    y, x = ((np.arange(n) - (n - 1) / 2) * step for n, step in zip(shape, (aspect, 1), strict=True))
    inside = y[:, None] ** 2 + x**2 < (0.4 * min(shape[0] * aspect, shape[1])) ** 2
    source = Slice((inside * 255).astype(np.uint8), "grey8", aspect=aspect)
    grey, undo = prepare(source, Preparation(long_side=96, multiple=1))
    assert undo.resized == grey.shape[2:] == seen
    disc = grey[0, 0] > 127
    assert abs(int(disc.any(0).sum()) - int(disc.any(1).sum())) <= 4
    mask = restore(disc.astype(np.uint8), undo)
    assert mask.shape == shape
    assert np.count_nonzero(mask != inside) <= 0.03 * inside.sum()


@given(st.integers(8, 90), st.integers(8, 90), st.integers(16, 96))
def test_a_large_disc_survives_the_way_there_and_back(height, width, long_side):
    y, x = np.mgrid[:height, :width]
    inside = (y - height / 2) ** 2 + (x - width / 2) ** 2 < (0.4 * min(height, width)) ** 2
    grey, undo = prepare(Slice((inside * 255).astype(np.uint8), "grey8"), Preparation(long_side=long_side, multiple=16))
    mask = restore((grey[0, 0] > 127).astype(np.uint8) * 3, undo)
    assert mask.shape == (height, width)
    assert set(np.unique(mask)) <= {0, 3}
    pixel = max(height, width) / min(long_side, max(height, width))
    border = np.pi * 0.8 * min(height, width) * (pixel + 1)
    assert np.count_nonzero((mask == 3) != inside) <= border


def test_restore_gives_the_slice_its_own_size_and_keeps_every_label():
    _, undo = prepare(Slice(np.zeros((512, 512), np.uint8), "grey8"), Preparation(long_side=384))
    labels = np.repeat(np.arange(4, dtype=np.uint8), 96)[None].repeat(384, 0)
    mask = restore(labels, undo)
    assert mask.shape == (512, 512)
    assert np.bincount(mask.ravel()).tolist() == [512 * 128] * 4


def test_restoring_at_half_the_size_favours_no_class():
    labels = np.zeros((64, 64), np.uint8)
    labels[:, 31:] = 1  # the border falls in the middle of a pixel of the slice
    mask = restore(labels, Restoration((32, 32), (64, 64)))
    assert (mask[:, 15] == 0).all()
    assert (mask[:, 16:] == 1).all()


def test_a_smaller_slice_takes_the_class_that_covers_most_of_a_pixel():
    """At two thirds of the size a corner of the picture covers 4/9 of the slice's first pixel."""
    labels = np.ones((96, 96), np.uint8)
    labels[0, 0] = 2
    mask = restore(labels, Restoration((64, 64), (96, 96)))
    assert (mask == 1).all()


@pytest.mark.parametrize(("window", "side", "multiple"), [((0, 0), 64, 32), ((5, -5), 64, 32), ((0, 1), 16, 32)])
def test_impossible_preparations_are_refused(window, side, multiple):
    with pytest.raises(ValueError, match=r"empty|fit together"):
        Preparation(window, side, multiple)


def test_a_square_slice_fills_the_working_size_however_large_it_is():
    how = Preparation(long_side=384, multiple=1)
    for side in (47, 94, 147, 173, 307, 512, 1024):
        _, undo = prepare(Slice(np.zeros((side, side), np.uint8), "grey8"), how)
        assert undo.resized == (384, 384)
