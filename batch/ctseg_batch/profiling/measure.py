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
from ctseg_batch.dry_run import foresee
from ctseg_batch.figures.summary import Summary
from ctseg_batch.job import Job
from ctseg_batch.outputs.output_files import FolderOutputFiles
from ctseg_batch.parts.part import Part
from ctseg_batch.profiling.recorder import Recorder
from ctseg_batch.run import run_job
from ctseg_batch.run_folder import LocalRunFolder

# Rounds, in each of which every worker does a batch.
_ROUNDS_OF_WARM_UP, _ROUNDS_LEFT = 4, 2


@dataclass(frozen=True)
class Measured:
    """A run that is over: what was done, and what was heard of it meanwhile."""

    summary: Summary
    recorder: Recorder

    @property
    def failed(self) -> int:
        """Slices that came to nothing; they make a run look faster than it is."""
        return int(self.summary["totals"]["failed_slices"])


def measure(job: Job, warm_up: int) -> Measured:
    """Run an open job into a temporary OUT; the first `warm_up` slices do not count.

    Raises CallError where none is left that the network saw, or all failed.
    """
    recorder = Recorder(warm_up)
    with tempfile.TemporaryDirectory(prefix="ctseg-profile-") as folder:
        out = Path(folder)
        call, run_folder = replace(job.call, out=out), LocalRunFolder(out, "")
        here = replace(job, call=call, run_folder=run_folder, output_files=FolderOutputFiles(out))
        with listening(recorder):
            summary = run_job(here, recorder)
    recorder.finish()
    measured = Measured(summary, recorder)
    seen = recorder.slices > 0 and "infer" in recorder.stages()
    if not seen or measured.failed == summary["totals"]["slices"]:
        failures = [f"{error['file']}: {error['reason']}" for scan in summary["scans"] for error in scan["errors"]]
        raise CallError(f"there is nothing to measure: {failures[0] if failures else 'too few slices'}")
    return measured


def warm_up_of(job: Job, workers: int, batch_size: int) -> int:
    """How many slices a run of so many workers needs until all is loaded; fewer where there are few.

    0 where hardly a round would be left: most of what counts would have been done within the warm-up.
    """
    a_round = workers * batch_size
    wanted = _ROUNDS_OF_WARM_UP * a_round
    slices = _count_slices(job, 4 * wanted)
    warm_up = min(wanted, slices // 4)
    return warm_up if slices - warm_up >= _ROUNDS_LEFT * a_round else 0


def _count_slices(job: Job, most: int) -> int:
    """How many slices there are to do, counted up to `most`: no more headers are read than that takes."""
    most, count = min(most, job.most or most), 0
    for part in _parts(job):
        count += len(part.names)
        if count >= most:
            return most
    return count


def first_batch(job: Job, batch_size: int) -> npt.NDArray[np.float32]:
    """What the network is fed for the first slice that can be read, `batch_size` times; raises CallError."""
    for part in _parts(job):
        for index in range(len(part.names)):
            try:
                grey = prepare(part.slices.read(index), job.engine.spec.preparation)[0]
            except UnreadableFile:
                continue
            return np.repeat(grey, batch_size, axis=0)
    raise CallError("no slice of the inputs can be read, so there is nothing to measure")


def _parts(job: Job) -> Iterator[Part]:
    """What there is to do."""
    return (step for step in foresee(job) if isinstance(step, Part))
