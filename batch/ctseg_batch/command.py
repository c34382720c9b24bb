"""`ctseg batch`: the face of a run on the command line."""

import json
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ctseg.errors import CallError
from ctseg.model import DEFAULT_MODEL
from ctseg.scan import Spacing

if TYPE_CHECKING:
    from rich.console import Console

    from ctseg_batch.job import Call
    from ctseg_batch.run import Watcher
    from ctseg_batch.summary import Summary

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

INTERRUPTED = 130


@app.command()
def batch(
    inputs: Annotated[
        list[Path],
        typer.Argument(help="Files or folders of CT; folders are searched recursively.", metavar="INPUT"),
    ],
    out: Annotated[Path, typer.Option(help="The folder for masks/, summary.json, summary.csv, slices.csv.")],
    truth: Annotated[
        Path | None, typer.Option(help="A folder of masks that mirrors the input, for IoU and Dice.")
    ] = None,
    model: Annotated[str, typer.Option(help="A model file, or the name of a shipped model.")] = DEFAULT_MODEL,
    device: Annotated[
        Literal["auto", "cpu", "cuda"], typer.Option(help="auto takes CUDA where it works, else the CPU.")
    ] = "auto",
    precision: Annotated[
        Literal["auto", "fp32", "fp16", "int8"], typer.Option(help="auto is fp32 on the CPU, fp16 on CUDA.")
    ] = "auto",
    workers: Annotated[
        int | None, typer.Option(min=1, help="Threads; by default one for each CPU that may be used.")
    ] = None,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Slices that go through the network at once: 1 is best on a CPU.")
    ] = 1,
    spacing: Annotated[
        str | None,
        typer.Option(help="Distance of slices, rows and columns in mm, where the files don't say.", metavar="Z,Y,X"),
    ] = None,
    write: Annotated[
        str, typer.Option(help="What to write, several at once: mask, overlay, confidence.", metavar="KIND,...")
    ] = "mask",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Do again what was done before.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and write nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print summary.json on standard output.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Say nothing but what failed.")] = False,
    measures: Annotated[
        Literal["basic", "full"],
        typer.Option(help="full adds, of scans that are stacks: lungs, thirds, HU, mass, severity, lesions, surfaces."),
    ] = "basic",
    parquet: Annotated[bool, typer.Option("--parquet", help="Write the tables as Parquet too.")] = False,
) -> None:
    """Segment folders of CT: a mask for every slice, volumes and involvement for every scan.

    A DICOM series, a NIfTI file or a folder of images is one scan. The same call does only what is missing or has
    changed. Exit status: 0 all well, 1 some input failed, 2 the call was wrong or nothing could be read.

    Example: ctseg batch scans --out results --write mask,overlay
    """
    from ctseg_batch.job import Call

    call = Call(
        inputs=inputs,
        out=out,
        truth=truth,
        model=model,
        device=device,
        precision=precision,
        workers=workers,
        batch_size=batch_size,
        spacing=parse_spacing(spacing),
        write=[kind.strip() for kind in write.split(",")],
        overwrite=overwrite,
        measures=measures,
        parquet=parquet,
    )
    if dry_run:
        _tell_plan(call, as_json=as_json)
        return
    from ctseg_batch.signals import Terminated, raised
    from ctseg_batch.table import people_console

    console = people_console()
    try:
        with raised():
            summary = _run(call, console, quiet=quiet)
    except KeyboardInterrupt as stopped:
        console.print("interrupted: what was finished is kept, and the same call goes on from there")
        raise typer.Exit(stopped.status if isinstance(stopped, Terminated) else INTERRUPTED) from None
    _tell(summary, console, as_json=as_json, quiet=quiet)


def parse_spacing(text: str | None) -> Spacing | None:
    """Three lengths in mm, `2,0.7,0.7`; raises CallError for anything else."""
    if text is None:
        return None
    try:
        z, y, x = (float(part) for part in text.split(","))
    except ValueError:
        z = y = x = 0.0
    if not all(0 < step < 1000 for step in (z, y, x)):
        raise CallError(f"--spacing {text}: give three lengths in mm, slices, rows, columns, like 2,0.7,0.7")
    return z, y, x


def _run(call: "Call", console: "Console", *, quiet: bool) -> "Summary":
    from ctseg_batch.run import run
    from ctseg_batch.watch import ConsoleWatcher, SilentWatcher

    shown: AbstractContextManager[Watcher] = nullcontext(SilentWatcher()) if quiet else ConsoleWatcher(console)
    with shown as watcher:
        return run(call, watcher)


def _tell(summary: "Summary", console: "Console", *, as_json: bool, quiet: bool) -> None:
    """The summary on the terminal, or what failed alone; and the exit status."""
    from ctseg_batch.summary import exit_status, to_json
    from ctseg_batch.table import failures, report

    for shown in failures(summary) if quiet else report(summary, console.width):
        console.print(shown, highlight=False)
    if as_json:
        sys.stdout.write(to_json(summary))
    raise typer.Exit(exit_status(summary))


def _tell_plan(call: "Call", *, as_json: bool) -> None:
    """A line a scan: how many slices are to be done, how many were done before."""
    from ctseg_batch.run import plan
    from ctseg_batch.table import people_console, plan_table

    scans: dict[str, dict[str, int]] = {}
    for name, slices, is_todo in plan(call):
        counts = scans.setdefault(name, {"slices": 0, "to_do": 0})
        counts["slices"] += slices
        counts["to_do"] += slices * is_todo
    if as_json:
        sys.stdout.write(json.dumps({"scans": [{"scan": name, **n} for name, n in scans.items()]}, indent=2) + "\n")
    else:
        people_console().print(plan_table(scans))
