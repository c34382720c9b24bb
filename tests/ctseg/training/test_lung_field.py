import numpy as np
import pytest

from ctseg.phantom import Phantom
from ctseg.training.lung_field import lung_field


@pytest.fixture(scope="module")
def healthy():
    return Phantom(seed=4, slices=12, size=256, disease=0.0)


def test_it_finds_the_lungs_of_a_healthy_chest(healthy):
    for index in (4, 6, 8):
        hu, labels = healthy.slice(index)
        found, lung = lung_field(hu), labels > 0
        assert 2 * np.count_nonzero(found & lung) / (np.count_nonzero(found) + np.count_nonzero(lung)) > 0.96


def test_it_takes_neither_the_trachea_nor_the_air_around():
    hu = np.full((256, 256), -1000, np.int16)
    hu[40:220, 30:226] = 40  # the body
    hu[80:180, 50:110] = -860  # a lung
    hu[80:180, 146:206] = -860  # and the other
    hu[90:102, 122:134] = -1000  # the trachea
    hu[120:124, 70:74] = 30  # a vessel
    found = lung_field(hu)
    assert found[120:124, 70:74].all()
    assert not found[90:102, 122:134].any()
    assert not found[:40].any()
    assert abs(np.count_nonzero(found) - 2 * 100 * 60) < 150


@pytest.mark.parametrize("size", [256, 512])
def test_it_finds_the_same_in_a_mirror(size):
    """A closing by a disc of an even diameter shifts what it closes by a pixel."""
    hu, _ = Phantom(seed=4, slices=3, size=size, disease=0.0).slice(1)
    found = lung_field(hu)
    for axes in (0, 1, (0, 1)):
        np.testing.assert_array_equal(np.flip(lung_field(np.ascontiguousarray(np.flip(hu, axes))), axes), found)


def test_a_slice_without_a_body_has_no_lung():
    assert not lung_field(np.full((64, 64), -1000, np.int16)).any()
