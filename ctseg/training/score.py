"""Scores of a network or a model file on samples, with the same preparation and clean-up as in use.

Except for the 3-D rule (`Cleanup.volume_fraction`): samples are slices, not always of one scan.
"""

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ctseg.classes import BACKGROUND, Labels, bits
from ctseg.cleanup import Cleanup, clean_slice
from ctseg.datasets.mask_meaning import MaskMeaning
from ctseg.metrics import Confusion, scores
from ctseg.prepare import Preparation, Restoration, prepare, restore
from ctseg.training.samples import Sample

Predict = Callable[[npt.NDArray[np.float32]], Labels]
"""From the network's input (1, 1, H, W) to labels (H, W)."""


def count_errors(mask: Callable[[Sample], Labels], samples: Sequence[Sample], meaning: MaskMeaning) -> Confusion:
    """The confusion table of each sample's `mask`, pooled, over the groups of classes that the truth distinguishes."""
    truth_of = np.zeros(256, np.uint8)
    for classes in meaning.values.values():
        truth_of[bits(classes)] = meaning.group(classes)
    total = np.zeros((len(meaning.groups),) * 2, np.int64)
    for sample in samples:
        total += meaning.compare(truth_of[sample.allowed], mask(sample))
    return total


def label(predict: Predict, sample: Sample, how: Preparation, rules: Cleanup) -> Labels:
    """The mask of one sample, (H, W), at its own size."""
    grey, undo = prepare(sample.image, how)
    return clean_slice(restore(predict(grey), undo), rules)


def at_working_size(
    sample: Sample, how: Preparation
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8], Restoration]:
    """The network's input (1, 1, H, W), the allowed classes (H, W) there, padding as background, and what undoes it."""
    grey, undo = prepare(sample.image, how)
    allowed = np.full(grey.shape[2:], bits([BACKGROUND]), np.uint8)
    rows, columns = undo.resized
    allowed[:rows, :columns] = cv2.resize(sample.allowed, (columns, rows), interpolation=cv2.INTER_NEAREST_EXACT)
    return grey, allowed, undo


def told_iou(counts: Confusion) -> float | None:
    """Mean IoU over the classes in the truth, None without any labelled pixel.

    With any other class, a single false pixel would count as an IoU of 0.
    """
    return scores(counts).mean_iou_present


def figures_of(
    mask: Callable[[Sample], Labels], split: str, samples: Sequence[Sample], meaning: MaskMeaning
) -> dict[str, Any]:
    """For JSON, the samples, and their IoU and Dice by class with two means, one of the classes in the truth alone."""
    result = scores(count_errors(mask, samples, meaning))
    found = {
        "iou": (result.iou, result.mean_iou, result.mean_iou_present),
        "dice": (result.dice, result.mean_dice, result.mean_dice_present),
    }
    return {
        "split": split,
        "groups": sorted({sample.group for sample in samples}),
        "slices": len(samples),
        **{
            score: {**dict(zip(meaning.names, by_class, strict=True)), "mean": mean, "mean_present": present}
            for score, (by_class, mean, present) in found.items()
        },
    }
