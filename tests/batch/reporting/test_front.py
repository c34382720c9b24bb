"""The views from the front: the right lung on the left, whichever way the patient lay."""

import shutil
from base64 import b64decode

import cv2
import numpy as np
import pydicom
import pytest

from ctseg_batch.shards import Shard

CONSOLIDATION = (70, 57, 230)  # blue, green, red

LAY = {
    "face down": ([-1, 0, 0, 0, -1, 0], lambda shown: shown[:, ::-1, ::-1]),
    "feet first": ([-1, 0, 0, 0, 1, 0], lambda shown: shown[:, :, ::-1]),
    "on a side": ([0, 1, 0, -1, 0, 0], lambda shown: np.rot90(shown, axes=(1, 2))),
    "on the other side": ([0, -1, 0, 1, 0, 0], lambda shown: np.rot90(shown, -1, axes=(1, 2))),
}


@pytest.fixture
def run_over(batch, save_series, lungs, tmp_path):
    """Run over the lungs as they are stored of a patient who lay so, pixels 1 mm high and 2 mm wide to the patient."""

    def run(name, orientation=(1, 0, 0, 0, 1, 0), turn=lambda shown: shown):
        spacing = [1, 2] if orientation[0] else [2, 1]
        stored = np.ascontiguousarray(turn(lungs))
        save_series(tmp_path / name, stored, ImageOrientationPatient=list(orientation), PixelSpacing=spacing)
        return batch(tmp_path / name, out=tmp_path / f"out {name}", measures="full").out

    return run


def from_the_front(part):
    """Both pictures: what they show, their sizes, and the captions."""
    figures = part.all("figure", class_="plane")
    shown = [(one["src"], one["width"], one["height"]) for figure in figures for one in figure.all("img")]
    return shown, [figure.one("figcaption").text for figure in figures]


def layer(figure):
    """The classes of a picture, (H, W, 4)."""
    return cv2.imdecode(np.frombuffer(b64decode(figure.all("img")[-1]["src"].split(",", 1)[1]), np.uint8), -1)


def test_the_right_lung_is_on_the_left_as_in_the_table(page, run_over):
    part = page(run_over("supine")).one("article")
    plane = layer(part.all("figure", class_="plane")[0])
    rows, columns = np.nonzero((plane[..., :3] == CONSOLIDATION).all(axis=2) & (plane[..., 3] > 0))
    assert columns.min() > plane.shape[1] / 2
    assert rows.min() > plane.shape[0] / 2
    assert all(caption.endswith("; right lung on the left") for caption in from_the_front(part)[1])
    assert not part.all("p", class_="note")[1:]  # one tells of lesions


@pytest.mark.parametrize("is_moved", [False, True], ids=["in place", "moved"])
@pytest.mark.parametrize("lay", LAY)
def test_it_is_there_whichever_way_the_patient_lay(page, run_over, tmp_path, lay, is_moved):
    supine, other = run_over("supine"), run_over("other", *LAY[lay])
    if is_moved:
        shutil.rmtree(tmp_path / "supine")
        shutil.rmtree(tmp_path / "other")
    assert from_the_front(page(other).one("article")) == from_the_front(page(supine).one("article"))


@pytest.mark.parametrize(
    ("lay", "said"), [*zip(LAY, ("on the right", "on the right", "at the bottom", "at the top"), strict=True)]
)
def test_slices_are_shown_as_they_are_stored_and_it_is_said(page, run_over, lay, said):
    supine, other = (page(out).one("article") for out in (run_over("supine"), run_over("other", *LAY[lay])))
    assert f"shown as they are stored, with the patient's right {said}." in other.text
    upright, stored = (layer(part.one("ul", class_="montage").all("figure")[-1]) for part in (supine, other))
    if "side" in lay:
        stored = stored.transpose(1, 0, 2)
    assert stored.shape[1] / stored.shape[0] == pytest.approx(upright.shape[1] / upright.shape[0], rel=0.02)
    # All of the lung is in it, and no more about it.
    assert np.mean(stored[..., 3] > 0) == pytest.approx(np.mean(upright[..., 3] > 0), rel=0.05)


def test_where_nobody_says_which_lung_is_which_the_captions_say_so(batch, page, save_slice, lungs, tmp_path):
    for index, labels in enumerate(lungs):
        save_slice(tmp_path / f"in/{index}.png", labels)
    part = page(batch(tmp_path / "in", spacing=(10, 5, 5)).out).one("article")
    shown, captions = from_the_front(part)
    assert len(shown) == 3
    assert all(caption.endswith("; which lung is the right one is not known") for caption in captions)


@pytest.mark.parametrize("bad", [1, 3])
def test_files_of_a_series_that_cant_be_read_are_no_slices_above_the_head(
    batch, page, save_series, lungs, tmp_path, bad
):
    files = save_series(tmp_path / "in", lungs)
    whole = page(batch(tmp_path / "in").out)
    for number in range(bad):
        (tmp_path / f"in/bad{number}.dcm").write_bytes(files[0].read_bytes()[:300])
    top = page(batch(tmp_path / "in").out)
    part = top.one("article")
    assert from_the_front(part) == from_the_front(whole.one("article"))
    assert top.data("profile-data") == whole.data("profile-data")
    told = {
        1: "1 file that could not be read is missing from it; where it lies is not known.",
        3: "3 files that could not be read are missing from it; where they lie is not known.",
    }
    assert [note.text for note in part.all("p", class_="note")] == [told[bad]]


def test_a_scan_without_spacing_says_what_it_lacks_and_how_to_get_it(batch, page, save_slice, lungs, tmp_path):
    for index, labels in enumerate(lungs):
        save_slice(tmp_path / f"in/{index}.png", labels)
    for spacing, many in ((None, 1), ((5, 1, 1), 0)):
        part = page(batch(tmp_path / "in", spacing=spacing).out).one("article")
        told = [note.text for note in part.all("p", class_="note") if "Its spacing is not known" in note.text]
        assert len(told) == many
        assert all("has no volumes and is not shown from the front" in note for note in told)
        assert all("--spacing Z,Y,X (mm) gives it both" in note for note in told)
        assert len(part.all("figure", class_="plane")) == (0 if many else 2)
    save_slice(tmp_path / "one/0.png", lungs[0])  # which is not shown from the front with a spacing either
    part = page(batch(tmp_path / "one", out=tmp_path / "flat").out).one("article")
    assert "has no volumes: ctseg batch --spacing Z,Y,X (mm) gives them" in part.text


@pytest.mark.parametrize(("tags", "top"), [({}, "head"), ({"ImagePositionPatient": None}, "last slice")])
def test_the_head_is_at_the_top_only_of_slices_that_say_where_they_lie(
    batch, page, save_series, lungs, tmp_path, tags, top
):
    save_series(tmp_path / "in", lungs, **dict.fromkeys(["SliceLocation", *tags]))
    part = page(batch(tmp_path / "in", spacing=(5, 1, 1)).out).one("article")
    (plane, *_) = part.all("figure", class_="plane")
    assert f", {top} at the top:" in plane.all("img")[0]["alt"]


def test_the_profile_of_slices_whose_pixels_differ_in_size_is_in_pixels(batch, page, save_series, lungs, tmp_path):
    files = save_series(tmp_path / "in", lungs)
    coarse = pydicom.dcmread(files[0])
    coarse.PixelSpacing = [2 * float(step) for step in coarse.PixelSpacing]
    coarse.save_as(files[0])
    top = page(batch(tmp_path / "in").out)
    profile = top.data("profile-data")["0"]
    assert profile["unit"] == "pixels"
    assert [round(sum(areas)) for areas in profile["areas"]] == [np.count_nonzero(labels) for labels in lungs]
    assert "area of lung, pixels" in top.one("figure", class_="profile").one("svg").text


@pytest.mark.parametrize("of_gap", [False, True])
def test_of_uneven_slices_the_view_says_that_it_draws_them_equally_high(
    batch, page, save_series, lungs, tmp_path, of_gap
):
    files = save_series(tmp_path / "in", lungs)
    for number, file in enumerate(files):
        dataset = pydicom.dcmread(file)
        dataset.ImagePositionPatient = [0, 0, number + 5 * max(0, number - len(files) // 2) * (not of_gap)]
        dataset.save_as(file)
    if of_gap:
        files[len(files) // 2].unlink()
    part = page(batch(tmp_path / "in").out).one("article")
    assert from_the_front(part)[1]
    notes = [note.text for note in part.all("p", class_="note")]
    assert "From the front, all slices are drawn equally high, though they are not evenly spaced." in notes


def test_the_last_of_images_keeps_its_place_though_it_cant_be_read(batch, page, save_slice, lungs, tmp_path):
    for index, labels in enumerate(lungs):
        save_slice(tmp_path / f"in/{index}.png", labels)
    (tmp_path / "in/6.png").write_bytes(b"no picture")
    top = page(batch(tmp_path / "in", spacing=(10, 5, 5)).out)
    assert top.data("profile-data")["0"]["areas"][6] is None
    assert not top.one("article").all("p", class_="note")


def test_it_is_there_where_shares_have_found_the_patient_to_lie_otherwise_since(
    batch, page, save_series, lungs, tmp_path
):
    save_series(tmp_path / "in", lungs)
    before = from_the_front(page(batch(tmp_path / "in").out).one("article"))
    orientation, turn = LAY["face down"]
    save_series(tmp_path / "in", np.ascontiguousarray(turn(lungs)), ImageOrientationPatient=orientation)
    for shard in (Shard(1, 2), Shard(2, 2), None):
        out = batch(tmp_path / "in", shard=shard).out
    assert from_the_front(page(out).one("article")) == before
