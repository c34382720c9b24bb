"""One measured run of the real pipeline on the user's own files, written to a folder that is thrown away."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ctseg.errors import CallError, UnreadableFile
from ctseg.prepare import prepare
from ctseg.stages import listening
from ctseg_batch.discover import Site
from ctseg_batch.plan import Planner, Todo
from ctseg_batch.profiling.recorder import Recorder
from ctseg_batch.run import Call, Job, open_job, run_job
from ctseg_batch.summary import Summary

_WARM_UP_A_WORKER = 4


@dataclass(frozen=True)
class Measured:
    """A run that is over: what was done, how, and what was heard of it meanwhile."""

    job: Job
    summary: Summary
    recorder: Recorder


def measure(call: Call, workers: int, most_slices: int | None) -> Measured:
    """Run `call` on at most so many of its files, in a temporary OUT; the first few slices a worker do not count."""
    recorder = Recorder(warm_up=_WARM_UP_A_WORKER * workers * call.batch_size)
    with tempfile.TemporaryDirectory(prefix="ctseg-profile-") as out:
        with listening(recorder):
            job = _limited(open_job(replace(call, out=Path(out), workers=workers)), most_slices)
            summary = run_job(job, recorder)
        recorder.finish()
    return Measured(job, summary, recorder)


def first_batch(job: Job, batch_size: int) -> npt.NDArray[np.float32]:
    """What the network is fed for the first slice that can be read, `batch_size` times; raises CallError."""
    for todo in _todos(job):
        for index in range(len(todo.names)):
            try:
                grey = prepare(todo.slices.read(index), job.engine.spec.preparation)[0]
            except UnreadableFile:
                continue
            return np.repeat(grey, batch_size, axis=0)
    raise CallError("no slice of the inputs can be read, so there is nothing to measure")


def _limited(job: Job, most: int | None) -> Job:
    """The same job on its first `most` files; a volume counts as one and is taken whole."""
    if most is None:
        return job
    return replace(job, found=replace(job.found, sites=tuple(_first(job.found.sites, most))))


def _todos(job: Job) -> Iterator[Todo]:
    planner = Planner(job.past, job.outputs, job.truth, listed=lambda *_: None, lost=lambda _: None)
    for site in job.found.sites:
        yield from (step for step in planner.plan(site) if isinstance(step, Todo))


def _first(sites: tuple[Site, ...], most: int) -> Iterator[Site]:
    for site in sites:
        if most <= 0:
            return
        yield replace(site, files=site.files[:most])
        most -= len(site.files)
