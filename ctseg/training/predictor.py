"""A network as it predicts: labels of slices, their loss, and its scores at the end of a run."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ctseg.metrics import scores
from ctseg.training.loss import partial_label_loss
from ctseg.training.recipe import Recipe
from ctseg.training.samples import Samples, Split
from ctseg.training.score import as_plain, count_errors


@contextmanager
def mixed_precision(device: torch.device) -> Iterator[None]:
    """bfloat16 where the device multiplies it natively, float32 elsewhere."""
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = bool(torch.cpu.get_capabilities().get("avx512_bf16", False))
    with torch.autocast(device.type, torch.bfloat16, enabled=native):
        yield


class Predictor:
    """Labels by a network, with the loss of all that it was shown."""

    def __init__(self, net: nn.Module, device: torch.device, dice_weight: float) -> None:
        self.net, self.device, self.dice_weight = net.eval(), device, dice_weight
        self._losses: list[float] = []

    @property
    def mean_loss(self) -> float:
        """Mean over the slices; not a number before the first."""
        return sum(self._losses) / len(self._losses) if self._losses else math.nan

    @torch.inference_mode()
    def __call__(self, grey: npt.NDArray[np.float32], allowed: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Labels (H, W) of the network's input (1, 1, H, W)."""
        with mixed_precision(self.device):
            logits: Tensor = self.net(torch.from_numpy(grey).to(self.device))
        truth = torch.from_numpy(allowed)[None].to(self.device)
        self._losses.append(float(partial_label_loss(logits, truth, self.dice_weight)))
        return logits[0].argmax(dim=0).to(torch.uint8).cpu().numpy()


def final_scores(net: nn.Module, recipe: Recipe, datasets: Sequence[Samples], device: torch.device) -> dict[str, Any]:
    """Loss, IoU and Dice of each data set on all of its test slices; where it has none, its validation slices."""
    net = deepcopy(net).to(device)
    result = {}
    for data in datasets:
        split: Split = "test" if data.splits["test"] else "val"
        if not data.splits[split]:
            continue
        predictor = Predictor(net, device, recipe.dice_weight)
        counts = count_errors(predictor, data.splits[split], data.meaning, recipe.preparation, recipe.cleanup)
        result[data.dataset.name] = {
            "split": split,
            "groups": sorted({sample.group for sample in data.splits[split]}),
            "slices": len(data.splits[split]),
            "loss": predictor.mean_loss,
            **as_plain(scores(counts, data.meaning.names)),
        }
    return result
