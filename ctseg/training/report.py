"""What is shown of a training run: the progress, curves and panels."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from time import monotonic
from typing import Any, Self

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text
from torch import nn

from ctseg.classes import BACKGROUND, CLASSES, LUNG, bits
from ctseg.prepare import to_grey
from ctseg.printable import printable, span
from ctseg.process.progress import redraws
from ctseg.process.replacing import replace_with
from ctseg.spread import evenly_spread
from ctseg.training import fit
from ctseg.training.predictor import predictor
from ctseg.training.recipe import Recipe
from ctseg.training.samples import Sample, Samples
from ctseg.training.score import label

_BETWEEN_LINES_S = 60.0
_DOTS: dict[str, Any] = {"marker": "o", "markersize": 2.5}


class FitProgress:
    """A line per epoch, and the remaining time: beside a bar or, without a terminal, in a line a minute."""

    def __init__(self, console: Console, epochs: int, clock: Callable[[], float] = monotonic) -> None:
        self._console, self._epochs, self._clock = console, epochs, clock
        self._then, self._done_then = clock(), -1
        self._bar = Progress(
            TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]:.3f}"),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=console,
            disable=not redraws(console),
        )
        self._task = self._bar.add_task("", total=None, epoch=1, epochs=epochs, loss=float("nan"))

    def __enter__(self) -> Self:
        """Show the bar."""
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the bar."""
        self._bar.stop()

    def on_step(self, now: fit.Progress) -> None:
        """After a step."""
        total, done = self._epochs * now.steps, (now.epoch - 1) * now.steps + now.step
        self._bar.update(self._task, total=total, completed=done, epoch=now.epoch, loss=now.loss)
        if self._done_then < 0:  # a continued run has done more than this first step
            self._done_then = done - 1
        elapsed = self._clock() - self._then
        if elapsed >= _BETWEEN_LINES_S and not redraws(self._console):
            left = span((total - done) * elapsed / (done - self._done_then))
            self._then, self._done_then = self._then + elapsed, done
            where = f"epoch {now.epoch}/{self._epochs}: step {now.step} of {now.steps}"
            self._console.print(Text(f"{where}, loss {now.loss:.3f}, {left} left"), soft_wrap=True)

    def on_epoch(self, line: Mapping[str, Any]) -> None:
        """After an epoch."""
        validated = ""
        if "val_iou" in line:
            each = ", ".join(f"{name} {iou:.3f}" for name, iou in line["val_iou_by_dataset"].items())
            validated = f", validation loss {line['val_loss']:.3f}, IoU {line['val_iou']:.3f} ({each})"
        told = (
            f"epoch {line['epoch']}/{self._epochs}: loss {line['train_loss']:.3f}{validated}, {line['seconds']:.0f} s"
        )
        self._console.print(Text(printable(told)), soft_wrap=True)


def draw_curves(history: Sequence[Mapping[str, Any]], file: Path) -> None:
    """Loss and, if groups were held back, validation IoU over the epochs, as a PNG."""
    epochs = [line["epoch"] for line in history]
    with mpl.rc_context(
        {"axes.spines.top": False, "axes.spines.right": False, "font.size": 9, "text.parse_math": False}
    ):
        figure = Figure(figsize=(10, 4), layout="constrained")
        FigureCanvasAgg(figure)
        validated = "val_iou" in history[0]
        losses, *others = figure.subplots(1, 1 + validated, squeeze=False)[0]
        losses.plot(epochs, [line["train_loss"] for line in history], label="training", **_DOTS)
        losses.set(xlabel="epoch", title="Loss")
        for ious in others:
            _draw_validation(history, losses, ious)
        for axes in (losses, *others):
            axes.legend(frameon=False)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        _save(figure, file, dpi=150)


def _draw_validation(history: Sequence[Mapping[str, Any]], losses: Axes, ious: Axes) -> None:
    epochs = [line["epoch"] for line in history]
    losses.plot(epochs, [line["val_loss"] for line in history], label="validation", **_DOTS)
    names = list(history[0]["val_iou_by_dataset"])
    for name in names if len(names) > 1 else ():
        by_epoch = [line["val_iou_by_dataset"][name] for line in history]
        ious.plot(epochs, by_epoch, lw=1, alpha=0.7, label=printable(name), **_DOTS)
    ious.plot(epochs, [line["val_iou"] for line in history], color="black", label="mean", **_DOTS)
    best = history[fit.best_epoch(history) - 1]
    ious.axvline(best["epoch"], color="grey", lw=0.8, ls=":")
    side = "right" if 2 * best["epoch"] > len(history) else "left"
    ious.annotate(f" best: {best['val_iou']:.3f}, epoch {best['epoch']} ", (best["epoch"], 0.03), ha=side)
    ious.set(xlabel="epoch", title="Validation IoU, mean of the classes in the reference", ylim=(0, 1))


def draw_panels(net: nn.Module, recipe: Recipe, datasets: Sequence[Samples], device: torch.device, file: Path) -> None:
    """Input, truth and prediction of some test (else validation, else training) slices side by side, as a PNG."""
    predict = predictor(net.to(device), device)
    rows = [
        (sample, label(predict, sample, recipe.preparation, recipe.cleanup))
        for data in datasets
        for sample in telling_slices(data.splits["test"] or data.splits["val"] or data.splits["train"])
    ]
    figure = Figure(figsize=(9, 3.1 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(rows), 3, squeeze=False)
    for row, (sample, predicted) in zip(axes, rows, strict=True):
        grey = np.clip(to_grey(sample.image, recipe.preparation.window), 0, 255).astype(np.uint8)
        pictures = (
            np.stack([grey] * 3, axis=-1),
            _tint(grey, _colours_of_sets()[sample.allowed]),
            _tint(grey, np.array([c.colour for c in CLASSES], np.uint8)[predicted]),
        )
        for axis, picture in zip(row, pictures, strict=True):
            axis.imshow(picture)
            axis.set_axis_off()
        name = printable(f"{sample.dataset} {sample.group}/{sample.file.name}")
        row[0].set_title(name, fontsize=8, loc="left", parse_math=False)
        row[1].set_title("reference", fontsize=8)
        row[2].set_title("prediction", fontsize=8)
    swatches = [Patch(color="#{:02x}{:02x}{:02x}".format(*c.colour), label=c.title) for c in LUNG]
    figure.legend(handles=swatches, loc="outside lower center", ncols=len(swatches), frameon=False)
    _save(figure, file, dpi=100)


def telling_slices(samples: Sequence[Sample]) -> list[Sample]:
    """Four slices or less, spread evenly over the half that shows most lung for certain: not the ends of the lungs."""
    lung = [np.count_nonzero(sample.allowed & bits([BACKGROUND]) == 0) for sample in samples]
    least = np.median(lung) if lung else 0
    return evenly_spread([sample for sample, own in zip(samples, lung, strict=True) if own >= least], 4)


def _save(figure: Figure, file: Path, dpi: int) -> None:
    content = BytesIO()
    with warnings.catch_warnings():  # letters that the font lacks become boxes
        warnings.filterwarnings("ignore", r"Glyph \d+ ", UserWarning)
        figure.savefig(content, dpi=dpi, format=file.suffix[1:])
    replace_with(file, content.getvalue())


def _colours_of_sets() -> npt.NDArray[np.uint8]:
    """A colour for each bit field of classes: the mean colour of its classes."""
    table = np.zeros((256, 3), np.uint8)
    for field in range(1, 1 << len(CLASSES)):
        table[field] = np.mean([c.colour for c in CLASSES if field & bits([c])], axis=0)
    return table


def _tint(grey: npt.NDArray[np.uint8], colours: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    mixed = 0.6 * grey[..., None] + 0.4 * colours
    return np.where(colours.any(axis=-1, keepdims=True), mixed, grey[..., None]).astype(np.uint8)
