"""One run from the inputs to the summary: the parts of this package, put together."""

import time
from collections.abc import Iterator
from functools import partial
from typing import Protocol

import cv2

from ctseg.claim import claim
from ctseg.model import find_model
from ctseg.stages import stage
from ctseg_batch.columns import slice_rows
from ctseg_batch.cpus import usable_cpus
from ctseg_batch.engine import open_engine
from ctseg_batch.files import clear_leftovers
from ctseg_batch.job import Call, Job, open_job
from ctseg_batch.pipeline import Bench, begin
from ctseg_batch.plan import Planner
from ctseg_batch.record import LOCK, Journal
from ctseg_batch.result import PartResult
from ctseg_batch.scan_outputs import notes_of
from ctseg_batch.sheets import write_sheets
from ctseg_batch.steady import SteadyEngine
from ctseg_batch.summary import Figures, Summary, summarise
from ctseg_batch.todo import Step, Todo
from ctseg_batch.workers import Workers


class Watcher(Protocol):
    """Is told how the run goes on, from several threads."""

    def remark(self, line: str) -> None:
        """Something worth a line, before the slices."""
        ...

    def expect(self, slices: int) -> None:
        """So many more slices, or fewer, will be done."""
        ...

    def advance(self) -> None:
        """A slice is labelled, or has failed."""
        ...

    def tell(self, result: PartResult) -> None:
        """The last file of a part is in place: of a series, a volume, or some images of a folder."""
        ...


def run(call: Call, watcher: Watcher) -> Summary:
    """Do what is to be done, write summary.json, summary.csv and slices.csv, and return what the first holds.

    Raises CtsegError for a call that can't be followed. A slice that fails is in the summary.
    """
    return run_job(open_job(call), watcher)


def run_job(job: Job, watcher: Watcher) -> Summary:
    """The same for a call that is open already."""
    with claim(job.call.out, LOCK):
        return _run_alone(job, watcher)


def _run_alone(job: Job, watcher: Watcher) -> Summary:
    call, past = job.call, job.recall()
    notes: list[str] = []

    def note(line: str) -> None:
        notes.append(line)
        watcher.remark(line)

    watcher.remark(job.engine.remark)
    engine = SteadyEngine(job.engine, partial(open_engine, find_model(call.model), "cpu", call.precision), note)
    # Slices are the unit of work here: OpenCV's own threads would only compete with the workers for the same cores.
    cv2.setNumThreads(1)
    started = time.perf_counter()
    if not past.closed:
        clear_leftovers(job.outputs.folders)
    job.outputs.scans.begin()
    with Journal(call.out, job.found.root, job.settings, past) as journal:
        planner = Planner(
            past,
            job.outputs,
            job.truth,
            journal.list_folder,
            job.outputs.remove,
            job.selection,
            stack_images=job.stack_images,
        )
        results, slices = _work(job, engine, planner, journal, watcher)
    figures = Figures(
        results=results,
        groups=job.truth.meaning.names if job.truth else None,
        skipped=planner.skipped,
        errors=sorted([*job.found.failures, *planner.errors]),
        notes=[*notes, *notes_of(results)],
        ignored=job.found.ignored,
        slices=slices,
        wall_s=time.perf_counter() - started,
        measures=call.measures,
    )
    summary = summarise(figures, job.engine)
    write_sheets(call.out, summary, partial(slice_rows, results), call.parquet)
    if call.report:
        from ctseg_batch.reporting import DEFAULT_PICTURES
        from ctseg_batch.reporting.build import write_report

        watcher.remark("drawing the report")
        watcher.remark(write_report(call.out, None, DEFAULT_PICTURES, job.engine.file).told())
    return summary


def _work(
    job: Job, engine: SteadyEngine, planner: Planner, journal: Journal, watcher: Watcher
) -> tuple[list[PartResult], int]:
    """The results of all parts, in the order of the sites whoever ends first, and how many slices were done now."""
    results: dict[int, PartResult] = {}
    done_now = 0

    def end(number: int, todo: Todo, result: PartResult) -> None:
        journal.note(todo.place, todo.key, result)
        results[number] = result
        watcher.tell(result)

    watcher.expect(sum(len(site.files) for site in job.found.sites))
    with Workers(job.call.workers or usable_cpus()) as workers:
        call = job.call
        bench = Bench(workers, engine, job.outputs, job.truth, call.spacing, call.batch_size, call.measures)
        for number, step in enumerate(_steps(job, planner, watcher)):
            if isinstance(step, PartResult):
                results[number] = step
                continue
            done_now += len(step.names)
            journal.begin(step.place)
            begin(step, bench, watcher.advance, partial(end, number, step))
    return [results[number] for number in sorted(results)], done_now


def _steps(job: Job, planner: Planner, watcher: Watcher) -> Iterator[Step]:
    """What there is to do and what was done before, site by site, up to as many slices as the job may do."""
    left = job.most
    with stage("discover"):
        planner.survey(job.found.sites)
    for site in job.found.sites:
        expected = len(site.files)
        for step in _timed(planner.plan(site)):
            if isinstance(step, PartResult):
                yield step
                continue
            todo = step if left is None else step.first(left)
            watcher.expect(len(todo.names) - expected)
            expected = 0
            yield todo
            if left is not None:
                left -= len(todo.names)
                if not left:
                    return
        watcher.expect(-expected)


def _timed(steps: Iterator[Step]) -> Iterator[Step]:
    """The same steps: to look for the next one is part of the discovery."""
    while True:
        with stage("discover"):
            step = next(steps, None)
        if step is None:
            return
        yield step
