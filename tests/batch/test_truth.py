"""Scores against a truth: how masks are found, what their values mean, what they come to."""

import json
import re

import numpy as np
import pytest


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
    assert scan["flags"] == []


def test_a_class_in_neither_counts_for_nothing(batch, save_slice, save, tmp_path):
    labels = np.zeros((64, 64), np.uint8)
    labels[:32] = 1
    save_slice(tmp_path / "image" / "a.png", labels)
    save(tmp_path / "mask" / "a.png", labels)
    iou = batch(tmp_path / "image", truth=tmp_path / "mask").scan["iou"]
    assert iou == {"background": 1, "normal_lung": 1, "ground_glass": None, "consolidation": None, "mean": 1}


@pytest.mark.parametrize("place", ["mask", "."])
def test_classes_that_the_truth_does_not_tell_apart_are_scored_as_one(batch, hand_worked, save, place):
    save(hand_worked / "mask" / "7" / "3.png", np.kron([[0, 1], [2, 2]], np.ones((32, 32), int)).astype(np.uint8))
    values = {"0": ["background"], "1": ["normal_lung"], "2": ["ground_glass", "consolidation"]}
    (hand_worked / place / "dataset.json").write_text(json.dumps({"name": "mine", "mask_values": values}))
    iou = batch(hand_worked / "image", truth=hand_worked / "mask").scan["iou"]
    assert iou == {"background": 1, "normal_lung": 1, "ground_glass+consolidation": 1, "mean": 1}


def test_a_missing_truth_is_a_warning(batch, hand_worked, save_slice, draw):
    save_slice(hand_worked / "image" / "7" / "4.jpg", draw())
    done = batch(hand_worked / "image", truth=hand_worked / "mask")
    assert done.status == 0
    assert done.scan["flags"] == ["no truth for 1 slices"]
    assert done.scan["iou"]["consolidation"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("mask", "said"),
    [(np.zeros((64, 63), np.uint8), "63x64"), (np.full((64, 64), 9, np.uint8), r"\[9\]")],
    ids=["another size", "another value"],
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
        assert scan["flags"][-1:] != ["no truth for 3 slices"]


def test_a_volume_of_another_length_is_no_truth(batch, draw, save_volume, tmp_path):
    labels = np.stack([draw(seed) for seed in range(3)])
    save_volume(tmp_path / "scans" / "ct.nii", labels)
    save_volume(tmp_path / "truth" / "ct.nii", labels[:2], truth=True)
    done = batch(tmp_path / "scans", truth=tmp_path / "truth")
    assert (done.status, done.scan["iou"]) == (1, None)
    assert "2 slices" in done.scan["errors"][0]["reason"]


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
