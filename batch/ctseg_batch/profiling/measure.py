"""Measure a run of the real pipeline on the user's own files, into a temporary folder."""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ctseg.errors import CallError, UnreadableFile
from ctseg.prepare import prepare
from ctseg.stages import listening
from ctseg_batch.cpus import usable_cpus
from ctseg_batch.dry_run import foresee
from ctseg_batch.figures.summary import Summary
from ctseg_batch.job import Job
from ctseg_batch.outputs.output_files import LocalOutputFiles
from ctseg_batch.parts.part import Part
from ctseg_batch.profiling.recorder import Recorder
from ctseg_batch.run import run_job
from ctseg_batch.run_folder import LocalRunFolder
from ctseg_batch.watcher import Watcher

# Batches per worker.
_ROUNDS_OF_WARM_UP = 4


@dataclass(frozen=True)
class Measured:
    """A measured run: its summary, and what the recorder has heard."""

    summary: Summary
    recorder: Recorder

    @property
    def failed(self) -> int:
        """The failed slices, which make a run look faster than it is."""
        return int(self.summary["totals"]["failed_slices"])

    @property
    def slices_per_second(self) -> float:
        """From the first file that was read to the last that was written."""
        return self.recorder.slices / self.recorder.seconds


def warm_up(job: Job) -> int:
    """Run an open job on its first slices, so that everything is loaded; returns their number."""
    slices = _ROUNDS_OF_WARM_UP * (job.call.workers or usable_cpus()) * job.call.batch_size
    done = _run(replace(job, most=min(slices, job.most or slices)), Watcher())
    return int(done["totals"]["slices"])


def measure(job: Job) -> Measured:
    """Run an open job into a temporary OUT; raises CallError if no slice reached the network."""
    recorder = Recorder()
    with listening(recorder):
        summary = _run(job, recorder)
    recorder.finish()
    measured = Measured(summary, recorder)
    if not recorder.pixels_inferred or measured.failed == summary["totals"]["slices"]:
        failures = [f"{error['file']}: {error['reason']}" for scan in summary["scans"] for error in scan["errors"]]
        raise CallError(f"there is nothing to measure: {failures[0] if failures else 'no slice was labelled'}")
    return measured


def _run(job: Job, watcher: Watcher) -> Summary:
    with tempfile.TemporaryDirectory(prefix="ctseg-profile-") as folder:
        out = Path(folder)
        call, run_folder = replace(job.call, out=out), LocalRunFolder(out, "")
        here = replace(job, call=call, run_folder=run_folder, output_files=LocalOutputFiles(out))
        return run_job(here, watcher)


def first_batch(job: Job, batch_size: int) -> npt.NDArray[np.float32]:
    """The network's input for the first readable slice, repeated `batch_size` times; raises CallError."""
    for part in (step for step in foresee(job) if isinstance(step, Part)):
        for index in range(len(part.mask_names)):
            try:
                grey = prepare(part.scan.read(index), job.engine.spec.preparation)[0]
            except UnreadableFile:
                continue
            return np.repeat(grey, batch_size, axis=0)
    raise CallError("no slice of the inputs can be read, so there is nothing to measure")
