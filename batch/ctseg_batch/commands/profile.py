"""`ctseg profile`: measure how fast a run is, and where its time goes."""

import json
import os
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer

from ctseg.errors import CallError
from ctseg.model import DEFAULT_MODEL
from ctseg.printable import printable
from ctseg.process.replacing import replace_with
from ctseg.process.standard_output import standard_output
from ctseg.reading.files import read_start
from ctseg_batch.choices import MOST_WORKERS, DeviceChoice, PrecisionChoice

_OPERATORS = 15
_TRACE = b'{"displayTimeUnit"'  # how a trace begins


def profile(
    inputs: Annotated[
        list[str], typer.Argument(help="CT files or folders, as for `ctseg batch`, but no URLs.", metavar="INPUT")
    ],
    model: Annotated[
        str, typer.Option(help="Model file, or name of a shipped model.", metavar="MODEL")
    ] = DEFAULT_MODEL,
    device: Annotated[DeviceChoice, typer.Option(help="As for `ctseg batch`.")] = "auto",
    precision: Annotated[PrecisionChoice, typer.Option(help="As for `ctseg batch`.")] = "auto",
    workers: Annotated[
        int | None,
        typer.Option(min=1, max=MOST_WORKERS, help="Threads; by default one per usable CPU."),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Slices per call of the network.")] = 1,
    slices: Annotated[int | None, typer.Option(min=1, help="Maximum number of slices; by default all.")] = None,
    trace: Annotated[
        Path | None, typer.Option(help="Write a timeline of the workers, for Perfetto or chrome://tracing.")
    ] = None,
    operators: Annotated[
        bool, typer.Option("--operators", help="Show the most expensive nodes of the network.")
    ] = False,
    sweep: Annotated[
        bool,
        typer.Option("--sweep", help="Try numbers of workers, batch sizes and precisions, and name the best call."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON on standard output.")] = False,
) -> None:
    """Measure the real pipeline on your files: how fast it is, and how close to what the machine can do.

    Masks go to a temporary folder that is removed.

    Example: ctseg profile scans --slices 500 --sweep
    """
    from rich.text import Text

    from ctseg.process.progress import busy
    from ctseg.process.signals import raised, status_of
    from ctseg_batch.call import Call
    from ctseg_batch.cpus import usable_cpus
    from ctseg_batch.job import open_job
    from ctseg_batch.profiling.figures import figures_of
    from ctseg_batch.profiling.measure import first_batch, measure, warm_up
    from ctseg_batch.profiling.network import costliest
    from ctseg_batch.profiling.recorder import chrome_trace
    from ctseg_batch.profiling.report import operators_table, report, sweep_table
    from ctseg_batch.profiling.sweep import engines_for
    from ctseg_batch.profiling.sweep import sweep as tried
    from ctseg_batch.terminal.console import people_console
    from ctseg_batch.url import Url, location

    locations = [location(one) for one in inputs]
    for one in locations:
        if isinstance(one, Url):
            raise CallError(f"{one}: only files on this machine can be measured, not URLs")
    if trace:
        _check_trace(trace)
    count, console = workers or usable_cpus(), people_console()
    nowhere = Path(tempfile.gettempdir(), f"ctseg-profile-{os.getpid()}")  # each run gets a folder of its own
    call = Call(
        locations, nowhere, model=model, device=device, precision=precision, workers=count, batch_size=batch_size
    )
    began = time.perf_counter()
    job = replace(open_job(call), most=slices)
    start_up = time.perf_counter() - began
    try:
        with raised(), busy(console, "measuring"):
            engines = list(engines_for(job)) if sweep else []
            batch = first_batch(job, batch_size)
            warmed = warm_up(job)
            measured = measure(job)
            figures = {"start_up_s": start_up, **figures_of(measured, warmed, job, batch, count)}
            providers = job.engine.session.get_providers()
            nodes = costliest(job.engine.file, batch, providers, _OPERATORS) if operators else []
            tries = tried(job, engines, usable_cpus()) if sweep else []
    except KeyboardInterrupt as stopped:
        raise typer.Exit(status_of(stopped)) from None
    figures |= {"operators": [asdict(node) for node in nodes]} if operators else {}
    figures |= {"sweep": [asdict(one) for one in tries]} if sweep else {}
    if as_json:
        with standard_output() as stream:
            stream.write(json.dumps(figures, indent=2) + "\n")
    else:
        console.print(Text(printable(job.engine.remark)))
        for shown in report(figures):
            console.print(shown)
        if operators:
            console.print(operators_table(nodes))
        for shown in sweep_table(tries, call) if sweep else ():
            console.print(shown, highlight=False, soft_wrap=True)
    if trace:
        replace_with(trace, json.dumps(chrome_trace(measured.recorder.events)).encode())


def _check_trace(file: Path) -> None:
    """Raise CallError if no trace can be written there, or if there is a file that is not a trace."""
    if os.path.isdir(file):  # noqa: PTH112 - Path.is_dir raises where a folder on the way may not be entered
        raise CallError(f"--trace {file}: it is a folder; name a file in it")
    if not os.access(file.parent, os.W_OK):
        raise CallError(f"--trace {file}: its folder does not exist or is not writable")
    if os.path.lexists(file) and read_start(file, len(_TRACE)) != _TRACE:
        raise CallError(f"--trace {file}: it exists and is not a trace by ctseg; name another file")
