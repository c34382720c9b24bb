"""Show a profile as tables."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from ctseg.model import DEFAULT_MODEL
from ctseg.printable import count, printable
from ctseg_batch.call import Call
from ctseg_batch.profiling.network import Operator
from ctseg_batch.profiling.sweep import Try

# Other programs that take more of the cores than this falsify what is measured.
_MUCH = 0.1


def report(figures: Mapping[str, Any]) -> Iterator[RenderableType]:
    """The tables of a run: how fast, where the time goes, how far from the peak."""
    roof, run = figures["roof"], figures["run"]
    table = Table(title="the run", title_justify="left", show_header=False)
    over = f"over {count(run['slices'], 'slice')}, after a warm-up of {run['warm_up_slices']} that is not measured"
    table.add_row("slices/s", f"[bold]{run['slices_per_second']:.1f}[/] {over}")
    if run["failed_slices"]:
        table.add_row("failed", f"[red]{count(run['failed_slices'], 'slice')}[/], which take less time than others")
    table.add_row("start-up", f"{figures['start_up_s']:.2f} s to find the files and open the model")
    table.add_row("workers", f"{figures['workers']}, {count(figures['batch_size'], 'slice')} at once")
    shape = " x ".join(map(str, roof["shape"]))
    table.add_row("network", f"{roof['gmac']:.3f} GMAC for the first slice, fed as {shape}")
    table.add_row("reached", f"{roof['gflops']:.0f} GFLOP/s over the run, {roof['gflops_infer']:.0f} during inference")
    table.add_row("peak here", f"{roof['matrix_gflops']:.0f} GFLOP/s: what NumPy's float32 matrix product reaches")
    if roof["share"] is not None:
        table.add_row("of the peak", _of_the_peak(roof["share"], roof["share_infer"]))
    table.add_row("cores busy", "  ".join(f"{share:.0%}" for share in run["busy_cores"]))
    if run["taken_by_others"] > _MUCH:
        told = f"took {run['taken_by_others']:.0%} of these cores' time: without them, ctseg may be faster"
        table.add_row("others", f"[yellow]other programs[/] {told}")
    yield table
    yield _stages(run["stages"])


def _of_the_peak(share: float, share_infer: float) -> str:
    if share_infer > 1:  # the run can't be faster than what the machine is capable of
        told = "the network was faster than the peak here, whose measurement other programs may have slowed: call again"
        return f"[yellow]not known[/]: {told}"
    return f"{share:.0%} over the run, {share_infer:.0%} during inference"


def _stages(stages: Mapping[str, Mapping[str, float]]) -> Table:
    table = Table(title="where the time goes", title_justify="left")
    table.add_column("stage")
    for column in ("share", "p50 ms", "p95 ms", "p99 ms", "times"):
        table.add_column(column, justify="right")
    for name, times in stages.items():
        percentiles = (f"{times[f'p{p}_ms']:.2f}" for p in (50, 95, 99))
        table.add_row(name, f"{times['share']:.1%}", *percentiles, str(times["count"]))
    return table


def operators_table(operators: Sequence[Operator]) -> Table:
    """The costliest nodes."""
    table = Table(title="the costliest nodes of the network", title_justify="left")
    for column in ("node", "kind", "gives"):
        table.add_column(column)
    for column in ("ms", "share"):
        table.add_column(column, justify="right")
    for node in operators:
        name, kind = (Text(printable(text)) for text in (node.name, node.kind))
        table.add_row(name, kind, " x ".join(map(str, node.shape)), f"{node.ms:.3f}", f"{node.share:.1%}")
    return table


def sweep_table(tries: Sequence[Try], call: Call) -> Iterator[RenderableType]:
    """All tries, and the call of the best one."""
    table = Table(title="tried in turn, medians of three", title_justify="left")
    table.add_column("precision")
    for column in ("workers", "batch size", "slices/s", "of the best"):
        table.add_column(column, justify="right")
    for one in tries:
        share = one.slices_per_second / tries[0].slices_per_second
        cells = (str(one.workers), str(one.batch_size), f"{one.slices_per_second:.1f}", f"{share:.0%}")
        table.add_row(one.precision, *cells)
    yield table
    yield Text(printable(f"the fastest here: {best_call(tries[0], call)}"))
    exact = next((one for one in tries if one.precision != "int8"), None)
    if tries[0].precision == "int8" and exact:
        told = f"int8 labels a few pixels differently; the fastest that does not: {best_call(exact, call)}"
        yield Text(printable(told))


def best_call(one: Try, call: Call) -> str:
    """The command line of a try."""
    chosen = ["--workers", str(one.workers), "--batch-size", str(one.batch_size), "--precision", one.precision]
    chosen += ["--model", call.model] if call.model != DEFAULT_MODEL else []
    chosen += ["--device", call.device] if call.device != "auto" else []
    inputs = list(map(str, call.inputs))
    if any(one.startswith("-") for one in inputs):  # else they would be taken for options
        return shlex.join(["ctseg", "batch", "--out", "OUT", *chosen, "--", *inputs])
    return shlex.join(["ctseg", "batch", *inputs, "--out", "OUT", *chosen])
