import numpy as np
import pytest

from ctseg.classes import CLASSES, NORMAL_LUNG
from ctseg_batch.outputs.overlay import overlay


@pytest.fixture
def quartered():
    """Labels (64, 80): the four classes by quarter."""
    return np.kron([[0, 1], [2, 3]], np.ones((32, 40), int)).astype(np.uint8)


def test_background_is_shown_as_it_is(quartered):
    grey = np.random.default_rng(0).integers(0, 256, quartered.shape, dtype=np.uint8)
    shown = overlay(grey, quartered)
    assert shown.shape[1:] == (80, 3)
    assert shown.dtype == np.uint8
    background = quartered == 0
    np.testing.assert_array_equal(shown[:64][background], np.repeat(grey[background][:, None], 3, axis=1))


@pytest.mark.parametrize("tissue", CLASSES[1:], ids=lambda tissue: tissue.name)
def test_each_class_has_its_own_colour(quartered, tissue):
    """On black, what is left is the class's colour, full at its outline: blue, green, red."""
    shown = overlay(np.zeros_like(quartered), quartered)[:64]
    rows, columns = np.nonzero(quartered == tissue.index)
    colour = np.array(tissue.colour[::-1])
    inside = shown[rows[0] + 16, columns[0] + 20]
    # Disease is tinted; of normal lung little but the outline is coloured.
    np.testing.assert_allclose(inside, (0.06 if tissue is NORMAL_LUNG else 0.33) * colour, atol=1)
    assert (shown[quartered == tissue.index] == colour).all(axis=1).any()


def test_the_legend_names_the_classes_in_their_colours():
    strip = legend(512)
    assert len(strip) == 24
    seen = {tuple(colour) for colour in strip.reshape(-1, 3).tolist()}
    assert {tissue.colour[::-1] for tissue in CLASSES[1:]} <= seen


def legend(width):
    return overlay(np.zeros((9, width), np.uint8), np.zeros((9, width), np.uint8))[9:]


def height(strip):
    """The rows that hold any writing."""
    return np.count_nonzero(strip.any(axis=(1, 2)))


def test_the_legend_grows_with_the_slice():
    for times in (2, 4):
        assert height(legend(512 * times)) == pytest.approx(times * height(legend(512)), rel=0.1)


def test_a_narrow_slice_has_the_names_below_each_other_as_large_as_ever():
    lines = np.split(legend(100), 3)
    for line, tissue in zip(lines, CLASSES[1:], strict=True):
        assert height(line) >= 0.75 * height(legend(512))  # one has letters below the line, another has none
        written = line[line.any(axis=2)].mean(axis=0)
        colour = np.array(tissue.colour[::-1])
        np.testing.assert_allclose(written / written.max(), colour / colour.max(), atol=0.05)


@pytest.mark.parametrize("shape", [(1, 1), (3, 700), (40, 2)])
def test_slices_of_any_size_have_one(shape):
    shown = overlay(np.full(shape, 9, np.uint8), np.ones(shape, np.uint8))
    assert shown.shape[1:] == (shape[1], 3)
    assert len(shown) > shape[0]
