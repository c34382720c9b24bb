import numpy as np
import pytest

from ctseg.field_of_view import is_cut_off, is_round, rim_of

SIDE = 128


def disc(radius, column=SIDE / 2):
    rows, columns = np.ogrid[:SIDE, :SIDE]
    return ((rows - SIDE / 2) ** 2 + (columns - column) ** 2 < radius**2).astype(np.uint8)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (disc(40), False),
        (disc(40, column=20), True),  # reaches beyond the left edge
        (disc(40).T[:, ::-1], False),
        (np.ones((SIDE, SIDE), np.uint8), True),
        (np.zeros((SIDE, SIDE), np.uint8), False),
    ],
    ids=["whole", "cut", "whole, turned", "all lung", "no lung"],
)
def test_a_lung_at_the_edge_of_the_picture_is_cut_off(labels, expected):
    assert is_cut_off([rim_of(labels, is_round=False)]) is expected


def test_each_edge_counts_and_corners_once():
    labels = np.zeros((5, 4), np.uint8)
    labels[0], labels[:, -1] = 1, 3
    assert rim_of(labels, is_round=False).lung == 4 + 4


def test_a_pixel_at_the_edge_of_many_slices_is_no_cut():
    speck = np.zeros((SIDE, SIDE), np.uint8)
    speck[0, 0] = 1
    assert not is_cut_off([rim_of(speck, is_round=False), *(rim_of(disc(40), is_round=False) for _ in range(2))])


def test_a_lung_at_the_rim_of_a_round_field_is_cut_off_only_there():
    lung = disc(60, column=72) & disc(62.5)
    lung[:, 0], lung[:, -1] = 0, 0
    assert is_cut_off([rim_of(lung, is_round=True)])
    assert not is_cut_off([rim_of(lung, is_round=False)])
    assert not is_cut_off([rim_of(disc(40), is_round=True)])


def test_a_picture_is_round_if_its_corners_hold_one_value():
    field = np.random.default_rng(0).integers(-1000, 100, (SIDE, SIDE)).astype(np.int16)
    assert not is_round(field)
    field[disc(SIDE / 2) == 0] = -2000
    assert is_round(field)
    field[17, 17] = -1000
    assert not is_round(field)
    assert not is_round(np.zeros((SIDE, 96), np.int16))  # a scanner's picture is square ...
    assert not is_round(np.zeros((64, 64), np.int16))  # ... and larger


@pytest.mark.parametrize(("pixels", "expected"), [(2, False), (8, True)])
def test_a_share_of_the_outline_on_the_rim(pixels, expected):
    """The outline of two lungs of these sizes has about 710 pixels: half a per cent are 3.5."""
    labels = disc(40)
    labels[60 : 60 + pixels, 0] = 1
    slices = [rim_of(labels, is_round=False), rim_of(disc(40), is_round=False)]
    assert sum(rim.outline for rim in slices) == pytest.approx(711, abs=3)
    assert is_cut_off(slices) is expected
