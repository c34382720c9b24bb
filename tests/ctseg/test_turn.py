"""Slices turned upright, and to face the reader."""

import numpy as np
import pytest

from ctseg.turn import Turn


@pytest.mark.parametrize("side", ["left", "right", "top", "bottom"])
def test_a_slice_is_turned_so_that_the_patients_right_comes_first(side):
    shown = np.zeros((4, 6), np.uint8)
    {"left": shown[:, 0], "right": shown[:, -1], "top": shown[0], "bottom": shown[-1]}[side][...] = 1
    turn = Turn.facing(side)
    turned = turn.upright(shown)
    assert turned[:, 0].all()
    assert not turned[:, 1:].any()
    assert turn.patients_right == side
    assert np.array_equal(turn.stored(turned), shown)
    assert turn.spacing((5, 0.7, 0.9)) == ((5, 0.7, 0.9) if side in ("left", "right") else (5, 0.9, 0.7))
