"""Find the fastest number of workers, batch size and precision by trying them in turn."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ctseg.errors import DeviceError
from ctseg.model import Precision
from ctseg_batch.job import Job
from ctseg_batch.network.engine import Engine, open_engine
from ctseg_batch.profiling.measure import measure, warm_up

_SLICES_A_TRY = 24
"""Slices per try for each worker and slice of a batch: a second or two, short enough for a dozen tries."""

_ROUNDS = 3
_BATCH_SIZES = {"cpu": (2, 4), "cuda": (4, 8, 16)}


@dataclass(frozen=True, slots=True)
class Try:
    """One way to make the call, and the slices/s that it reached: the median of the rounds."""

    workers: int
    batch_size: int
    precision: Precision
    slices_per_second: float


def sweep(job: Job, offered: Sequence[Engine], cpus: int) -> list[Try]:
    """All tries, the fastest first. They take turns, so that a busy moment of the machine hits them all alike.

    Each does the same slices; at most as many as the job may do.
    """
    engines = {engine.spec.precision: engine for engine in offered}
    ways = [(workers, size, precision) for precision in engines for workers, size in _ways(job, cpus)]
    largest = max(workers * size for workers, size, _ in ways)
    slices = min(_SLICES_A_TRY * largest, job.most or _SLICES_A_TRY * largest)
    jobs = [
        replace(job, call=replace(job.call, workers=workers, batch_size=size), engine=engines[precision], most=slices)
        for workers, size, precision in ways
    ]
    for made in jobs:
        warm_up(made)
    reached: list[list[float]] = [[] for _ in ways]
    for _ in range(_ROUNDS):
        for made, rates in zip(jobs, reached, strict=True):
            rates.append(measure(made).slices_per_second)
    tries = [Try(*way, float(np.median(rates))) for way, rates in zip(ways, reached, strict=True)]
    return sorted(tries, key=lambda one: -one.slices_per_second)


def _ways(job: Job, cpus: int) -> Iterator[tuple[int, int]]:
    """The numbers of workers and batch sizes to try on the device."""
    for workers in sorted({1, max(1, cpus // 2), cpus}):
        yield workers, 1
    for size in _BATCH_SIZES[job.engine.device]:
        yield cpus, size


def engines_for(job: Job) -> Iterator[Engine]:
    """The job's engine, and those of other precisions that may be faster on the device, if there is a file of them.

    Raises ModelError for a file of another network.
    """
    yield job.engine
    others: Sequence[Precision] = ("fp32", "int8") if job.engine.device == "cpu" else ("fp32", "fp16")
    for precision in others:
        if precision != job.engine.spec.precision:
            try:
                yield open_engine(job.engine.file, job.engine.device, precision)
            except DeviceError:
                continue  # there is no such file
