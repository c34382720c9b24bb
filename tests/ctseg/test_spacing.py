"""Spacings and the shape of pixels."""

from ctseg.spacing import pixel_aspect


def test_pixels_that_are_as_good_as_square_are_square_and_impossible_ones_too():
    assert pixel_aspect((1.0, 1.02, 1.0)) == 1.02
    assert pixel_aspect((1.0, 0.71, 0.7099)) == 1
    assert pixel_aspect((1.0, 0.7, 0.001)) == pixel_aspect((1.0, 0.001, 0.7)) == 1
