from pathlib import Path

import numpy as np
import pytest
import torch

from ctseg.datasets.dataset import Dataset
from ctseg.datasets.mask_meaning import PLAIN_MEANING
from ctseg.prepare import Preparation
from ctseg.scan import Slice
from ctseg.training.calibrate import ValidationPixels, calibration_error, collect_logits, fit_temperature
from ctseg.training.samples import Sample, Samples

APART = ((0,), (1,), (2,), (3,))


def pixels(sharpness, groups=APART, allowed_of=lambda truth: 1 << truth):
    """Truths drawn from the softmax of logits that are then given `sharpness` times as large."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (40_000, 4))
    share = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = (share.cumsum(axis=1) < rng.random((len(share), 1))).sum(axis=1)
    return ValidationPixels(
        "d", torch.tensor(logits * sharpness, dtype=torch.float32), allowed_of(truth).astype(np.uint8), groups
    )


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 2.5])
def test_the_temperature_undoes_what_made_the_logits_too_sharp(sharpness):
    assert fit_temperature([pixels(sharpness)]) == pytest.approx(sharpness, rel=0.03)


def test_the_error_is_small_for_a_network_that_knows_and_large_for_one_too_sure():
    assert calibration_error(pixels(1.0), 1.0) < 0.01
    assert calibration_error(pixels(3.0), 1.0) > 0.08
    assert calibration_error(pixels(3.0), 3.0) < 0.01


def test_the_error_is_the_gap_between_sureness_and_the_share_that_is_right():
    # 90 % sure of class 0, right in three of four: the gap is 0.15.
    logits = torch.tensor([0.9, 0.1 / 3, 0.1 / 3, 0.1 / 3]).log().repeat(4, 1)
    assert calibration_error(
        ValidationPixels("d", logits, np.array([1, 1, 1, 2], np.uint8), APART), 1.0
    ) == pytest.approx(0.15)


def test_classes_that_the_truth_does_not_tell_apart_count_as_one():
    def merged(truth):
        return np.where(truth >= 2, 0b1100, 1 << truth)

    assert calibration_error(pixels(1.0, ((0,), (1,), (2, 3)), merged), 1.0) < 0.01
    assert fit_temperature([pixels(2.0, ((0,), (1,), (2, 3)), merged)]) == pytest.approx(2.0, rel=0.04)


def test_without_a_pixel_to_judge_by_there_is_no_temperature():
    assert fit_temperature([]) is None


def test_one_temperature_serves_all_data_sets():
    either = [pixels(0.5), pixels(2.5)]
    assert 0.6 < fit_temperature(either) < 2.4
    assert fit_temperature(either[::-1]) == pytest.approx(fit_temperature(either), rel=0.01)


def test_too_sure_and_not_sure_enough_do_not_make_up_for_each_other():
    """90 % sure and right in three of four, 60 % sure and always right: gaps of 0.15 and 0.4."""
    sure = torch.tensor([[share, *[(1 - share) / 3] * 3] for share in (0.9, 0.6)])
    logits = sure.log().repeat_interleave(4, 0)
    allowed = np.array([1, 1, 1, 2, 1, 1, 1, 1], np.uint8)
    assert calibration_error(ValidationPixels("d", logits, allowed, APART), 1.0) == pytest.approx((0.15 + 0.4) / 2)


class Sure(torch.nn.Module):
    """Consolidation where a pixel is bright, else background."""

    def forward(self, grey):
        bright = (grey > 127).float()
        return 50 * torch.cat([1 - bright, 0 * bright, 0 * bright, bright], dim=1)


def test_pixels_that_are_open_or_background_to_both_are_not_asked_for():
    pixels, allowed = np.zeros((32, 32), np.uint8), np.full((32, 32), 0b0001, np.uint8)
    pixels[:8] = 255
    allowed[4:12] = 0b1000
    allowed[:, :8] = 0b1111
    one = Sample(Slice(pixels, "grey8"), allowed, "d", "g", Path("f"))
    empty = Sample(Slice(pixels, "grey8"), np.full_like(allowed, 0b1111), "e", "g", Path("f"))
    loaded = [
        Samples(Dataset(name, Path(), PLAIN_MEANING, ()), PLAIN_MEANING, {"train": (), "val": (s,), "test": ()})
        for name, s in (("d", one), ("e", empty))
    ]
    (found,) = collect_logits(Sure(), Preparation(long_side=32, multiple=32), loaded, torch.device("cpu"))
    assert (found.name, len(found.allowed)) == ("d", 12 * 24)
    assert np.bincount(found.allowed, minlength=9)[[1, 8]].tolist() == [4 * 24, 8 * 24]
