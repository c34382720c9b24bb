"""One run from the inputs to the summary: the parts of this package, put together."""

import os
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import cv2

from ctseg import __version__
from ctseg.errors import CallError
from ctseg.model import DEFAULT_MODEL, find_model
from ctseg.scan import Spacing
from ctseg.stages import stage
from ctseg_batch.cpus import usable_cpus
from ctseg_batch.discover import Found, discover
from ctseg_batch.engine import DeviceWish, Engine, PrecisionWish, open_engine
from ctseg_batch.files import clear_leftovers, refused, write_whole
from ctseg_batch.outputs import Outputs, choose_writers
from ctseg_batch.pipeline import Bench, begin
from ctseg_batch.plan import Planner, Step, Todo
from ctseg_batch.record import FOLDER, Journal, Past, recall
from ctseg_batch.result import Failure, PartResult, Settings
from ctseg_batch.summary import Figures, Summary, summarise, to_csv, to_json
from ctseg_batch.truth import Truth, open_truth
from ctseg_batch.workers import Workers

SUMMARY_JSON, SUMMARY_CSV = "summary.json", "summary.csv"


@dataclass(frozen=True)
class Call:
    """What is wanted. `out` belongs to the run; `spacing` (mm, z y x) holds for scans whose files do not say theirs.

    `workers` None: one for each CPU that this process may use. `batch_size`: slices that go through the network at
    once. `overwrite`: do again what was done before.
    """

    inputs: Sequence[Path]
    out: Path
    truth: Path | None = None
    model: str = DEFAULT_MODEL
    device: DeviceWish = "auto"
    precision: PrecisionWish = "auto"
    workers: int | None = None
    batch_size: int = 1
    spacing: Spacing | None = None
    write: Sequence[str] = ("mask",)
    overwrite: bool = False


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


def run(call: Call, watcher: Watcher) -> Summary:
    """Do what is to be done, write summary.json and summary.csv, and return what the former holds.

    Raises CtsegError for a call that can't be followed. A slice that fails is in the summary.
    """
    return run_job(open_job(call), watcher)


def run_job(job: "Job", watcher: Watcher) -> Summary:
    """The same for a call that is open already."""
    call = job.call
    watcher.remark(job.engine.remark)
    # Slices are the unit of work here: OpenCV's own threads would only compete with the workers for the same cores.
    cv2.setNumThreads(1)
    started = time.perf_counter()
    if not job.past.closed:
        clear_leftovers(job.outputs.folders)
    with Journal(call.out, job.found.root, job.settings, job.past) as journal:
        planner = Planner(job.past, job.outputs, job.truth, journal.list_folder, job.outputs.remove)
        results, slices = _work(job, planner, journal, watcher)
    unopened = [Failure(os.path.relpath(error.file, job.found.root), error.reason) for error in job.found.failed]
    figures = Figures(
        results=results,
        groups=job.truth.meaning.names if job.truth else None,
        skipped=planner.skipped,
        errors=sorted([*unopened, *planner.errors]),
        ignored=job.found.ignored,
        slices=slices,
        wall_s=time.perf_counter() - started,
    )
    summary = summarise(figures, job.engine)
    _write(call.out / SUMMARY_JSON, to_json(summary))
    _write(call.out / SUMMARY_CSV, to_csv(summary))
    return summary


def plan(call: Call) -> Iterator[tuple[str, int, bool]]:
    """What a run would do, part by part: the scan, how many slices, and whether they are to be done. Writes nothing."""
    job = open_job(call)
    planner = Planner(job.past, job.outputs, job.truth, listed=lambda *_: None, lost=lambda _: None)
    for site in job.found.sites:
        for step in planner.plan(site):
            is_todo = isinstance(step, Todo)
            yield step.scan, len(step.names) if isinstance(step, Todo) else step.slices, is_todo


@dataclass(frozen=True)
class Job:
    """A call whose inputs were found and whose model is open. `most`: after so many slices it ends; None for all."""

    call: Call
    found: Found
    engine: Engine
    outputs: Outputs
    truth: Truth | None
    settings: Settings
    past: Past
    most: int | None = None


def open_job(call: Call) -> Job:
    """Find and open all that a call names; raises CtsegError before anything is written."""
    outputs = Outputs(call.out, choose_writers(call.write))
    truth = open_truth(call.truth) if call.truth else None
    truths = [call.truth] if call.truth else []
    _keep_apart([*call.inputs, *truths], call.out, outputs.folders)
    found = discover(call.inputs, [call.out, *truths])
    if not found.sites and not found.failed:
        raise CallError(
            f"no CT in {', '.join(map(str, call.inputs))}: {found.ignored} files of other kinds were ignored"
        )
    engine = open_engine(find_model(call.model), call.device, call.precision)
    if outputs.need("confidence") and engine.spec.temperature is None:
        raise CallError(f"--write confidence: the model {engine.spec.name} gives no probabilities: export it again")
    settings = Settings(
        version=__version__,
        model=engine.sha256,
        precision=engine.spec.precision,
        write=choose_writers(call.write),
        spacing=call.spacing,
        truth=truth.meaning if truth else None,
    )
    past = recall(call.out, found.root, settings)
    return Job(call, found, engine, outputs, truth, settings, Past() if call.overwrite else past)


def _work(job: Job, planner: Planner, journal: Journal, watcher: Watcher) -> tuple[list[PartResult], int]:
    """The results of all parts, in the order of the sites whoever ends first, and how many slices were done now."""
    results: dict[int, PartResult] = {}
    done_now = 0

    def end(number: int, todo: Todo, result: PartResult) -> None:
        journal.note(todo.place, todo.key, result)
        results[number] = result

    watcher.expect(sum(len(site.files) for site in job.found.sites))
    with Workers(job.call.workers or usable_cpus()) as workers:
        bench = Bench(workers, job.engine, job.outputs, job.truth, job.call.spacing, job.call.batch_size)
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


def _keep_apart(read: Collection[Path], out: Path, folders: Collection[Path]) -> None:
    """Refuse an OUT whose files would lie among what is read; within an input, OUT is left out of the search."""
    home = Path(os.path.realpath(out))
    owned = [Path(os.path.realpath(folder)) for folder in (*folders, out / FOLDER)]
    for given in read:
        real = Path(os.path.realpath(given))
        if real == home or any(real.is_relative_to(folder) for folder in owned):
            raise CallError(f"--out {out}: {given} is read, and would be written to; name another folder")


def _write(file: Path, text: str) -> None:
    try:
        # Names that are no Unicode go out as the bytes that they came in as.
        write_whole(file, text.encode("utf-8", "surrogateescape"))
    except OSError as error:
        raise refused(file, error) from error
