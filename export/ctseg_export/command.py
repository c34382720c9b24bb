"""`ctseg export`: a checkpoint of `ctseg train` becomes a model file."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ctseg.errors import CallError
from ctseg.printable import printable

if TYPE_CHECKING:
    from ctseg_export import Exported

SLICES = {"fp32": 12, "fp16": 12, "int8": 96}
"""How many slices of the folder are taken."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def export(
    checkpoint: Annotated[Path, typer.Argument(help="The file that `ctseg train` wrote: RUN/best.pt.")],
    out: Annotated[
        Path, typer.Option(help="The file to write: MODEL.onnx, by custom, MODEL.fp16.onnx for half precision.")
    ],
    precision: Annotated[
        Literal["fp32", "fp16", "int8"],
        typer.Option(help="Of the weights and of what is computed with them. int8 needs --slices."),
    ] = "fp32",
    name: Annotated[str | None, typer.Option(help="The model's name, instead of its recipe's.")] = None,
    model_version: Annotated[str, typer.Option(help="Which version of that name it is.")] = "1",
    licence: Annotated[
        str | None, typer.Option(help="The weights' licence, instead of the training data's terms.")
    ] = None,
    slices: Annotated[
        Path | None,
        typer.Option(
            help="A folder of real CT to compare on as well; int8 is compared on every second of its slices alone, and "
            "takes the range of its values from the others.",
            exists=True,
            file_okay=False,
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it is there.")] = False,
) -> None:
    """Turn a checkpoint into a self-describing ONNX file.

    The file is compared with the network that it is made of, on a phantom, on noise and on the real slices given
    (int8: on every second of these alone, which must show lung), and is written only if the two agree.

    Example: ctseg export runs/light/best.pt --out light.onnx
    """
    if out.exists() and not overwrite:
        raise CallError(f"{out} is there already: name another file, or replace it by --overwrite")
    from ctseg_export import export_model
    from ctseg_export.real_slices import real_slices

    exported = export_model(
        checkpoint,
        out,
        precision=precision,
        name=name,
        version=model_version,
        licence=licence,
        slices=real_slices(slices, SLICES[precision]) if slices else (),
    )
    console = Console(soft_wrap=True)
    console.print(_table(exported))
    console.print(Text(printable(f"{out} is written; next: ctseg inspect {out}")))


def _table(exported: "Exported") -> Table:
    """What was found, beside what is allowed."""
    found, limits = exported.difference, exported.limits
    table = Table(title=f"The file beside its network, on {found.slices} slices")
    table.add_column("largest difference")
    table.add_column("found", justify="right")
    table.add_column("allowed", justify="right")
    table.add_row("of a logit", f"{found.logit:.2g}", f"{limits.logit:g}" if math.isfinite(limits.logit) else "any")
    table.add_row("pixels labelled otherwise", f"{found.label_share:.4%}", f"{limits.label_share:.4%}")
    return table
