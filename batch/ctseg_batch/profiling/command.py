"""`ctseg profile`: how fast a run on one's own files is, and where its time goes."""

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ctseg.model import DEFAULT_MODEL

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ctseg_batch.profiling.measure import Measured

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

_OPERATORS = 15


@app.command()
def profile(
    inputs: Annotated[
        list[Path], typer.Argument(help="Files or folders of CT, as for `ctseg batch`.", metavar="INPUT")
    ],
    model: Annotated[str, typer.Option(help="A model file, or the name of a shipped model.")] = DEFAULT_MODEL,
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="As for `ctseg batch`.")] = "auto",
    precision: Annotated[Literal["auto", "fp32", "fp16", "int8"], typer.Option(help="As for `ctseg batch`.")] = "auto",
    workers: Annotated[
        int | None, typer.Option(min=1, help="Threads; by default one for each CPU that may be used.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Slices that go through the network at once.")] = 1,
    slices: Annotated[
        int | None, typer.Option(min=1, help="So many of the files at most; by default all of them.")
    ] = None,
    trace: Annotated[
        Path | None, typer.Option(help="Write what each worker did when, for Perfetto or chrome://tracing.")
    ] = None,
    operators: Annotated[bool, typer.Option("--operators", help="Show the costliest nodes of the network.")] = False,
    sweep: Annotated[
        bool, typer.Option("--sweep", help="Try workers, batch sizes and precisions, and name the best call.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON on standard output.")] = False,
) -> None:
    """Run the real pipeline on your files and say how fast it is, and how far from what the machine can do.

    Masks go to a temporary folder and are thrown away.

    Example: ctseg profile scans --slices 500 --sweep
    """
    from ctseg_batch.cpus import usable_cpus
    from ctseg_batch.profiling.measure import first_batch, measure
    from ctseg_batch.profiling.network import costliest
    from ctseg_batch.profiling.recorder import chrome_trace
    from ctseg_batch.profiling.report import operators_table, report, sweep_table
    from ctseg_batch.profiling.sweep import sweep as tried
    from ctseg_batch.run import Call
    from ctseg_batch.table import people_console

    call = Call(inputs, Path(), model=model, device=device, precision=precision, batch_size=batch_size)
    count, console = workers or usable_cpus(), people_console()
    with console.status("measuring"):
        measured = measure(call, count, slices)
        engine, batch = measured.job.engine, first_batch(measured.job, batch_size)
        figures = _figures(measured, batch, count)
        nodes = costliest(engine.file, batch, engine.session.get_providers(), _OPERATORS) if operators else []
        tries = tried(call, measured.job, usable_cpus()) if sweep else []
    if trace:
        _write(trace, chrome_trace(measured.recorder.events, measured.recorder.started))
    figures |= {"operators": [asdict(n) for n in nodes]} if operators else {}
    figures |= {"sweep": [asdict(t) for t in tries]} if sweep else {}
    if as_json:
        sys.stdout.write(json.dumps(figures, indent=2) + "\n")
        return
    console.print(engine.remark, highlight=False)
    for shown in report(figures):
        console.print(shown)
    if operators:
        console.print(operators_table(nodes))
    for shown in sweep_table(tries, [str(i) for i in inputs]) if sweep else ():
        console.print(shown, highlight=False, soft_wrap=True)


def _figures(measured: "Measured", batch: "npt.NDArray[np.float32]", workers: int) -> dict[str, Any]:
    """All figures of a run in plain types; rates of arithmetic count a multiplication with addition as two."""
    from ctseg_batch.profiling.machine import matrix_rate
    from ctseg_batch.profiling.network import count_gmac

    recorder, engine = measured.recorder, measured.job.engine
    stages = recorder.stages()
    gmac = count_gmac(engine.file, batch) / len(batch)
    by_run = 2 * gmac * recorder.slices_per_second
    by_network = 2 * gmac * len(batch) * workers / (stages["infer"].p50_ms / 1000)
    matrix = matrix_rate(workers)
    return {
        "device": engine.device,
        "precision": engine.spec.precision,
        "model": {"name": engine.spec.name, "version": engine.spec.version, "sha256": engine.sha256},
        "workers": workers,
        "batch_size": len(batch),
        "run": {
            "slices": recorder.slices,
            "slices_per_second": recorder.slices_per_second,
            "failed_slices": measured.summary["totals"]["failed_slices"],
            "stages": {name: asdict(times) for name, times in stages.items()},
            "busy_cores": recorder.busy_cores(),
        },
        "roof": {
            "shape": list(batch.shape[2:]),
            "gmac": gmac,
            "gflops": by_run,
            "gflops_infer": by_network,
            "matrix_gflops": matrix,
            "share": by_run / matrix,
            "share_infer": by_network / matrix,
        },
    }


def _write(file: Path, trace: Mapping[str, Any]) -> None:
    from ctseg_batch.files import refused, write_whole

    try:
        write_whole(file, json.dumps(trace).encode())
    except OSError as error:
        raise refused(file, error) from error
