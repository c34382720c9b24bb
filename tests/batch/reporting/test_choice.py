from itertools import pairwise

import pytest

from ctseg_batch.reporting.choose import choose_scans, choose_slices
from ctseg_batch.slice_figures import SliceFigures


def scan(**figures):
    usual = {"status": "ok", "failed_slices": 0, "flags": [], "dice": None, "involvement_percent": 1.0}
    return {**usual, **figures}


def rows(*counts):
    """Slices of so many pixels of normal lung and of ground glass; None for one that failed."""
    return [
        SliceFigures(f"{index}.png", f"{index}.png", None if one is None else (100, one[0], one[1], 0))
        for index, one in enumerate(counts)
    ]


def test_few_scans_are_all_shown_those_that_failed_too():
    assert choose_scans([scan(), scan(status="failed")], most=2) == {0: "", 1: ""}


def test_of_many_those_that_matter_take_turns():
    scans = [scan() for _ in range(100)]
    scans[10] = scan(status="partial", failed_slices=3)
    scans[20] = scan(flags=["gap", "oblique"])
    scans[30] = scan(dice={"mean": 0.2})
    scans[31] = scan(dice={"mean": 0.9})
    scans[40] = scan(involvement_percent=80.0)
    scans[50] = scan(involvement_percent=70.0)
    scans[60] = scan(status="failed", failed_slices=9, flags=["gap", "oblique", "gantry tilt"])
    assert choose_scans(scans, most=5) == {
        10: "failed in part", 20: "flagged", 30: "low Dice", 40: "high involvement", 31: "low Dice",
    }  # fmt: skip


def test_a_scan_is_chosen_once_and_the_places_it_leaves_are_filled():
    scans = [scan(involvement_percent=float(number)) for number in range(20)]
    scans[19] = scan(status="partial", flags=["gap"], involvement_percent=99.0)
    assert list(choose_scans(scans, most=3)) == [17, 18, 19]


def test_no_pictures_means_none():
    assert choose_scans([scan()], most=0) == {}


def test_the_most_diseased_slices_are_shown_apart_from_each_other():
    disease = [0] * 100
    disease[40:44] = [90, 99, 98, 97]
    disease[70] = 50
    chosen = choose_slices(rows(*((1000, pixels) for pixels in disease)))
    assert chosen[41] == "largest diseased area"
    assert chosen[70] == "next largest diseased area"
    assert [place for place in chosen if 38 < place < 45 and place != 41] == []
    assert len(chosen) == 8


def test_without_disease_slices_lie_evenly_along_the_lung():
    lung = [(0, 0)] * 20 + [(500, 0)] * 80 + [(0, 0)] * 20
    chosen = list(choose_slices(rows(*lung)))
    assert len(chosen) == 8
    gaps = {after - before for before, after in pairwise(chosen)}
    assert gaps <= {9, 10, 11}
    assert 20 <= chosen[0] <= 26
    assert 93 <= chosen[-1] < 100


@pytest.mark.parametrize("counts", [[(5, 1)], [(0, 0), (0, 0)], [None, (5, 5), None]])
def test_what_there_is_of_few_slices_is_shown(counts):
    shown = choose_slices(rows(*counts))
    assert list(shown) == [place for place, one in enumerate(counts) if one]


def test_a_scan_whose_slices_all_failed_shows_none():
    assert choose_slices(rows(None, None)) == {}
