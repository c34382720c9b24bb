"""`ctseg export`: turn a checkpoint of `ctseg train` into a model file."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ctseg.errors import CallError, require
from ctseg.model import Precision
from ctseg.printable import printable
from ctseg.process.output_console import OutputConsole
from ctseg.process.signals import uninterrupted
from ctseg.process.standard_output import standard_output
from ctseg.training.network_file import find_network

if TYPE_CHECKING:
    from ctseg_export.export import Exported

SLICES = {"fp32": 12, "fp16": 12, "int8": 96}
"""How many slices of the folder are taken."""


def export(
    checkpoints: Annotated[
        list[str],
        typer.Argument(
            help="Checkpoint written by `ctseg train`: RUN/best.pt; fp32 model files of a single network are accepted "
            "too; of several, the mean is exported.",
            metavar="CHECKPOINT",
        ),
    ],
    out: Annotated[
        Path, typer.Option(help="File to write, usually MODEL.onnx, or MODEL.fp16.onnx for half precision.")
    ],
    precision: Annotated[
        Precision,
        typer.Option(help="Precision of weights and arithmetic; int8 needs --slices."),
    ] = "fp32",
    mirrored: Annotated[
        bool,
        typer.Option(
            "--mirrored",
            help="Take the mean over each slice and its three mirror images: more accurate, at 4 times the cost.",
        ),
    ] = False,
    name: Annotated[str | None, typer.Option(help="Name of the model; by default its recipe's, or ensemble.")] = None,
    model_version: Annotated[str, typer.Option(help="Version of the model.")] = "1",
    licence: Annotated[
        str | None, typer.Option(help="Licence of the weights; by default the training data's terms.")
    ] = None,
    slices: Annotated[
        Path | None,
        typer.Option(
            help="Folder of real CT slices to compare on; with int8, at least 16: half of them calibrate it and the "
            "other half are compared.",
            exists=True,
            file_okay=False,
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it exists.")] = False,
) -> None:
    """Turn a checkpoint into a self-describing ONNX file.

    The file is compared with the network that it is made from, on a phantom, on noise and on the real slices given
    (for int8, only every second one of these, which must show lung), and is written only if the two agree.

    Example: ctseg export runs/light/best.pt --out light.onnx

    Example: ctseg export runs/a/best.pt runs/b/best.pt --mirrored --out both.onnx
    """
    if out.name.endswith(".pt"):  # by which a checkpoint is told from a model
        raise CallError(f"--out {out}: .pt is the ending of checkpoints; name a file that ends in .onnx")
    if out.exists() and not overwrite:
        raise CallError(f"{out} exists already: name another file, or replace it with --overwrite")
    with uninterrupted():
        for module in ("torch", "onnx", "onnxscript"):
            require(module, "export")
        from ctseg_export.export import export_model
        from ctseg_export.real_slices import real_slices

    first, *others = map(find_network, checkpoints)
    exported = export_model(
        first,
        out,
        others=others,
        is_mirrored=mirrored,
        precision=precision,
        name=name,
        version=model_version,
        licence=licence,
        slices=real_slices(slices, SLICES[precision]) if slices else (),
    )
    with standard_output(f"{out} is written") as stream:
        _show(exported, out, OutputConsole(file=stream, soft_wrap=True))


def _show(exported: "Exported", out: Path, console: Console) -> None:
    """What was made, and what to do next."""
    console.print(_table(exported))
    if exported.spec.precision != "int8" and exported.spec.temperature is None:
        remedy = (
            "train with --figures-of, since no group was held out"
            if exported.spec.training.get("all_groups")
            else "export the best.pt of a run that has ended"
        )
        told = f"its network is not calibrated, so the file gives labels but no probabilities; for these, {remedy}"
        console.print(Text(f"warning: {told}"))
    console.print(Text(printable(f"{out} is written; next: ctseg inspect {out}")))


def _table(exported: "Exported") -> Table:
    """The differences that were found, with their limits."""
    found, limits = exported.difference, exported.limits
    table = Table(title=f"The file compared with its network, on {found.slices} slices")
    table.add_column("largest difference")
    table.add_column("found", justify="right")
    table.add_column("allowed", justify="right")
    table.add_row("of a logit", f"{found.logit:.2g}", f"{limits.logit:.2g}" if math.isfinite(limits.logit) else "any")
    table.add_row("pixels labelled differently", f"{found.label_share:.4%}", f"{limits.label_share:.4%}")
    for name, dice in found.dice.items():
        table.add_row(f"Dice of {name}", f"{dice:.4f}", f"at least {limits.dice:g}")
    return table
