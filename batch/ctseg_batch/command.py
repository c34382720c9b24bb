"""`ctseg batch`: the face of a run on the command line."""

import os
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Literal

import typer

from ctseg.errors import CallError
from ctseg.model import DEFAULT_MODEL
from ctseg.scan import Spacing
from ctseg.settings import origins
from ctseg_batch.inputs.path_list import read_paths

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

INTERRUPTED = 130


@app.command()
def batch(
    context: typer.Context,
    out: Annotated[str, typer.Option(help="The folder for masks/, summary.json, summary.csv, slices.csv; or a URL.")],
    inputs: Annotated[
        list[str] | None,
        typer.Argument(help="Files or folders of CT, or URLs; folders are searched recursively.", metavar="INPUT"),
    ] = None,
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
        str,
        typer.Option(
            help="What to write, several at once: mask, overlay, confidence, nifti, dicom-seg.", metavar="KIND,..."
        ),
    ] = "mask",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Do again what was done before.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and write nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print summary.json on standard output.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but what failed.")] = False,
    verbose: Annotated[
        bool,
        typer.Option("--verbose", "-v", help="Tell of each scan as it ends, what was chosen, where the time went."),
    ] = False,
    listed: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="A file that lists further INPUTs, a line each, or separated by NUL bytes; - is standard input.",
            metavar="FILE",
        ),
    ] = None,
    root: Annotated[
        str | None,
        typer.Option(help="The folder that scans are named from; by default the deepest that holds all INPUTs."),
    ] = None,
    series_filter: Annotated[
        list[str] | None,
        typer.Option(
            help="Only the DICOM series for which it holds, like 'thickness<=2', 'description~lung', "
            "'kernel=B70f|B60f', 'slices>=40'; may be repeated, and then all must hold.",
            metavar="CONDITION",
        ),
    ] = None,
    best_series: Annotated[
        bool,
        typer.Option("--best-series", help="One DICOM series a study: of those that cover the chest, the finest."),
    ] = False,
    report: Annotated[
        bool, typer.Option("--report", help="Write report.html at the end, for people to look at.")
    ] = False,
    measures: Annotated[
        Literal["basic", "full"],
        typer.Option(help="full adds, of scans that are stacks: lungs, thirds, HU, mass, severity, lesions, surfaces."),
    ] = "basic",
    parquet: Annotated[bool, typer.Option("--parquet", help="Write the tables as Parquet too.")] = False,
    shard: Annotated[
        str | None,
        typer.Option(help="Do share I of N alone; `ctseg summarize OUT` joins the shares.", metavar="I/N"),
    ] = None,
    engine: Annotated[
        Literal["local", "ray"], typer.Option(help="ray has the workers of a Ray cluster do it.")
    ] = "local",
    address: Annotated[
        str | None,
        typer.Option(help="The Ray cluster: auto is this machine's; without, one is made of this machine alone."),
    ] = None,
    gpus_per_worker: Annotated[
        float, typer.Option(min=0, help="Of a GPU, for each worker of a cluster, like 0.25; 0 labels on CPUs.")
    ] = 0.0,
) -> None:
    """Segment folders of CT: a mask for every slice, volumes and involvement for every scan.

    A DICOM series, an enhanced CT, a volume file or a folder of images is one scan. The same call does only what is
    missing or has changed. Exit status: 0 all well, 1 some input failed, 2 the call was wrong or nothing could be read.

    Example: ctseg batch scans --out results --write mask,overlay
    """
    from ctseg_batch.call import Call
    from ctseg_batch.shards import Shard
    from ctseg_batch.terminal.telling import run_telling, run_watched, tell, tell_plan
    from ctseg_batch.url import location

    if not inputs and listed is None:
        raise CallError("name an INPUT, or a file that lists them by --from")
    if quiet and verbose:
        raise CallError("--quiet and --verbose contradict each other: leave one out")
    call = Call(
        inputs=[location(one) for one in inputs or []],
        out=location(out),
        truth=truth,
        model=model,
        device=device,
        precision=precision,
        workers=workers,
        batch_size=batch_size,
        spacing=parse_spacing(spacing),
        write=[kind.strip() for kind in write.split(",")],
        overwrite=overwrite,
        listed=[] if listed is None else read_paths(listed),
        root=None if root is None else location(root),
        series_filter=series_filter or [],
        best_series=best_series,
        report=report,
        measures=measures,
        parquet=parquet,
        shard=None if shard is None else Shard.parse(shard),
        engine=engine,
        address=address,
        gpus_per_worker=gpus_per_worker,
    )
    if dry_run:
        tell_plan(call, as_json=as_json)
        return
    from ctseg_batch.parts.workers import any_at_work
    from ctseg_batch.signals import Terminated, raised
    from ctseg_batch.terminal.table import people_console
    from ctseg_batch.terminal.watch import ConsoleWatcher, SilentWatcher

    console = people_console()
    try:
        with raised():
            if verbose:
                summary = run_telling(call, console, origins(context))
            else:
                summary = run_watched(call, nullcontext(SilentWatcher()) if quiet else ConsoleWatcher(console))
            tell(summary, console, as_json=as_json, quiet=quiet)
    except KeyboardInterrupt as stopped:
        console.print("interrupted: what was finished is kept, and the same call goes on from there")
        status = stopped.status if isinstance(stopped, Terminated) else INTERRUPTED
        if any_at_work():  # a second Ctrl-C; a thread within a library may keep the interpreter from ending
            os._exit(status)
        raise typer.Exit(status) from None


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
