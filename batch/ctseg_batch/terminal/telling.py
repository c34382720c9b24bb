"""What `ctseg batch` shows people: a run as it goes on, its summary, or the plan of one."""

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from ctseg.standard_output import standard_output

if TYPE_CHECKING:
    from rich.console import Console

    from ctseg_batch.call import Call
    from ctseg_batch.figures.summary import Summary
    from ctseg_batch.work import Watcher


def run_watched(call: "Call", watching: "AbstractContextManager[Watcher]") -> "Summary":
    """A run that a person watches, or nobody."""
    from ctseg_batch.run import run

    with watching as watcher:
        return run(call, watcher)


def run_telling(call: "Call", console: "Console", set_by: Mapping[str, str]) -> "Summary":
    """The same for a person who wants to know all about it; `set_by`, where settings come from."""
    from ctseg.stages import listening
    from ctseg_batch.job import open_job
    from ctseg_batch.run import run_job
    from ctseg_batch.terminal.verbose import StageTotals, VerboseWatcher, choices

    with VerboseWatcher(console) as watcher, listening(totals := StageTotals()):
        job = open_job(call)
        for line in choices(job, set_by):
            watcher.remark(line)
        summary = run_job(job, watcher)
        watcher.remark(totals.told())
    return summary


def tell(summary: "Summary", console: "Console", *, as_json: bool, quiet: bool) -> None:
    """The summary on the terminal, or what failed alone; and the exit status."""
    from ctseg_batch.figures.summary import exit_status, to_json
    from ctseg_batch.terminal.console import show
    from ctseg_batch.terminal.table import failures, report

    show(console, failures(summary) if quiet else report(summary, console.width))
    if as_json:
        with standard_output("summary.json in OUT is whole") as stream:
            stream.write(to_json(summary))
    raise typer.Exit(exit_status(summary))


def tell_plan(call: "Call", *, as_json: bool) -> None:
    """A line a scan: how many slices are to be done, how many were done before; what is left out; the exit status."""
    from ctseg_batch.dry_run import plan
    from ctseg_batch.terminal.console import people_console, show
    from ctseg_batch.terminal.table import plan_report

    found = plan(call)
    if as_json:
        scans = [{"scan": name, "slices": n, "to_do": found.to_do[name]} for name, n in found.slices.items()]
        others = {"skipped": found.skipped, "errors": found.errors}
        listed = {key: [asdict(one) for one in failures] for key, failures in others.items() if failures}
        with standard_output() as stream:
            stream.write(json.dumps({"scans": scans, **listed}, indent=2) + "\n")
    else:
        show(people_console(), plan_report(found))
    raise typer.Exit(found.exit_status)
