"""Scores against a truth: how masks are found, what their values mean, what they come to."""

import errno
import json
import os
import re
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest

from ctseg.datasets.learnt_groups import group_digest
from ctseg_batch.shards import Shard

CUT_OFF = "lungs cut off at the sides"  # those of the slice below reach to its edges


@pytest.fixture
def hand_worked(save_slice, save, tmp_path):
    """One slice of 64 x 64: labels by quarter 0 1 2 3; its truth calls half of the ground glass consolidation."""
    labels = np.zeros((64, 64), np.uint8)
    labels[:32, 32:], labels[32:, :32], labels[32:, 32:] = 1, 2, 3
    truth = labels.copy()
    truth[32:48, :32] = 3
    save_slice(tmp_path / "image" / "7" / "3.jpg", labels)
    save(tmp_path / "mask" / "7" / "3.png", truth)
    return tmp_path


def test_iou_and_dice_are_those_worked_out_by_hand(batch, hand_worked):
    scan = batch(hand_worked / "image", truth=hand_worked / "mask").scan
    assert scan["iou"] == pytest.approx(
        {"background": 1, "normal_lung": 1, "ground_glass": 1 / 2, "consolidation": 2 / 3, "mean": 19 / 24}
    )
    assert scan["dice"]["ground_glass"] == pytest.approx(2 / 3)
    assert scan["dice"]["consolidation"] == pytest.approx(4 / 5)
    assert scan["flags"] == [CUT_OFF]


def test_a_class_in_neither_counts_for_nothing(batch, save_slice, save, tmp_path):
    labels = np.zeros((64, 64), np.uint8)
    labels[:32] = 1
    save_slice(tmp_path / "image" / "a.png", labels)
    save(tmp_path / "mask" / "a.png", labels)
    iou = batch(tmp_path / "image", truth=tmp_path / "mask").scan["iou"]
    assert iou == {"background": 1, "normal_lung": 1, "ground_glass": None, "consolidation": None, "mean": 1}


@pytest.mark.parametrize("is_link", [False, True])
@pytest.mark.parametrize("place", ["mask", "."])
def test_classes_that_the_truth_does_not_tell_apart_are_scored_as_one(batch, hand_worked, save, place, is_link):
    save(hand_worked / "mask" / "7" / "3.png", np.kron([[0, 1], [2, 2]], np.ones((32, 32), int)).astype(np.uint8))
    values = {"0": ["background"], "1": ["normal_lung"], "2": ["ground_glass", "consolidation"]}
    (hand_worked / place / "dataset.json").write_text(json.dumps({"name": "mine", "mask_values": values}))
    if is_link:
        (hand_worked / "store").mkdir()
        (hand_worked / "mask").rename(hand_worked / "store/labels")
        (hand_worked / "mask").symlink_to(hand_worked / "store/labels")
    iou = batch(hand_worked / "image", truth=hand_worked / "mask").scan["iou"]
    assert iou == {"background": 1, "normal_lung": 1, "ground_glass+consolidation": 1, "mean": 1}


@pytest.fixture
def own_set(draw, save_slice, save, make_model, tmp_path):
    """A data set `own` of two patients, and a model that learnt from one of them; `own` again without its index."""
    names = ("background", "normal_lung", "ground_glass", "consolidation")
    for folder in ("own", "bare"):
        for name in ("a/1", "a/2", "b/1"):
            save_slice(tmp_path / folder / "slices" / f"{name}.png", draw(columns=64))
            save(tmp_path / folder / "masks" / f"{name}.png", draw(columns=64))
        values = {str(value): [name] for value, name in enumerate(names)}
        described = {"name": "own", "images": "slices", "masks": "masks", "index": "index.csv", "group": "patient"}
        text = json.dumps({**described, "mask_values": values})
        (tmp_path / folder / "dataset.json").write_text(text, encoding="utf-8-sig")  # as some editors have it
    (tmp_path / "own/index.csv").write_text("file,patient\na/1.png,a\na/2.png,a\nb/1.png,b\n")
    learnt = {"name": "own", "groups": {"train": 1, "val": 1, "test": 0}, "learnt_from": [group_digest("own", "a")]}
    return str(make_model(tmp_path / "taught.onnx", training={"datasets": [learnt]}))


@pytest.mark.parametrize(
    ("folder", "below", "told"),
    [
        ("own", "", ["the model learnt from 2 of these slices (own): their scores are not independent"]),
        ("own", "b", []),
        ("bare", "", ["the model learnt from own: its scores there are not independent"]),
    ],
)
def test_scores_of_what_the_model_learnt_from_are_told_as_such(batch, own_set, tmp_path, folder, below, told):
    slices = tmp_path / folder / "slices"
    done = batch(slices / below, root=slices, truth=tmp_path / folder / "masks", model=own_set)
    assert done.scans[below or "a"]["iou"]["mean"] == 1
    assert done.summary["notes"] == told
    assert batch(slices, truth=tmp_path / folder / "masks", out=tmp_path / "other").summary["notes"] == []
    (tmp_path / folder / "masks").rename(tmp_path / "kept")
    (tmp_path / folder / "masks").symlink_to(tmp_path / "kept")
    linked = batch(slices / below, root=slices, truth=tmp_path / folder / "masks", model=own_set, out=tmp_path / "link")
    assert linked.summary["notes"] == told


def test_what_shards_say_of_slices_that_the_model_learnt_from_is_added_up(batch, summarize, own_set, tmp_path):
    slices, call = tmp_path / "own/slices", {"truth": tmp_path / "own/masks", "model": own_set}
    (tmp_path / "own/index.csv").write_text("file,patient\na/1.png,a\nb/1.png,a\n")
    whole = batch(slices, out=tmp_path / "whole", **call).summary["notes"]
    shards = [batch(slices, shard=Shard(number, 4), **call) for number in (1, 2, 3, 4)]
    assert [len(one.scans) for one in shards] == [0, 1, 0, 1]
    assert json.loads(summarize(shards[0].out, "--json")[1])["notes"] == whole
    assert [note[:38] for note in whole] == ["the model learnt from 2 of these slice"]


def test_pixels_that_may_be_any_class_are_not_scored_and_join_none(batch, hand_worked, save):
    """Just those that would be wrong."""
    file = hand_worked / "mask" / "7" / "3.png"
    mask = np.kron([[0, 1], [2, 3]], np.ones((32, 32), int)).astype(np.uint8)
    mask[32:48, :32] = 255
    save(file, mask)
    classes = ["background", "normal_lung", "ground_glass", "consolidation"]
    values = {**{str(index): [name] for index, name in enumerate(classes)}, "255": classes}
    (hand_worked / "mask" / "dataset.json").write_text(json.dumps({"mask_values": values}))
    done = batch(hand_worked / "image", truth=hand_worked / "mask")
    assert done.summary["groups"] == classes
    assert done.scan["iou"] == dict.fromkeys([*classes, "mean"], 1)
    assert np.sum(done.scan["confusion"]) == 64 * 64 - 16 * 32
    save(file, np.full_like(mask, 255))
    done = batch(hand_worked / "image", truth=hand_worked / "mask")
    assert (done.status, done.scan["iou"]) == (1, None)
    assert (done.scan["volume_error_ml"], done.scan["flags"]) == (None, [CUT_OFF, "no reference"])


def test_a_missing_truth_is_a_warning(batch, hand_worked, save_slice, draw):
    save_slice(hand_worked / "image" / "7" / "4.jpg", draw(columns=64))
    done = batch(hand_worked / "image", truth=hand_worked / "mask")
    assert done.status == 0
    assert done.scan["flags"] == [CUT_OFF, "no reference for 1 slice"]
    assert done.scan["iou"]["consolidation"] == pytest.approx(2 / 3)


def test_a_scan_without_any_truth_is_not_scored_and_not_doubtful(command, hand_worked, save_slice, draw):
    for name in ("8/1", "8/2", "9/1"):
        save_slice(hand_worked / f"image/{name}.jpg", draw(columns=64))
    out = hand_worked / "out"
    left = command(hand_worked / "image", "--truth", hand_worked / "mask", "--out", out)
    flags = {scan["scan"]: scan["flags"] for scan in json.loads((out / "summary.json").read_text())["scans"]}
    assert flags == {"7": [CUT_OFF], "8": ["no reference"], "9": ["no reference"]}
    assert "no usable reference mask for 8 and 1 other scan: not scored" in left.err.splitlines()
    assert [line for line in left.err.splitlines() if "doubtful" in line] == [f"doubtful: 7: {CUT_OFF}"]


@pytest.mark.parametrize(
    ("mask", "said"),
    [
        (np.zeros((64, 63), np.uint8), "63x64"),
        (np.full((64, 64), 9, np.uint8), "has the values 9, which"),
        (np.arange(64 * 64).reshape(64, 64).astype(np.uint8), "has the values 4, 5, 6, 7, 8 and 247 others, which"),
    ],
    ids=["another size", "another value", "a picture"],
)
def test_a_truth_that_cannot_be_used_is_named_and_the_mask_written_all_the_same(batch, hand_worked, save, mask, said):
    save(hand_worked / "mask" / "7" / "3.png", mask)
    done = batch(hand_worked / "image", truth=hand_worked / "mask")
    assert done.status == 1
    assert list(done.masks) == ["7/3.jpg.png"]
    (error,) = done.scan["errors"]
    assert error["file"].endswith("3.png")
    assert re.search(said, error["reason"])


def test_the_truth_of_a_volume_is_a_volume_or_a_folder_of_masks(batch, draw, save_volume, save, tmp_path):
    labels = np.stack([draw(seed) for seed in range(3)])
    save_volume(tmp_path / "scans" / "ct.nii.gz", labels)
    save_volume(tmp_path / "volumes" / "ct.nii", labels, truth=True)
    for index, mask in enumerate(labels):
        save(tmp_path / "folders" / "ct.nii.gz" / f"{index:04d}.png", mask)
    for kind in ("volumes", "folders"):
        scan = batch(tmp_path / "scans", truth=tmp_path / kind, out=tmp_path / f"out {kind}").scan
        assert scan["iou"]["mean"] == 1
        assert scan["flags"][-1:] != ["no reference for 3 slices"]


@pytest.mark.parametrize("mode", [0, 0o444])
@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="everything may be read by this user")
def test_a_folder_of_masks_that_may_not_be_entered_is_named_and_nothing_else_is_lost(
    batch, draw, save_volume, save, tmp_path, mode
):
    for name in ("closed", "open"):
        save_volume(tmp_path / f"in/{name}.nii", draw()[None])
        save(tmp_path / f"truth/{name}.nii/0000.png", draw())
    (tmp_path / "truth/closed.nii").chmod(mode)
    try:
        done = batch(tmp_path / "in", truth=tmp_path / "truth")
    finally:
        (tmp_path / "truth/closed.nii").chmod(0o700)
    assert done.scans["open.nii"]["iou"]["mean"] == 1
    assert [error["reason"] for error in done.scans["closed.nii"]["errors"]] == ["can't be opened: Permission denied"]
    assert len(done.masks) == 2


def test_where_the_truth_may_not_be_listed_its_slices_alone_are_not_scored(
    batch, draw, save_slice, save_volume, save, monkeypatch, tmp_path
):
    for name in ("closed", "open"):
        save_slice(tmp_path / "in" / name / "1.png", draw())
        save_volume(tmp_path / "in" / name / "2.nii", draw()[None])
        save(tmp_path / "truth" / name / "1.png", draw())
        save_volume(tmp_path / "truth" / name / "2.nii", draw()[None], truth=True)
    listed = os.scandir

    def scandir(folder):
        if Path(folder) == tmp_path / "truth/closed":
            raise PermissionError(errno.EACCES, "Permission denied", str(folder))
        return listed(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    done = batch(tmp_path / "in", truth=tmp_path / "truth")
    assert done.status == 1
    assert {name: bool(scan["iou"]) for name, scan in done.scans.items()} == {
        "closed": False, "closed/2.nii": False, "open": True, "open/2.nii": True
    }  # fmt: skip
    told = [(error["file"], error["reason"]) for scan in done.scans.values() for error in scan["errors"]]
    assert told == [(str(tmp_path / "truth/closed"), "can't be listed: Permission denied")] * 2
    assert len(done.masks) == 4


def test_a_volume_of_another_length_is_no_truth(batch, draw, save_volume, tmp_path):
    labels = np.stack([draw(seed) for seed in range(3)])
    save_volume(tmp_path / "scans" / "ct.nii", labels)
    save_volume(tmp_path / "truth" / "ct.nii", labels[:2], truth=True)
    done = batch(tmp_path / "scans", truth=tmp_path / "truth")
    assert (done.status, done.scan["iou"]) == (1, None)
    assert "2 slices" in done.scan["errors"][0]["reason"]


def test_a_folder_with_more_masks_than_its_scan_has_slices_is_no_truth(batch, draw, save_volume, save, tmp_path):
    labels = np.stack([draw(seed) for seed in range(3)])
    save_volume(tmp_path / "scans" / "ct.nii", labels)
    for index in range(4):
        save(tmp_path / "truth" / "ct.nii" / f"{index:04d}.png", labels[max(0, index - 1)])
    done = batch(tmp_path / "scans", truth=tmp_path / "truth")
    assert (done.status, done.scan["iou"]) == (1, None)
    assert {error["reason"] for error in done.scan["errors"]} == {"is one mask too many: its scan has 3 slices"}


def test_a_truth_is_the_same_however_its_path_is_spelt(batch, hand_worked, counted, monkeypatch):
    batch(hand_worked / "image", truth=hand_worked / "mask")
    assert counted()
    monkeypatch.chdir(hand_worked)
    for spelt in (hand_worked / "image/../mask", Path("mask")):
        batch(hand_worked / "image", truth=spelt)
    assert not counted()


LEFT_AND_BACK = np.array([[-2.0, 0, 0, 60], [0, -2, 0, 40], [0, 0, 3, -90], [0, 0, 0, 1]])


@pytest.mark.parametrize(
    "saved",
    [
        lambda voxels: nibabel.Nifti1Image(voxels, LEFT_AND_BACK),
        lambda voxels: nibabel.as_closest_canonical(nibabel.Nifti1Image(voxels, LEFT_AND_BACK)),
        lambda voxels: nibabel.Nifti1Image(voxels, np.diag([-1, -1, 1, 1])),
    ],
    ids=["as the scan", "turned with its header", "turned alike"],
)
def test_a_truth_volume_may_be_stored_otherwise_if_its_header_says_so(batch, turned_scan, saved):
    folder, voxels = turned_scan
    (folder / "truth").mkdir()
    nibabel.save(saved(voxels), folder / "truth" / "ct.nii")
    assert batch(folder / "scans", truth=folder / "truth").scan["iou"]["mean"] == 1


def test_a_truth_volume_whose_header_would_mirror_it_is_no_truth(batch, turned_scan):
    """Saved from an array without its scan's affine, as happens easily."""
    folder, voxels = turned_scan
    (folder / "truth").mkdir()
    nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), folder / "truth" / "ct.nii")
    done = batch(folder / "scans", truth=folder / "truth")
    assert (done.status, done.scan["iou"]) == (1, None)
    assert "is placed differently from its scan" in done.scan["errors"][0]["reason"]


@pytest.mark.parametrize(("unit", "mm"), [("mm", 1), ("meter", 1000), ("micron", 0.001)])
def test_the_unit_of_a_header_counts_where_scan_and_truth_are_compared(batch, turned_scan, unit, mm):
    folder, voxels = turned_scan
    hu = np.asanyarray(nibabel.load(folder / "scans/ct.nii").dataobj).copy()
    scan = nibabel.Nifti1Image(hu, np.diag([1 / mm, 1 / mm, 1 / mm, 1]) @ LEFT_AND_BACK)
    scan.header.set_xyzt_units(unit)
    nibabel.save(scan, folder / "scans/ct.nii")
    turned = nibabel.as_closest_canonical(nibabel.Nifti1Image(voxels, LEFT_AND_BACK))
    (folder / "truth").mkdir()
    nibabel.save(turned, folder / "truth/ct.nii")
    done = batch(folder / "scans", truth=folder / "truth")
    assert (done.status, done.scan["iou"]["mean"]) == (0, 1)
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([2.0, 2, 3, 1])), folder / "truth/ct.nii")
    done = batch(folder / "scans", truth=folder / "truth")
    assert "is placed differently from its scan" in done.scan["errors"][0]["reason"]


@pytest.mark.parametrize(
    ("slices", "columns", "is_refused"), [(1, 0, True), (0, -1, True), (0.4, 0.4, False), (0.6, 0, True)]
)
def test_a_truth_volume_more_than_half_a_voxel_from_its_scan_is_no_truth(
    batch, turned_scan, slices, columns, is_refused
):
    folder, voxels = turned_scan
    moved = LEFT_AND_BACK.copy()
    moved[[2, 0], 3] += 3 * slices, 2 * columns
    (folder / "truth").mkdir()
    nibabel.save(nibabel.Nifti1Image(voxels, moved), folder / "truth/ct.nii")
    done = batch(folder / "scans", truth=folder / "truth")
    assert done.status == is_refused
    assert ["is placed differently from its scan" in error["reason"] for error in done.scan["errors"]] == [
        True
    ] * is_refused


@pytest.mark.parametrize(("longer", "is_refused"), [(1.2, False), (1.7, True)])
def test_a_truth_volume_whose_slices_lie_farther_apart_than_its_scans_is_no_truth(
    batch, turned_scan, longer, is_refused
):
    """The first slices lie at one place, the last, two steps away, more than a voxel from each other."""
    folder, voxels = turned_scan
    (folder / "truth").mkdir()
    nibabel.save(nibabel.Nifti1Image(voxels, LEFT_AND_BACK @ np.diag([1, 1, longer, 1])), folder / "truth/ct.nii")
    done = batch(folder / "scans", truth=folder / "truth")
    assert done.status == is_refused
    assert ["is placed differently from its scan" in error["reason"] for error in done.scan["errors"]] == [
        True
    ] * is_refused


def without_place(image):
    image.set_sform(None, 0)
    image.set_qform(None, 0)
    return image


@pytest.mark.parametrize(
    "saved",
    [
        lambda voxels: nibabel.Nifti1Image(voxels, np.diag([-1, 1, 1, 1])),
        lambda voxels: nibabel.Nifti1Image(voxels[::-1], np.diag([0.7, 0.7, 2.5, 1])).as_reoriented(
            [[0, -1], [1, 1], [2, 1]]
        ),
        lambda voxels: without_place(nibabel.Nifti1Image(voxels, np.eye(4))),
    ],
    ids=["a corner at 0", "another corner at 0", "nothing said"],
)
@pytest.mark.parametrize("lost", ["scans", "truth"])
def test_a_header_that_knows_no_place_refuses_no_truth(batch, turned_scan, saved, lost):
    """As programs save arrays: turned alike, though at an origin of 0."""
    folder, voxels = turned_scan
    voxels = voxels[:, ::-1]
    hu = np.asanyarray(nibabel.load(folder / "scans/ct.nii").dataobj).copy()[:, ::-1]
    (folder / "truth").mkdir()
    for name, array in (("scans", hu), ("truth", voxels)):
        placed = nibabel.Nifti1Image(array, np.diag([1, -1, 1, 1]) @ LEFT_AND_BACK)
        nibabel.save(saved(array) if name == lost else placed, folder / name / "ct.nii")
    assert batch(folder / "scans", truth=folder / "truth").scan["iou"]["mean"] == 1


@pytest.fixture
def turned_scan(draw, save_volume, tmp_path):
    """A scan whose voxels run to the patient's left and back, and the labels (columns, rows, slices) of its voxels."""
    labels = np.stack([draw(seed) for seed in range(3)])
    plain = nibabel.load(save_volume(tmp_path / "plain.nii", labels))
    hu = np.asanyarray(plain.dataobj)[::-1, ::-1]
    (tmp_path / "scans").mkdir()
    nibabel.save(nibabel.Nifti1Image(hu, LEFT_AND_BACK), tmp_path / "scans" / "ct.nii")
    return tmp_path, np.ascontiguousarray(labels.transpose(2, 1, 0))


def test_the_truth_within_the_input_is_not_searched(batch, draw, save_slice, save, tmp_path):
    save_slice(tmp_path / "in" / "a.png", draw())
    save(tmp_path / "in" / "truth" / "a.png", draw())
    done = batch(tmp_path / "in", truth=tmp_path / "in" / "truth")
    assert list(done.masks) == ["a.png"]
    assert done.scan["iou"]["mean"] == 1


def test_a_truth_that_is_not_there_is_a_wrong_call(command, draw, save_slice, tmp_path):
    save_slice(tmp_path / "in" / "a.png", draw())
    left = command(tmp_path / "in", "--out", tmp_path / "out", "--truth", tmp_path / "nowhere")
    assert left.status == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("slice_name", "truth_name"),
    [
        ("7/3.jpg", "7/3.png"),
        ("7/3.png", "7/3.png"),
        ("7/3.jpg", "7/3.jpg.png"),
        ("7/3.PNG", "7/3.tif"),
        ("7/1.2.840.5.png", "7/1.2.840.5.bmp"),
        ("3.tif", "3.npy"),
    ],
)
def test_a_truth_has_its_slices_path_and_stem(batch, draw, save_slice, save, tmp_path, slice_name, truth_name):
    drawn = save_slice((tmp_path / "image" / slice_name).with_suffix(".bmp"), draw(1))
    drawn.rename(tmp_path / "image" / slice_name)  # what a picture is, its first bytes tell
    save(tmp_path / "mask" / truth_name, draw(2))
    found = batch(tmp_path / "image", truth=tmp_path / "mask").scan["iou"]
    same = draw(1) == draw(2)
    hits = [np.count_nonzero(same & (draw(1) == c)) for c in range(4)]
    both = [np.count_nonzero((draw(1) == c) | (draw(2) == c)) for c in range(4)]
    assert list(found.values())[:4] == pytest.approx([hit / union for hit, union in zip(hits, both, strict=True)])


def test_a_png_is_the_truth_where_a_picture_of_the_slice_lies_beside_it(batch, draw, save_slice, save, tmp_path):
    save_slice(tmp_path / "image/a.jpg", draw())
    for name in ("a.jpg", "a.tif", "a.bmp"):
        save_slice(tmp_path / "mask" / name, draw())
    save(tmp_path / "mask/a.png", draw())
    done = batch(tmp_path / "image", truth=tmp_path / "mask")
    assert (done.status, done.scan["iou"]["mean"]) == (0, 1)


@pytest.mark.parametrize("slice_name", ["a.png", "a.jpg"])
def test_a_truth_that_can_t_be_opened_is_not_taken_for_none(batch, draw, save_slice, tmp_path, slice_name):
    save_slice(tmp_path / "image" / slice_name, draw())
    (tmp_path / "mask").mkdir()
    (tmp_path / "mask/a.png").symlink_to(tmp_path / "gone.png")
    done = batch(tmp_path / "image", truth=tmp_path / "mask")
    assert (done.status, done.scan["status"]) == (1, "partial")
    (failed,) = done.scan["errors"]
    assert failed["file"].endswith("mask/a.png")


def test_links_in_a_circle_beside_the_truth_spoil_no_other_mask(batch, draw, save_slice, save, tmp_path):
    save_slice(tmp_path / "image/a.png", draw())
    save(tmp_path / "mask/a.png", draw())
    (tmp_path / "mask/b.png").symlink_to(tmp_path / "mask/c.png")
    (tmp_path / "mask/c.png").symlink_to(tmp_path / "mask/b.png")
    done = batch(tmp_path / "image", truth=tmp_path / "mask")
    assert (done.status, done.scan["iou"]["mean"]) == (0, 1)


def test_a_volumes_mask_that_can_t_be_opened_is_not_taken_for_none(batch, draw, save_volume, tmp_path):
    save_volume(tmp_path / "in/ct.nii.gz", np.stack([draw(1), draw(2)]))
    (tmp_path / "mask/ct.nii.gz").mkdir(parents=True)
    (tmp_path / "mask/ct.nii.gz/0000.png").symlink_to(tmp_path / "gone.png")
    (failed,) = batch(tmp_path / "in", truth=tmp_path / "mask").scan["errors"]
    assert failed["file"].endswith("ct.nii.gz/0000.png")


def test_a_truth_of_another_ending_is_a_file(batch, draw, save_slice, save, save_volume, tmp_path):
    stack = np.stack([draw(1), draw(2)])
    save_slice(tmp_path / "in/a.jpg", draw())
    save_slice(tmp_path / "in/b.png", draw()).rename(tmp_path / "in/1.2.3")
    save(tmp_path / "mask/a.tif", draw())
    save(tmp_path / "mask/b.png", draw()).rename(tmp_path / "mask/1.2.3")
    (tmp_path / "mask/a.tiff").mkdir()
    save_volume(tmp_path / "volumes/ct.nii.gz", stack)
    save_volume(tmp_path / "truths/ct.nii", stack, truth=True)
    (tmp_path / "truths/ct.nrrd").mkdir()
    for scans, truth in ("in", "mask"), ("volumes", "truths"):
        done = batch(tmp_path / scans, truth=tmp_path / truth, out=tmp_path / f"of {scans}")
        assert (done.status, done.scan["iou"]["mean"]) == (0, 1)
        assert not any("no reference" in flag for flag in done.scan["flags"])


def test_a_jpeg_is_no_truth(batch, draw, save_slice, tmp_path):
    save_slice(tmp_path / "image/a.jpg", draw())
    save_slice(tmp_path / "mask/a.jpg", draw())
    done = batch(tmp_path / "image", truth=tmp_path / "mask")
    assert (done.status, done.scan["iou"], done.scan["slices"]) == (1, None, 1)
    assert "JPEG does not keep exact values" in done.scan["errors"][0]["reason"]


def test_slices_of_a_series_have_truths_by_their_files_names(batch, draw, save_series, save, tmp_path):
    labels = np.stack([draw(seed, 64, 64) for seed in range(3)])
    stems = ["c", "a", "b"]
    save_series(tmp_path / "in", labels, stems=stems)
    for stem, mask in zip(stems, labels, strict=True):
        save(tmp_path / "truth" / f"{stem}.png", mask)
    assert batch(tmp_path / "in", truth=tmp_path / "truth").scan["dice"]["mean"] == 1


def test_scores_are_pooled_over_slices_and_over_scans(batch, save_slice, save, tmp_path):
    """Three slices in two scans with 1, 2 and 4 wrong rows of 64: pooled, not averaged."""
    lung, wrong = np.ones((64, 64), np.uint8), {"p/1": 1, "p/2": 2, "q/1": 4}
    for name, rows in wrong.items():
        save_slice(tmp_path / f"image/{name}.png", np.where(np.arange(64)[:, None] < rows, 0, lung))
        save(tmp_path / f"mask/{name}.png", lung)
    done = batch(tmp_path / "image", truth=tmp_path / "mask")
    assert done.scans["p"]["iou"]["normal_lung"] == pytest.approx(125 / 128)
    assert done.scans["q"]["dice"]["normal_lung"] == pytest.approx(120 / 124)
    totals = done.summary["totals"]
    assert totals["iou"]["normal_lung"] == pytest.approx(185 / 192)
    assert totals["iou"]["background"] == 0
    assert totals["iou"]["mean"] == pytest.approx(185 / 192 / 2)


def test_a_changed_meaning_changes_the_scores(batch, hand_worked):
    """Masks and slices are the same, `dataset.json` is another: what was noted of the first counts no more."""
    description = hand_worked / "mask/dataset.json"
    lesion = ["ground_glass", "consolidation"]
    values = {"0": ["background"], "1": ["normal_lung"], "2": lesion, "3": lesion}
    description.write_text(json.dumps({"mask_values": values}))
    merged = batch(hand_worked / "image", truth=hand_worked / "mask").scan["iou"]
    assert merged["ground_glass+consolidation"] == 1
    description.unlink()
    apart = batch(hand_worked / "image", truth=hand_worked / "mask").scan["iou"]
    assert apart["ground_glass"] == pytest.approx(1 / 2)


def test_a_truth_that_changed_is_compared_again(batch, hand_worked, save):
    first = batch(hand_worked / "image", truth=hand_worked / "mask")
    truth = hand_worked / "mask/7/3.png"
    save(truth, first.masks["7/3.jpg.png"])
    assert batch(hand_worked / "image", truth=hand_worked / "mask").scan["iou"]["mean"] == 1
    truth.unlink()
    assert batch(hand_worked / "image", truth=hand_worked / "mask").scan["iou"] is None
    assert batch(hand_worked / "image").scan["flags"] == [CUT_OFF]


def test_a_truth_folder_with_none_of_the_slices_says_what_was_looked_for(command, hand_worked):
    (hand_worked / "mask/8").mkdir()
    for truth in (hand_worked, hand_worked / "mask/8"):
        left = command(hand_worked / "image", "--out", hand_worked / "out", "--truth", truth)
        assert left.status == 1
        told = f"no reference mask was found for any slice: there is no {truth / '7/3'}.*, nor any other"
        assert f"{told}; did you mean --truth {hand_worked / 'mask'}?" in left.err.splitlines()
    left = command(hand_worked / "image", "--out", hand_worked / "out", "--truth", hand_worked / "mask")
    assert "no reference mask was found" not in left.err
    assert left.status == 0
    folder = [hand_worked / "image/7", "--out", hand_worked / "own", "--truth", hand_worked / "mask"]
    assert f"mask/3.*, nor any other; did you mean --truth {hand_worked / 'mask/7'}?" in command(*folder).err
    assert command(*folder[:-1], hand_worked / "mask/7").status == 0


def test_a_truth_of_another_level_is_suggested_by_any_of_the_scans(batch, draw, save_slice, save, tmp_path):
    for name in "ab":
        save_slice(tmp_path / f"images/{name}/1.png", draw())
    save(tmp_path / "masks/b/1.png", draw())
    (up,) = batch(tmp_path / "images", truth=tmp_path / "masks/b").summary["notes"]
    assert up.endswith(f"masks/b/a/1.*, nor any other; did you mean --truth {tmp_path / 'masks'}?")
    save(tmp_path / "all/images/b/1.png", draw())
    (down,) = batch(tmp_path / "images", truth=tmp_path / "all").summary["notes"]
    assert down.endswith(f"all/a/1.*, nor any other; did you mean --truth {tmp_path / 'all/images'}?")


def test_no_folder_is_suggested_that_would_not_do(batch, save_series, save_volume, speck, tmp_path):
    """A series is compared with a mask a slice: a volume beside it is named."""
    save_series(tmp_path / "in/ct", speck)
    save_volume(tmp_path / "truth/ct/ct.nii.gz", speck, truth=True)
    (note,) = batch(tmp_path / "in/ct", truth=tmp_path / "truth").summary["notes"]
    assert "did you mean" not in note
    volume = tmp_path / "truth/ct/ct.nii.gz"
    assert note.endswith(f"nor any other; {volume} is a volume, but slices in separate files need a mask each")


def test_the_truth_of_a_volume_that_is_not_there_is_told_by_its_name(batch, save_volume, tmp_path):
    save_volume(tmp_path / "in/p/ct.nii.gz", np.ones((2, 64, 48), np.uint8))
    (tmp_path / "truth").mkdir()
    (note,) = batch(tmp_path / "in", truth=tmp_path / "truth").summary["notes"]
    assert note == f"no reference mask was found for any slice: there is no {tmp_path / 'truth/p/ct'}.*, nor any other"


def test_a_truth_that_is_the_input_is_a_wrong_call(command, hand_worked, save):
    image = hand_worked / "image"
    left = command(image, "--out", hand_worked / "out", "--truth", hand_worked / "mask/../image")
    assert left.status == 2
    told = "this is the INPUT; name the folder that holds its reference masks"
    assert left.err == f"error: --truth {hand_worked / 'mask/../image'}: {told}\n"
    left = command(image, "--out", hand_worked / "out", "--truth", image / "7/3.jpg")
    assert left.err == f"error: --truth {image / '7/3.jpg'}: it is a file; name the folder that holds the masks\n"


@pytest.fixture
def truths(draw, save_slice, save_series, save_volume, save, tmp_path):
    """Images, a series, a volume, three slices each, and a truth of them all."""
    labels = np.stack([draw(seed, 64, 64) for seed in range(3)])
    save_series(tmp_path / "in/series", labels)
    save_volume(tmp_path / "in/ct.nii", labels)
    save_volume(tmp_path / "truth/ct.nii", labels, truth=True)
    for index, mask in enumerate(labels):
        save_slice(tmp_path / f"in/images/{index}.png", mask)
        save(tmp_path / f"truth/images/{index}.png", mask)
        save(tmp_path / f"truth/series/{index:03d}.png", mask)
    return tmp_path


@pytest.mark.parametrize("number", [errno.EACCES, errno.ESTALE])
@pytest.mark.parametrize("name", ["images/1.png", "series/001.png", "ct.nii"])
def test_a_truth_that_could_not_be_read_is_compared_once_it_can_be(batch, truths, counted, monkeypatch, name, number):
    """Neither its size nor its time of change tell: they are the same."""
    truth, opened = truths / "truth" / name, Path.open

    def refuse(self, *given, **more):
        if self == truth:
            raise OSError(number, os.strerror(number), str(self))
        return opened(self, *given, **more)

    def read(self):
        with self.open("rb") as stream:
            return stream.read()

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", refuse)
        patched.setattr(Path, "read_bytes", read)
        for done_now in (9, 0):
            done = batch(truths / "in", truth=truths / "truth")
            assert (done.status, counted()) == (1, done_now)
            (error,) = (error for scan in done.scans.values() for error in scan["errors"])
            assert error == {"file": str(truth), "reason": f"can't be opened: {os.strerror(number)}"}
    done = batch(truths / "in", truth=truths / "truth")
    assert (done.status, counted()) == (0, 3)
    assert [scan["iou"]["mean"] for scan in done.scans.values()] == [1, 1, 1]
    assert batch(truths / "in", truth=truths / "truth").summary["throughput"]["slices"] == 0


@pytest.mark.parametrize("fault", ["size", "value", "JPEG", "length"])
@pytest.mark.parametrize("kind", ["images", "series", "ct.nii"])
def test_a_truth_that_fits_no_better_than_before_gives_nothing_to_do(
    batch, truths, save, save_volume, counted, kind, fault
):
    wrong = np.zeros((64, 32), np.uint8) if fault == "size" else np.diag(np.full(64, 9, np.uint8))
    name = {"images": "1", "series": "001"}.get(kind)
    if name is None:
        masks = np.stack([wrong * 0, wrong, wrong * 0][: 2 if fault == "length" else 3])
        save_volume(truths / "truth/ct.nii", masks, truth=True)
    else:
        (truths / f"truth/{kind}/{name}.png").unlink()
        save(truths / f"truth/{kind}/{name}.{'jpg' if fault == 'JPEG' else 'png'}", wrong)
    first = batch(truths / "in", truth=truths / "truth")
    assert [bool(scan["errors"]) for scan in first.scans.values()].count(True) == 1
    counted()
    second = batch(truths / "in", truth=truths / "truth")
    assert counted() == 0
    assert second.summary["scans"] == first.summary["scans"]


def test_a_truth_that_no_reader_foresaw_does_not_end_the_next_run(batch, truths, save, monkeypatch):
    save(truths / "truth/images/1.png", np.zeros((64, 32), np.uint8))
    first = batch(truths / "in", truth=truths / "truth")

    def failing(_):
        raise KeyError("of a library")

    monkeypatch.setattr("ctseg.reading.read_mask", failing)
    assert batch(truths / "in", truth=truths / "truth").summary["scans"] == first.summary["scans"]


def test_a_damaged_description_is_a_wrong_call(command, hand_worked):
    (hand_worked / "mask/dataset.json").write_text("{")
    left = command(hand_worked / "image", "--truth", hand_worked / "mask", "--out", hand_worked / "out")
    assert left.status == 2
    assert "dataset.json" in left.err


def test_masks_of_another_run_are_no_independent_reference(batch, draw, save_slice, tmp_path):
    save_slice(tmp_path / "in/a.png", draw())
    first = batch(tmp_path / "in", out=tmp_path / "first")
    done = batch(tmp_path / "in", out=tmp_path / "second", truth=first.out / "masks")
    assert done.scan["iou"]["mean"] == 1
    assert any(
        f"are in {first.out}, where ctseg wrote its own: unless they were corrected" in note
        for note in done.summary["notes"]
    )


@pytest.mark.parametrize("place", ["out", "out/masks"])
def test_a_run_is_not_compared_with_itself(command, batch, draw, save_slice, tmp_path, place):
    save_slice(tmp_path / "in/a.png", draw())
    out = batch(tmp_path / "in").out
    left = command(tmp_path / "in", "--out", out, "--truth", tmp_path / place)
    assert left.status == 2
    assert "is read, and would be written to" in left.err
