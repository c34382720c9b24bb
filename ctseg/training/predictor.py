"""Predictions of a network: labels of slices, its loss on samples, and its scores at the end of a run."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ctseg.classes import Labels
from ctseg.cleanup import clean_slice
from ctseg.datasets.dataset import Split
from ctseg.prepare import restore
from ctseg.training.loss import partial_label_loss
from ctseg.training.recipe import Recipe
from ctseg.training.samples import Sample, Samples
from ctseg.training.score import Predict, at_working_size, figures_of


@contextmanager
def mixed_precision(device: torch.device) -> Iterator[None]:
    """bfloat16 if the device multiplies it natively, else float32."""
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = bool(torch.cpu.get_capabilities().get("avx512_bf16", False))
    with torch.autocast(device.type, torch.bfloat16, enabled=native):
        yield


@torch.inference_mode()
def logits_of(net: nn.Module, device: torch.device, grey: npt.NDArray[np.float32]) -> Tensor:
    """The logits (1, classes, H, W) of a network for an input (1, 1, H, W)."""
    with mixed_precision(device):
        logits: Tensor = net(torch.from_numpy(grey).to(device))
    return logits


def predictor(net: nn.Module, device: torch.device) -> Predict:
    """The labels that a network gives."""
    net.eval()
    return lambda grey: _labels(logits_of(net, device, grey))


class Judge:
    """A network's masks of samples, and its mean loss on all samples so far."""

    def __init__(self, net: nn.Module, recipe: Recipe, device: torch.device) -> None:
        self._net, self._recipe, self._device = net.eval(), recipe, device
        self._losses: list[float] = []

    @property
    def mean_loss(self) -> float:
        """The mean over the slices; NaN before the first."""
        return sum(self._losses) / len(self._losses) if self._losses else math.nan

    @torch.inference_mode()
    def mask(self, sample: Sample) -> Labels:
        """The mask (H, W) of a sample at its own size."""
        grey, allowed, undo = at_working_size(sample, self._recipe.preparation)
        logits = logits_of(self._net, self._device, grey)
        truth = torch.from_numpy(allowed)[None].to(self._device)
        self._losses.append(float(partial_label_loss(logits, truth, self._recipe.dice_weight)))
        return clean_slice(restore(_labels(logits), undo), self._recipe.cleanup)


def _labels(logits: Tensor) -> Labels:
    return logits[0].argmax(dim=0).to(torch.uint8).cpu().numpy()


def final_scores(net: nn.Module, recipe: Recipe, datasets: Sequence[Samples], device: torch.device) -> dict[str, Any]:
    """Loss, IoU and Dice of each data set on all test slices; if it has none, on those for validation."""
    net = deepcopy(net).to(device)
    result = {}
    for data in datasets:
        split: Split = "test" if data.splits["test"] else "val"
        if not (samples := data.splits[split]):
            continue
        judge = Judge(net, recipe, device)
        figures = figures_of(judge.mask, split, samples, data.meaning)
        result[data.dataset.name] = {**figures, "loss": judge.mean_loss}
    return result
