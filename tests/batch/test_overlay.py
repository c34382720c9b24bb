import numpy as np
import pytest

from ctseg.classes import CLASSES
from ctseg_batch.overlay import overlay

LEGEND = 24


@pytest.fixture
def quartered():
    """Labels (64, 80): the four classes by quarter."""
    return np.kron([[0, 1], [2, 3]], np.ones((32, 40), int)).astype(np.uint8)


def test_background_is_shown_as_it_is(quartered):
    grey = np.random.default_rng(0).integers(0, 256, quartered.shape, dtype=np.uint8)
    shown = overlay(grey, quartered)
    assert shown.shape == (64 + LEGEND, 80, 3)
    assert shown.dtype == np.uint8
    background = quartered == 0
    np.testing.assert_array_equal(shown[:64][background], np.repeat(grey[background][:, None], 3, axis=1))


@pytest.mark.parametrize("tissue", CLASSES[1:], ids=lambda tissue: tissue.name)
def test_each_class_has_its_own_colour(quartered, tissue):
    """On black, what is left is the class's colour, darker inside, full at its outline: blue, green, red."""
    shown = overlay(np.zeros_like(quartered), quartered)[:64]
    rows, columns = np.nonzero(quartered == tissue.index)
    colour = np.array(tissue.colour[::-1])
    inside = shown[rows[0] + 16, columns[0] + 20]
    np.testing.assert_allclose(inside, 0.35 * colour, atol=1)
    assert (shown[quartered == tissue.index] == colour).all(axis=1).any()


def test_the_legend_names_the_classes_in_their_colours():
    strip = overlay(np.zeros((512, 512), np.uint8), np.zeros((512, 512), np.uint8))[512:]
    seen = {tuple(colour) for colour in strip.reshape(-1, 3).tolist()}
    assert {tissue.colour[::-1] for tissue in CLASSES[1:]} <= seen


@pytest.mark.parametrize("shape", [(1, 1), (3, 700), (40, 2)])
def test_slices_of_any_size_have_one(shape):
    assert overlay(np.full(shape, 9, np.uint8), np.ones(shape, np.uint8)).shape == (shape[0] + LEGEND, shape[1], 3)
