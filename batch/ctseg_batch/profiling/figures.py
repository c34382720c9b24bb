"""The figures of a profile: how fast a run was, where its time went, how far that is from the machine's own peak."""

from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from ctseg_batch.job import Job
from ctseg_batch.profiling.machine import matrix_rate
from ctseg_batch.profiling.measure import Measured
from ctseg_batch.profiling.network import count_gmac


def figures_of(
    measured: Measured, warmed: int, job: Job, batch: npt.NDArray[np.float32], workers: int
) -> dict[str, Any]:
    """All figures of a run in plain types; rates of arithmetic count a multiplication with addition as two.

    The roof is a CPU's in float32: for another device or precision, no share of it is given.
    """
    recorder, engine = measured.recorder, job.engine
    gmac = count_gmac(engine.file, batch) / len(batch)
    gflop = 2 * gmac * recorder.pixels_inferred / batch[0].size  # nearly all is convolutions, in proportion to pixels
    by_run, by_network = gflop / recorder.seconds, gflop / recorder.seconds_inferring
    matrix = matrix_rate(workers)
    comparable = (engine.device, engine.spec.precision) == ("cpu", "fp32")
    return {
        "device": engine.device,
        "precision": engine.spec.precision,
        "model": {"name": engine.spec.name, "version": engine.spec.version, "sha256": engine.sha256},
        "workers": workers,
        "batch_size": len(batch),
        "run": {
            "slices": recorder.slices,
            "warm_up_slices": warmed,
            "slices_per_second": measured.slices_per_second,
            "failed_slices": measured.failed,
            "stages": {name: asdict(times) for name, times in recorder.stages().items()},
            "busy_cores": recorder.busy_cores,
            "taken_by_others": recorder.taken_by_others,
        },
        "roof": {
            "shape": list(batch.shape[2:]),
            "gmac": gmac,
            "gflops": by_run,
            "gflops_infer": by_network,
            "matrix_gflops": matrix,
            "share": by_run / matrix if comparable else None,
            "share_infer": by_network / matrix if comparable else None,
        },
    }
