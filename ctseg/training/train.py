"""`ctseg train`: from data sets to a run folder with checkpoints, curves, panels and figures."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from ctseg.datasets.dataset import read_datasets
from ctseg.errors import CallError, DeviceError, require
from ctseg.process.claim import claim
from ctseg.process.signals import raised, status_of, uninterrupted
from ctseg.training.checks import check_enough, doubts
from ctseg.training.recipe import Preset, Schedule, choose_recipe, logit_offsets
from ctseg.training.results import warn
from ctseg.training.run import run
from ctseg.training.run_folder import begin, check_resumable, provenance, record_of
from ctseg.training.samples import Samples, check_known, load_samples

_Device = Literal["auto", "cpu", "cuda"]

LOCK = ".lock"


def train(
    datasets: Annotated[
        list[Path],
        typer.Argument(
            help="Folders with a dataset.json, or with image/<patient>/ beside mask/<patient>/.", metavar="DATASET"
        ),
    ],
    out: Annotated[Path, typer.Option(help="Run folder: checkpoints, curves, panels, metrics.json.")],
    preset: Annotated[
        Preset,
        typer.Option(
            help="Recipe. light: a small network, for use; teacher: a larger one, to distil; seed: the classic U-Net."
        ),
    ] = "light",
    epochs: Annotated[int | None, typer.Option(min=1, help="Number of epochs; by default the recipe's.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Slices per step; by default the recipe's.")] = None,
    learning_rate: Annotated[
        float | None, typer.Option(min=0, help="Highest learning rate; by default the recipe's.")
    ] = None,
    schedule: Annotated[
        Schedule | None,
        typer.Option(
            help="Learning rate schedule: constant, cosine or one-cycle; by default the recipe's.", metavar="SCHEDULE"
        ),
    ] = None,
    canvas: Annotated[
        int | None,
        typer.Option(
            min=32, max=8192, help="Side of the training slices in pixels, a multiple of 32; by default the recipe's."
        ),
    ] = None,
    plain: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Fraction of slices whose grey values stay as they are, by default 0: for a final run that continues "
            "from --start.",
        ),
    ] = None,
    cutmix: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Fraction of slices that get a rectangle of another slice of their data set, by default 0: useful "
            "with few patients.",
        ),
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(min=0, help="Stop after this many epochs without a better IoU; 0, the default: never."),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, max=2**63 - 1, help="Seed of the weights, the batches and the splits.")
    ] = 0,
    validation_group: Annotated[
        list[str] | None,
        typer.Option(help="Group (patient) to validate on, whatever the index says; repeatable."),
    ] = None,
    teacher: Annotated[
        list[str] | None,
        typer.Option(
            help="Checkpoint, model file or shipped model to distil: its soft labels are learnt in "
            "addition to the masks; repeatable."
        ),
    ] = None,
    start: Annotated[
        list[str] | None,
        typer.Option(
            help="Checkpoint, model file or shipped model to start from, by default random weights; repeatable: of "
            "several, the mean of their weights."
        ),
    ] = None,
    start_share: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Weight given to --start when its parameters are averaged with the trained ones (WiSE-FT); by "
            "default 0.",
        ),
    ] = None,
    logit_offset: Annotated[
        list[str] | None,
        typer.Option(
            help="Add to the logit of a class in the network of --start, for more or less of that class: "
            "background=-0.5; repeatable.",
            metavar="CLASS=X",
        ),
    ] = None,
    all_groups: Annotated[
        bool, typer.Option("--all-groups", help="Train on every group and hold none out; keeps the last epoch.")
    ] = False,
    figures_of: Annotated[
        str | None,
        typer.Option(
            help="With --all-groups: a network trained the same way with held-out groups, whose scores and "
            "temperature are recorded; by default a single --start."
        ),
    ] = None,
    device: Annotated[_Device, typer.Option(help="auto: CUDA if there is any, else the CPU.")] = "auto",
    threads: Annotated[
        int | None, typer.Option(min=1, max=1024, help="CPU threads of the network; by default PyTorch's choice.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in OUT.")] = False,
) -> None:
    """Train a U-Net on slices with masks.

    Several data sets may be given at once, also with different mask values. Splits are by group (patient),
    never by slice. A killed run continues with the same call and --resume, to the same result.

    Example: ctseg train data/medseg data/covid_ct_seg --out runs/light

    Example: ctseg train data/mine --start fast --teacher fast --learning-rate 0.001 --epochs 30 --out runs/mine
    """
    with uninterrupted():
        torch = require("torch", "train")
        require("matplotlib", "train")
    if threads:
        torch.set_num_threads(threads)
    changes: dict[str, Any] = {
        "epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate, "schedule": schedule,
        "canvas": canvas, "plain": plain, "cutmix": cutmix, "start_share": start_share,
        "logit_offset": logit_offsets(logit_offset or ()), "patience": patience, "seed": seed,
    }  # fmt: skip
    recipe = choose_recipe(preset, changes)
    if recipe.start_share and not start:
        raise CallError("--start-share averages with the weights of --start, which is not given: name one")
    if recipe.logit_offset and not start:
        raise CallError("--logit-offset changes the network of --start, which is not given: name one")
    console = Console(stderr=True, soft_wrap=True)
    torch_device = choose_device(device)
    if all_groups and (validation_group or recipe.patience):
        raise CallError("--all-groups holds no group out: leave out --validation-group and --patience")
    if figures_of and not all_groups:
        raise CallError("--figures-of is only for --all-groups: a run that holds groups out has figures of its own")
    found = read_datasets(datasets)
    if any(data.holds(out) for data in found):
        raise CallError(f"--out {out}: it is a data set, to which nothing is written: name another folder")
    held_out = None if all_groups else validation_group or ()
    loaded: Sequence[Samples] = [load_samples(data, seed, held_out) for data in found]
    check_known(loaded, validation_group or ())
    if teacher:
        loaded = [data.for_a_teacher() for data in loaded]
    check_enough(loaded, recipe, is_judged=not all_groups)
    for doubt in doubts(loaded):
        warn(doubt, console)
    from ctseg.training.lineage import inherited_datasets, open_lineage, warn_of_what_is_not_inherited

    lineage = open_lineage(start or (), teacher or (), figures_of, recipe, loaded, torch_device, console)
    if all_groups:
        warn_of_what_is_not_inherited(figures_of or " and ".join(start or ()), lineage, console)
    noted = {**({"all_groups": True} if all_groups else {}), **lineage.noted}
    with claim(out, LOCK), _telling_how_to_go_on(console), raised():
        record = record_of({**asdict(recipe), "teachers": [], **noted}, loaded)
        check_resumable(out, record) if resume else begin(out, record)
        own = [provenance(data) for data in loaded]
        training = {"datasets": [*own, *inherited_datasets(lineage.datasets, own)], "seed": recipe.seed, **noted}
        run(recipe, lineage.taught(loaded), training, out, torch_device, console, lineage)


@contextmanager
def _telling_how_to_go_on(console: Console) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as stopped:
        console.print("interrupted: the same call with --resume continues after the last complete epoch")
        raise typer.Exit(status_of(stopped)) from None


def choose_device(wanted: _Device) -> Any:
    """A torch device; raises DeviceError if CUDA is asked for and there is none."""
    import torch

    there = torch.cuda.is_available()
    if wanted == "cuda" and not there:
        raise DeviceError("--device cuda: torch finds no usable CUDA device; --device cpu trains without one")
    return torch.device("cuda" if there and wanted != "cpu" else "cpu")
