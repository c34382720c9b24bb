"""Bias and limits of agreement, on the data that the method was published with."""

import pytest

from ctseg.agreement import agree

# Peak flow by two meters, in l/min: Bland and Altman, Lancet 1986;327:307, the first measurement by each.
WRIGHT = [494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427]
MINI = [512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451]


def test_bias_and_limits_are_those_of_the_paper():
    found = agree(WRIGHT, MINI)
    assert found.n == 17
    assert found.bias == pytest.approx(-2.1, abs=0.05)
    # The paper takes two standard deviations of 38.8, this 1.96 of them.
    assert found.lower_limit == pytest.approx(-2.1 - 1.96 * 38.8, abs=0.1)
    assert found.upper_limit == pytest.approx(-2.1 + 1.96 * 38.8, abs=0.1)


def test_one_scan_has_a_difference_but_no_limits_and_none_has_nothing():
    found = agree([5.0], [3.0])
    assert (found.n, found.bias, found.lower_limit, found.upper_limit) == (1, 2.0, None, None)
    assert agree([], []) is None
