"""`ctseg batch`: a run from the command line."""

import os
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Annotated

import typer

from ctseg.errors import CallError
from ctseg.model import DEFAULT_MODEL
from ctseg.settings import origins
from ctseg.spacing import as_spacing
from ctseg.window import as_window
from ctseg_batch.choices import DEFAULT_KIND, MOST_WORKERS, DeviceChoice, DriverChoice, MeasuresChoice, PrecisionChoice
from ctseg_batch.inputs.path_list import read_paths

_SCANS, _WRITTEN, _SPEED, _MACHINES = "Which scans", "What is written", "Speed", "Several machines"


def batch(
    context: typer.Context,
    out: Annotated[
        str, typer.Option(help="Output folder or URL: masks/, summary.json, summary.csv, slices.csv.", metavar="OUT")
    ],
    inputs: Annotated[
        list[str] | None,
        typer.Argument(help="CT files, folders (searched recursively) or URLs.", metavar="INPUT"),
    ] = None,
    truth: Annotated[
        str | None,
        typer.Option(help="Folder of reference masks, laid out like the input, for IoU and Dice.", metavar="PATH"),
    ] = None,
    model: Annotated[
        str, typer.Option(help="Model file, or name of a shipped model.", metavar="MODEL")
    ] = DEFAULT_MODEL,
    device: Annotated[
        DeviceChoice,
        typer.Option(help="auto: CUDA if it works, else the CPU.", rich_help_panel=_SPEED),
    ] = "auto",
    precision: Annotated[
        PrecisionChoice,
        typer.Option(help="auto: fp32 on the CPU, fp16 on CUDA.", rich_help_panel=_SPEED),
    ] = "auto",
    workers: Annotated[
        int | None,
        typer.Option(min=1, max=MOST_WORKERS, help="Threads; by default one per usable CPU.", rich_help_panel=_SPEED),
    ] = None,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Slices per call of the network; 1 is best on a CPU.", rich_help_panel=_SPEED)
    ] = 1,
    spacing: Annotated[
        str | None,
        typer.Option(
            help="Slice, row and column spacing in mm, for files that don't give it.",
            metavar="Z,Y,X",
            rich_help_panel=_SCANS,
        ),
    ] = None,
    window: Annotated[
        str | None,
        typer.Option(
            help="Window in HU that 8-bit slices were saved in, e.g. -600,1500; by default they are taken as they are.",
            metavar="CENTRE,WIDTH",
            rich_help_panel=_SCANS,
        ),
    ] = None,
    write: Annotated[
        list[str] | None,
        typer.Option(
            help="Outputs to write, separated by commas: mask, overlay, confidence, nifti, dicom-seg; repeatable; "
            f"by default {DEFAULT_KIND}.",
            metavar="KIND,...",
            rich_help_panel=_WRITTEN,
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Redo what was done before.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and write nothing.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print summary.json on standard output.", rich_help_panel=_WRITTEN)
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Report failures only.")] = False,
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose", "-v", help="Report each scan as it finishes, the settings used, and where time was spent."
        ),
    ] = False,
    listed: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="File with further INPUTs, one per line or NUL-separated; - reads standard input.",
            metavar="FILE",
            rich_help_panel=_SCANS,
        ),
    ] = None,
    root: Annotated[
        str | None,
        typer.Option(
            help="Folder that scan names are relative to; by default the deepest one that contains all INPUTs.",
            metavar="PATH",
            rich_help_panel=_SCANS,
        ),
    ] = None,
    series_filter: Annotated[
        list[str] | None,
        typer.Option(
            help="Only DICOM series that meet it, e.g. 'thickness<=2', 'description~lung', "
            "'kernel=B70f|B60f', 'slices>=40'; repeatable: all must be met.",
            metavar="CONDITION",
            rich_help_panel=_SCANS,
        ),
    ] = None,
    best_series: Annotated[
        bool,
        typer.Option(
            "--best-series",
            help="One DICOM series per study: the finest of those that cover the chest.",
            rich_help_panel=_SCANS,
        ),
    ] = False,
    report: Annotated[
        bool,
        typer.Option("--report", help="Also write report.html: tables, charts and pictures.", rich_help_panel=_WRITTEN),
    ] = False,
    measures: Annotated[
        MeasuresChoice,
        typer.Option(
            help="full adds for stacks: each lung, thirds, HU, mass, severity, lesions; "
            "with --truth also surface distances.",
            rich_help_panel=_WRITTEN,
        ),
    ] = "basic",
    parquet: Annotated[
        bool, typer.Option("--parquet", help="Also write the tables as Parquet.", rich_help_panel=_WRITTEN)
    ] = False,
    shard: Annotated[
        str | None,
        typer.Option(
            help="Do only shard I of N; `ctseg summarize OUT --out OUT` joins them.",
            metavar="I/N",
            rich_help_panel=_MACHINES,
        ),
    ] = None,
    engine: Annotated[
        DriverChoice,
        typer.Option(help="ray: run on the workers of a Ray cluster.", rich_help_panel=_MACHINES),
    ] = "local",
    address: Annotated[
        str | None,
        typer.Option(
            help="Address of the Ray cluster, or auto for a running one; by default one is started on this machine.",
            metavar="ADDRESS",
            rich_help_panel=_MACHINES,
        ),
    ] = None,
    gpus_per_worker: Annotated[
        float,
        typer.Option(
            min=0, help="Fraction of a GPU per cluster worker, e.g. 0.25; 0 runs on CPUs.", rich_help_panel=_MACHINES
        ),
    ] = 0.0,
) -> None:
    """Segment folders of CT: a mask for every slice, volumes and involvement for every scan.

    A DICOM series, an enhanced CT file, a volume file or a folder of images is one scan. A repeated call does
    only what is missing or has changed.

    Exit status: 0 success, 1 some input failed or has no reference mask at all, 2 the call was wrong or nothing could
    be read, 130 interrupted.

    Example: ctseg batch scans --out results

    Example: ctseg batch scans --out results --truth masks --write mask,overlay
    """
    from ctseg_batch.call import Call
    from ctseg_batch.commands.batch_output import run_verbosely, show_plan, show_summary
    from ctseg_batch.shards import Shard
    from ctseg_batch.url import location, path_here

    if write:
        _check_commas(inputs or (), write)
    if not inputs and listed is None:
        raise CallError("give at least one INPUT, or --from with a file that lists them")
    if quiet and verbose:
        set_elsewhere = origins(context).keys() & {"quiet", "verbose"}  # what was typed goes before that
        if len(set_elsewhere) != 1:
            raise CallError("--quiet and --verbose contradict each other: leave one out")
        quiet, verbose = "quiet" not in set_elsewhere, "verbose" not in set_elsewhere
    call = Call(
        inputs=[location(one) for one in inputs or []],
        out=location(out),
        truth=None if truth is None else path_here(truth, "--truth"),
        model=model,
        device=device,
        precision=precision,
        workers=workers,
        batch_size=batch_size,
        spacing=None if spacing is None else as_spacing(spacing, f"--spacing {spacing}"),
        window=None if window is None else as_window(window, f"--window {window}"),
        write=[DEFAULT_KIND] if write is None else [kind.strip() for kinds in write for kind in kinds.split(",")],
        overwrite=overwrite,
        listed=[] if listed is None else read_paths(listed),
        root=None if root is None else location(root),
        series_filter=series_filter or [],
        best_series=best_series,
        report=report,
        measures=measures,
        parquet=parquet,
        shard=None if shard is None else Shard.parse(shard),
        driver=engine,
        address=address,
        gpus_per_worker=gpus_per_worker,
    )
    if dry_run:
        show_plan(call, as_json=as_json, quiet=quiet)
        return
    from ctseg.process.signals import raised, status_of
    from ctseg_batch.parts.workers import any_at_work
    from ctseg_batch.run import run
    from ctseg_batch.terminal.console import people_console
    from ctseg_batch.terminal.watch import ConsoleWatcher
    from ctseg_batch.watcher import Watcher

    console = people_console()
    try:
        with raised():
            if verbose:
                summary = run_verbosely(call, console, origins(context))
            else:
                with nullcontext(Watcher()) if quiet else ConsoleWatcher(console) as watcher:
                    summary = run(call, watcher)
            show_summary(summary, console, as_json=as_json, quiet=quiet)
    except KeyboardInterrupt as stopped:
        same_call = "the same call without --overwrite" if overwrite else "the same call"
        console.print(f"interrupted: finished scans are kept, and {same_call} does the others")
        status = status_of(stopped)
        if any_at_work():  # after a second Ctrl-C; a thread inside a library could keep the interpreter from exiting
            os._exit(status)
        raise typer.Exit(status) from None


def _check_commas(inputs: Sequence[str], write: Sequence[str]) -> None:
    """Raise CallError for `--write mask overlay`, by which `overlay` becomes an INPUT."""
    from ctseg_batch.outputs.outputs import KINDS

    kinds = [one for one in inputs if one in KINDS and not os.path.exists(one)]  # noqa: PTH110
    if kinds:
        raise CallError(f"{kinds[0]}: kinds of output are separated by commas: --write {','.join([*write, *kinds])}")
