import numpy as np
import pytest

from ctseg.measures import count_pixels, doubts, measure


def test_pixels_become_millilitres():
    # 1000 voxels of 2 x 0.5 x 0.5 mm are 500 mm3, half a millilitre.
    found = measure((7, 1000, 500, 500), (2.0, 0.5, 0.5))
    assert found.volumes_ml == {"normal_lung": 0.5, "ground_glass": 0.25, "consolidation": 0.25}
    assert found.lung_ml == 1.0
    assert found.involvement_percent == 50.0


def test_a_lung_that_is_diseased_throughout_is_so_to_100_per_cent():
    # 100 * 2.9000000000000004 / 2.9000000000000004 is 100.00000000000001.
    found = measure((0, 0, 29, 0), (1.0, 1.0, 1.0), (0.0, 0.0, 2.9000000000000004, 0.0))
    assert found.involvement_percent == 100.0


def test_without_spacing_there_are_no_volumes_but_involvement():
    found = measure((7, 3, 1, 0), None)
    assert found.volumes_ml is None
    assert found.lung_ml is None
    assert found.involvement_percent == 25.0


def test_without_lung_there_is_no_involvement():
    assert measure((9, 0, 0, 0), (1, 1, 1)).involvement_percent is None


def test_count_pixels_names_every_class():
    assert count_pixels(np.array([[1, 1, 3]], np.uint8)) == (0, 2, 0, 1)


@pytest.mark.parametrize(
    ("pixels", "first", "largest", "last", "expected"),
    [
        ((0, 4_000_000, 0, 0), 0, 50, 0, ()),
        ((0, 4_000_000, 0, 0), 10, 100, 20, ()),
        ((0, 500_000, 0, 0), 0, 10, 0, ("implausible lung volume",)),
        ((0, 10_000_000, 0, 0), 0, 50, 0, ()),
        ((0, 10_100_000, 0, 0), 0, 50, 0, ("implausible lung volume",)),
        ((0, 4_000_000, 0, 0), 25, 100, 25, ()),
        ((0, 4_000_000, 0, 0), 26, 100, 0, ("lungs cut off at the first slice",)),
        ((0, 4_000_000, 0, 0), 30, 50, 0, ("lungs cut off at the first slice",)),
        ((0, 4_000_000, 0, 0), 0, 50, 50, ("lungs cut off at the last slice",)),
        ((9, 0, 0, 0), 0, 0, 0, ("implausible lung volume",)),
    ],
)
def test_doubtful_volumes_are_flagged(pixels, first, largest, last, expected):
    assert doubts(measure(pixels, (1.0, 1.0, 1.0)), first, largest, last) == expected


@pytest.mark.parametrize(("ml", "flagged"), [(799, True), (801, False), (9_999, False), (10_001, True)])
def test_a_lung_volume_is_plausible_from_800_ml_to_10_litres(ml, flagged):
    found = doubts(measure((0, 1000 * ml, 0, 0), (1.0, 1.0, 1.0)), 0, 50, 0)
    assert (found == ("implausible lung volume",)) == flagged
