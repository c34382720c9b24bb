"""The fit: epochs of steps, each epoch validated and written down, so that a killed run goes on where it was."""

import math
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ctseg.errors import CallError, ModelError
from ctseg.model import BEST
from ctseg.spread import evenly_spread
from ctseg.training import checkpoint
from ctseg.training.batches import load_epoch, plan_epoch
from ctseg.training.checkpoint import Checkpoint
from ctseg.training.loss import partial_label_loss
from ctseg.training.networks import build, untrained
from ctseg.training.predictor import Judge, mixed_precision
from ctseg.training.recipe import Recipe, Schedule
from ctseg.training.run_folder import LAST
from ctseg.training.samples import Sample, Samples, training_slices
from ctseg.training.score import count_errors, told_iou
from ctseg.training.soup import blended

Weights = tuple[Tensor, ...] | list[Tensor]

_PROGRESS = ("weights", "optimiser", "history", "averaged_steps")

# An epoch's validation looks at so many slices of each data set, evenly spread; the end looks at all.
_VALIDATED_A_DATASET = 64


@dataclass(frozen=True, slots=True)
class Progress:
    """Where the fit is, for those who show it. `epoch` counts from 1."""

    epoch: int
    step: int
    steps: int
    loss: float


@dataclass
class Fit:
    """One run: `fit()` goes on from wherever `last.pt` in the run folder is, or from the start.

    `start`: a network to begin with, instead of one that knows nothing; needed throughout where the recipe keeps a
    share of it. `on_step` is called after every step, `on_epoch` after every epoch with its line of history.
    """

    recipe: Recipe
    datasets: Sequence[Samples]
    training: Mapping[str, Any]
    folder: Path
    device: torch.device
    on_step: Callable[[Progress], None]
    on_epoch: Callable[[Mapping[str, Any]], None]
    start: nn.Module | None = None

    def __post_init__(self) -> None:
        """Make the network and its optimiser, or take them from `last.pt`."""
        torch.manual_seed(self.recipe.seed)
        begun = (self.folder / LAST).is_file()
        if self.start is not None:
            self.start = self.start.to(self.device)
            self.net = deepcopy(self.start)
        else:
            self.net = (build if begun else untrained)(self.recipe.architecture).to(self.device)
        # Convolutions run faster with the channels last; a module's own method for it is missing from its types.
        self.net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = _averaged(self.net, self.recipe.averaging)
        kind = torch.optim.AdamW if self.recipe.weight_decay else torch.optim.Adam
        # Fused, a step goes over the weights once; otherwise a dozen times.
        self.optimiser = kind(
            self.net.parameters(), lr=self.recipe.learning_rate, weight_decay=self.recipe.weight_decay, fused=True
        )
        self.history: list[dict[str, Any]] = []
        if begun:
            self._resume(self.folder / LAST)

    def fit(self) -> list[dict[str, Any]]:
        """Run the epochs that are left and return the history of all, a dictionary an epoch.

        Raises CallError where the loss or a weight is no longer a number, before that is written down.
        """
        train = training_slices(self.datasets)
        for epoch in range(len(self.history) + 1, self.recipe.epochs + 1):
            if self._should_stop():
                break
            start = monotonic()
            loss = self._epoch(train, epoch)
            told = self._validate()
            if not (checkpoint.is_finite(self._kept()) and math.isfinite(told.get("val_loss", 0.0))):
                raise self._diverged()
            self.history.append({"epoch": epoch, "train_loss": loss, **told, "seconds": monotonic() - start})
            self._save()
            self.on_epoch(self.history[-1])
        return self.history

    def _epoch(self, train: Sequence[Sequence[Sample]], epoch: int) -> float:
        plan = plan_epoch(train, self.recipe, epoch)
        self.net.train()
        total = 0.0
        for step, batch in enumerate(load_epoch(plan, self.recipe)):
            done = (epoch - 1 + step / len(plan)) / self.recipe.epochs
            for group in self.optimiser.param_groups:
                group["lr"] = self.recipe.learning_rate * schedule_factor(self.recipe.schedule, done)
            grey = batch.grey.to(self.device, memory_format=torch.channels_last)
            soft_labels = None if batch.soft_labels is None else batch.soft_labels.to(self.device)
            with mixed_precision(self.device):
                logits = self.net(grey)
            loss = partial_label_loss(logits, batch.allowed.to(self.device), self.recipe.dice_weight, soft_labels)
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimiser.step()
            if self.average is not None:
                self.average.update_parameters(self.net)
            total += loss.item()
            if not math.isfinite(total):
                raise self._diverged()
            self.on_step(Progress(epoch, step + 1, len(plan), total / (step + 1)))
        return total / len(plan)

    def _diverged(self) -> CallError:
        kept = f"{self.folder / BEST} is from epoch {best_epoch(self.history)}" if self.history else "nothing was kept"
        return CallError(
            f"the loss is no longer a number in epoch {len(self.history) + 1}: start again with a "
            f"lower --learning-rate; {kept}"
        )

    def _mean(self) -> nn.Module:
        """The running mean of the weights, or the weights as they are."""
        return self.net if self.average is None else self.average.module

    def _kept(self) -> nn.Module:
        """The weights that count: the mean, moved back by the share of the start that is to be kept."""
        share = self.recipe.start_share
        return self._mean() if self.start is None or not share else blended(self._mean(), self.start, share)

    def _validate(self) -> dict[str, Any]:
        """The figures of an epoch; none where every group trains."""
        judge = Judge(self._kept(), self.recipe, self.device)
        by_dataset = {}
        for data in self.datasets:
            if samples := data.splits["val"]:
                shown = evenly_spread(samples, _VALIDATED_A_DATASET)
                counts = count_errors(judge.mask, shown, data.meaning)
                if (iou := told_iou(counts)) is not None:
                    by_dataset[data.dataset.name] = iou
        if not by_dataset:
            return {}
        mean = sum(by_dataset.values()) / len(by_dataset)
        return {"val_loss": judge.mean_loss, "val_iou": mean, "val_iou_by_dataset": by_dataset}

    def _should_stop(self) -> bool:
        patience = self.recipe.patience
        if not patience or len(self.history) <= patience:
            return False
        ious = [line["val_iou"] for line in self.history]
        return bool(max(ious[-patience:]) <= max(ious[:-patience]))

    def _save(self) -> None:
        kept = Checkpoint(self._kept(), self.recipe, self.training, {"validation": self.history[-1]}, {})
        if best_epoch(self.history) == len(self.history):
            checkpoint.save(kept, self.folder / BEST)
        progress = {
            "history": self.history,
            "weights": self.net.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "averaged_steps": 0 if self.average is None else int(self.average.n_averaged),
            **({"mean": self._mean().state_dict()} if self.recipe.start_share else {}),
        }
        last = Checkpoint(kept.net, self.recipe, self.training, kept.scores, progress)
        checkpoint.save(last, self.folder / LAST)

    def _resume(self, file: Path) -> None:
        last = _load_last(file)
        if missing := [name for name in _PROGRESS if name not in last.progress]:
            raise ModelError(
                f"{file} does not record where its run was (no {missing[0]}): continue from the run's own "
                "last.pt, or begin another run with --start"
            )
        self.net.load_state_dict(last.progress["weights"])
        self.optimiser.load_state_dict(last.progress["optimiser"])
        self.history = list(last.progress["history"])
        if self.average is not None:
            self.average.module.load_state_dict(last.progress.get("mean", last.net.state_dict()))
            self.average.n_averaged.fill_(last.progress["averaged_steps"])


def _load_last(file: Path) -> Checkpoint:
    """The state to continue from; where it is damaged and the best epoch is not, the error names that."""
    try:
        return checkpoint.load(file)
    except ModelError as error:
        best = file.with_name(BEST)
        try:
            checkpoint.load(best)
        except ModelError:
            raise error from None
        raise ModelError(
            f"{error}; its run can't be continued: begin another one in another folder, with --start {best} to build "
            "on it"
        ) from error


def best_epoch(history: Sequence[Mapping[str, Any]]) -> int:
    """The epoch whose weights are kept: the last of those with the highest validation IoU; the last, without any."""
    return max(range(1, len(history) + 1), key=lambda epoch: (history[epoch - 1].get("val_iou", 0.0), epoch))


def schedule_factor(schedule: Schedule, done: float) -> float:
    """The learning rate as a share of its highest, `done` of the run (0..1) being over.

    One-cycle (Smith & Topin 2018): up along a cosine for the first 15 %, then down to nothing.
    """
    if schedule == "constant":
        return 1.0
    rise = 0.15 if schedule == "one-cycle" else 0.0
    if done < rise:
        return 0.04 + 0.96 * (1 - math.cos(math.pi * done / rise)) / 2
    return (1 + math.cos(math.pi * (done - rise) / (1 - rise))) / 2


def _averaged(net: nn.Module, decay: float) -> AveragedModel | None:
    """The running mean of the weights; after few steps that of the last ones, or it would still be where it began."""
    if not decay:
        return None

    def follow(means: Weights, weights: Weights, steps: Tensor | int) -> None:
        rising = (1 + int(steps)) / (10 + int(steps))
        get_ema_multi_avg_fn(min(decay, rising))(means, weights, steps)  # type: ignore[no-untyped-call]

    return AveragedModel(net, multi_avg_fn=follow, use_buffers=True)
