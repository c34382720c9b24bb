"""What `ctseg batch` shows: a verbose run, the summary, or the plan of a dry run."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from ctseg.printable import count
from ctseg.process.standard_output import standard_output

if TYPE_CHECKING:
    from rich.console import Console

    from ctseg_batch.call import Call
    from ctseg_batch.figures.summary import Summary
    from ctseg_batch.job import Job


def run_verbosely(call: "Call", console: "Console", set_by: Mapping[str, str]) -> "Summary":
    """A run with `--verbose`; `set_by` are the origins of settings."""
    from ctseg.stages import listening
    from ctseg_batch.job import open_job
    from ctseg_batch.run import run_job
    from ctseg_batch.terminal.verbose import StageTotals, VerboseWatcher

    with VerboseWatcher(console) as watcher, listening(totals := StageTotals()):
        job = open_job(call)
        for line in _lines_on_settings(job, set_by):
            watcher.remark(line)
        summary = run_job(job, watcher)
        watcher.remark(totals.line())
    return summary


def show_summary(summary: "Summary", console: "Console", *, as_json: bool, quiet: bool) -> None:
    """Show the summary, or if `quiet` only the failures, and exit with its status."""
    from ctseg_batch.figures.summary import exit_status, to_json
    from ctseg_batch.terminal.console import show
    from ctseg_batch.terminal.table import end_of_run, failures

    show(console, failures(summary) if quiet else end_of_run(summary, console.width))
    if as_json:
        with standard_output("summary.json in OUT is complete") as stream:
            stream.write(to_json(summary))
    raise typer.Exit(exit_status(summary))


def show_plan(call: "Call", *, as_json: bool, quiet: bool) -> None:
    """Show what a run would do, or if `quiet` only what has failed, and exit with the status that it would have."""
    from ctseg_batch.dry_run import plan
    from ctseg_batch.terminal.console import people_console, show
    from ctseg_batch.terminal.plan_report import plan_failures, plan_report

    found = plan(call)
    if as_json:
        scans, skipped, errors = (list(map(asdict, some)) for some in (found.scans, found.skipped, found.errors))
        told = {"scans": scans, "skipped": skipped, "errors": errors, "notes": list(found.notes)}
        with standard_output() as stream:
            stream.write(json.dumps(told, indent=2) + "\n")
    show(people_console(), plan_failures(found) if quiet or as_json else plan_report(found))
    raise typer.Exit(found.exit_status)


def _lines_on_settings(job: "Job", origins: Mapping[str, str]) -> Iterator[str]:
    """Lines on the settings of a run; `origins` says where each comes from, by its name in the Call."""
    from ctseg_batch.cpus import usable_cpus

    call, engine = job.call, job.engine
    for name, origin in origins.items():
        yield f"{name.replace('_', ' ')} is set by {origin}"
    yield f"model file: {engine.file}, sha256 {engine.sha256[:12]}"
    why = "" if call.workers else ", one for each CPU that this process may use"
    yield f"workers: {call.workers or usable_cpus()}{why}; slices at once: {call.batch_size}"
    files = sum(len(site.files) for site in job.found.sites)
    yield f"found: {count(files, 'file')} of CT in {count(len(job.found.sites), 'place')} below {job.root}"
    yield f"written: {', '.join(map(str, job.open_outputs().folders))}"
