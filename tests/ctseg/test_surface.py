"""Distances between surfaces, against geometry and against another library."""

import numpy as np
import pytest
import SimpleITK

from ctseg.errors import MissingExtraError
from ctseg.surface import surface_distances


def ball(radius, spacing, shape=(40, 60, 60)):
    places = np.indices(shape).T - (np.array(shape) - 1) / 2
    return (np.linalg.norm(places * spacing, axis=-1) <= radius).T


def test_of_two_balls_about_one_centre_all_distances_are_the_difference_of_the_radii():
    spacing = (1.5, 1.0, 1.0)
    found = surface_distances(ball(20, spacing), ball(14, spacing), spacing)
    assert found.assd_mm == pytest.approx(6, abs=0.3)
    assert found.hd95_mm == pytest.approx(6, abs=0.5)


@pytest.mark.parametrize(("axis", "spacing"), [(0, (2.0, 1.0, 1.0)), (1, (1.0, 0.5, 1.0)), (2, (3.0, 1.0, 0.75))])
def test_of_a_cube_that_is_moved_the_distances_are_those_of_geometry(axis, spacing):
    """Of the six faces, one lies `moved` away, one within the other cube, and a part of four reaches out of it."""
    side, moved = 24, 6
    cube = np.zeros((60, 80, 80), bool)
    cube[tuple(slice(10, 10 + round(side / step)) for step in spacing)] = True
    found = surface_distances(cube, np.roll(cube, round(moved / spacing[axis]), axis), spacing)
    within = (2 * side * moved**2 - 8 / 3 * moved**3 + moved * (side - 2 * moved) ** 2) / side**2
    reaching_out = moved / side * moved / 2
    assert found.hd95_mm == pytest.approx(moved, rel=1e-6)
    assert found.assd_mm == pytest.approx((moved + within + 4 * reaching_out) / 6, rel=0.03)


def test_simpleitk_finds_the_same_up_to_half_a_voxel():
    spacing, random = (2.0, 1.0, 1.0), np.random.default_rng(1)
    truth, mask = ball(15, spacing), np.roll(ball(13, spacing), (1, 3, -2), (0, 1, 2))
    mask[16:24, 20:24, 40:50] |= random.random((8, 4, 10)) < 0.5

    def surface(block):
        image = SimpleITK.GetImageFromArray(block.astype(np.uint8))
        image.SetSpacing(spacing[::-1])
        distances = SimpleITK.Abs(SimpleITK.SignedMaurerDistanceMap(image, squaredDistance=False, useImageSpacing=True))
        return SimpleITK.GetArrayFromImage(SimpleITK.LabelContour(image)) > 0, SimpleITK.GetArrayFromImage(distances)

    (on_truth, from_truth), (on_mask, from_mask) = surface(truth), surface(mask)
    there, back = from_mask[on_truth], from_truth[on_mask]
    found = surface_distances(truth, mask, spacing)
    assert found.hd95_mm == pytest.approx(max(np.percentile(there, 95), np.percentile(back, 95)), abs=1)
    assert found.assd_mm == pytest.approx(np.concatenate([there, back]).mean(), abs=0.5)


def test_the_same_block_is_no_distance_away_and_an_empty_one_none_at_all():
    block = ball(10, (1, 1, 1))
    same = surface_distances(block, block, (1.0, 1.0, 1.0))
    assert (same.hd95_mm, same.assd_mm) == pytest.approx((0, 0), abs=1e-9)
    assert surface_distances(block, np.zeros_like(block), (1.0, 1.0, 1.0)) is None
    assert surface_distances(np.zeros_like(block), block, (1.0, 1.0, 1.0)) is None


def test_a_missing_library_names_its_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "meshmetrics", None)
    with pytest.raises(MissingExtraError, match=r"extra surface: .*\.\[surface\]"):
        surface_distances(ball(5, (1, 1, 1)), ball(5, (1, 1, 1)), (1.0, 1.0, 1.0))
