"""Which workers, batch size and precision are fastest here, found by trying them in turn."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ctseg.errors import DeviceError
from ctseg.model import Precision
from ctseg_batch.engine import choose_file
from ctseg_batch.profiling.measure import measure
from ctseg_batch.run import Call, Job

SLICES = 96
"""So many slices a try: enough for a second or two, few enough for a dozen tries."""

_ROUNDS = 3
_BATCH_SIZES = {"cpu": (1, 2, 4), "cuda": (1, 4, 8, 16)}


@dataclass(frozen=True, slots=True)
class Try:
    """One way to make the call, and the slices/s that it reached: the median of the rounds."""

    workers: int
    batch_size: int
    precision: Precision
    slices_per_second: float


def sweep(call: Call, job: Job, cpus: int) -> list[Try]:
    """All tries, the fastest first. They take turns, so that a busy moment of the machine hits them all alike."""
    ways = list(_ways(job, cpus))
    reached: list[list[float]] = [[] for _ in ways]
    for _ in range(_ROUNDS):
        for (workers, batch_size, precision), rates in zip(ways, reached, strict=True):
            made = replace(call, batch_size=batch_size, precision=precision)
            rates.append(measure(made, workers, SLICES).recorder.slices_per_second)
    tries = [Try(*way, float(np.median(rates))) for way, rates in zip(ways, reached, strict=True)]
    return sorted(tries, key=lambda one: -one.slices_per_second)


def _ways(job: Job, cpus: int) -> Iterator[tuple[int, int, Precision]]:
    for precision in _offered(job):
        for workers in sorted({1, max(1, cpus // 2), cpus}):
            yield workers, 1, precision
        for batch_size in _BATCH_SIZES[job.engine.device][1:]:
            yield cpus, batch_size, precision


def _offered(job: Job) -> Sequence[Precision]:
    """The precisions that a file is there for, and that the device gains from: no CPU is faster in fp16."""
    wanted: tuple[Precision, ...] = ("fp32", "int8") if job.engine.device == "cpu" else ("fp32", "fp16")
    found: list[Precision] = []
    for precision in wanted:
        try:
            choose_file(job.engine.file, job.engine.spec.precision, precision, precision)
        except DeviceError:
            continue
        found.append(precision)
    return found
