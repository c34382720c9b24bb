from pathlib import Path

import numpy as np

from ctseg.scan import Slice
from ctseg.training.report import telling_slices
from ctseg.training.samples import Sample

UNKNOWN, BACKGROUND, LUNG = 0b1111, 0b0001, 0b0010


def scan(*lung):
    """Slices with so many pixels of lung; None for a slice of which nothing is known."""
    for number, pixels in enumerate(lung):
        allowed = np.full((8, 8), UNKNOWN if pixels is None else BACKGROUND, np.uint8)
        allowed.flat[: pixels or 0] = LUNG
        yield Sample(Slice(np.zeros((8, 8), np.int16), "hu"), allowed, "d", "g", Path(f"{number}"))


def shown(*lung):
    return [int(one.file.name) for one in telling_slices(list(scan(*lung)))]


def test_slices_that_show_much_lung_are_shown_and_not_the_ends_of_the_lungs():
    assert shown(0, 3, 9, 20, 30, 40, 41, 40, 30, 20, 9, 3, None, None) == [3, 5, 7, 9]


def test_few_slices_or_such_without_lung_are_shown_all_the_same():
    assert shown(5) == [0]
    assert shown(None, 0, 0) == [0, 1, 2]
    assert shown() == []
