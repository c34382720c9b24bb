"""One run, from the inputs to the summary."""

import time
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from itertools import chain
from typing import Any

from ctseg_batch.call import Call
from ctseg_batch.figures.columns import slice_rows
from ctseg_batch.figures.leakage import leakage_notes
from ctseg_batch.figures.notes import (
    of_another_run,
    of_earlier_calls,
    on_search,
    removed,
    unused,
    without_output,
    without_truth,
)
from ctseg_batch.figures.summary import Figures, Summary, by_scan, summary_of
from ctseg_batch.figures.tables import write_tables
from ctseg_batch.job import Job, open_job
from ctseg_batch.journal.inventory import Inventory, write_inventory
from ctseg_batch.journal.record import JournalFile
from ctseg_batch.reporting import REPORT_HTML
from ctseg_batch.reporting.head import is_outdated
from ctseg_batch.watcher import Watcher
from ctseg_batch.work import Driver, Worked, work_here


def run(call: Call, watcher: Watcher) -> Summary:
    """Segment what is new or has changed, write summary.json, summary.csv and slices.csv, and return the summary.

    Raises CtsegError if the call is wrong or OUT can't be written. A slice that fails is listed in the summary.
    """
    return run_job(open_job(call), watcher)


def run_job(job: Job, watcher: Watcher) -> Summary:
    """The same for a job that is open already."""
    with job.run_folder.hold(watcher.remark):
        return _run_alone(job, watcher)


def _run_alone(job: Job, watcher: Watcher) -> Summary:
    call, past = job.call, job.recall()
    job = job.following(past)
    notes: list[str] = []

    def note(line: str) -> None:
        notes.append(line)
        watcher.remark(line)

    watcher.remark(job.engine.remark)
    started = time.perf_counter()
    outputs = job.open_outputs()
    if not past.all_closed:
        outputs.remove_unfinished()
    inventory = Inventory(tuple(dict.fromkeys(site.name for site in job.found.sites))) if call.shard else None
    if inventory:
        write_inventory(inventory, job.output_files)
    with job.run_folder.journal(job.root, job.settings, past) as journal:
        outputs.write_label_tables()
        worked = _driver(job)(job, past, journal, watcher, note)
        journal.check_in_place()
    figures = Figures(
        results=worked.results,
        groups=job.truth.meaning.names if job.truth else None,
        skipped=worked.skipped,
        errors=sorted([*job.failures(), *worked.errors]),
        notes=[*notes, *_notes(job, worked, journal)],
        ignored_endings=job.ignored_endings,
        slices=worked.slices,
        wall_s=time.perf_counter() - started,
        measures=call.measures,
        shard=_shard_entry(job, inventory, worked),
    )
    summary = summary_of(figures, job.engine)
    write_tables(job.run_folder.folder, summary, partial(slice_rows, worked.results), call.parquet, job.mark)
    job.run_folder.deliver()
    if not call.report and is_outdated(job.run_folder.folder / REPORT_HTML, summary):
        watcher.remark(f"{REPORT_HTML} in OUT is from an earlier run: ctseg report renews it")
    if call.report:
        from ctseg_batch.reporting import DEFAULT_PICTURES
        from ctseg_batch.reporting.build import write_report

        watcher.remark("drawing the report")
        watcher.remark(write_report(job.run_folder.folder, None, DEFAULT_PICTURES, job.engine.file))
    return summary


def _notes(job: Job, worked: Worked, journal: JournalFile) -> Iterator[str]:
    """The notes on the run as a whole that can be made only at its end."""
    yield from on_search(job.found)
    yield from unused(job.call.spacing, job.call.window, worked.results)
    scans = by_scan(worked.results)
    yield from removed({kind: len(names) for kind, names in worked.dropped.items()})
    yield from without_output(chain.from_iterable(part.left_out for part in parts) for parts in scans.values())
    if job.call.shard is None:
        yield from of_earlier_calls(len(journal.untouched() - scans.keys()))
    if job.call.truth:
        yield from without_truth(worked.results, job.call.truth, job.root)
        yield from of_another_run(job.call.truth)
        yield from leakage_notes(worked.results, job.call.truth, job.engine.spec.training)


def _shard_entry(job: Job, inventory: Inventory | None, worked: Worked) -> dict[str, Any] | None:
    """The shard in summary.json: the digest of all sites that it found, and the places of its scans among them."""
    if job.call.shard is None or inventory is None:
        return None
    place_of = {name: place for place, name in enumerate(inventory.names)}
    places = [place_of[worked.site_of_scan[scan]] for scan in by_scan(worked.results)]
    return {**asdict(job.call.shard), "found": inventory.digest, "places": places}


def _driver(job: Job) -> Driver:
    if job.call.driver == "local":
        return work_here
    from ctseg_batch.cluster.driver import work_on_cluster

    return work_on_cluster
