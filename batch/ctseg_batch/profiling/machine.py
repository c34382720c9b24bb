"""The peak of the machine: its rate of matrix products, measured on the spot."""

import os
import subprocess
import sys

from ctseg.errors import DeviceError

# Large enough to be bound by arithmetic, not memory; small enough for a second on one core.
_MEASURE = """
import time
import numpy as np
side = 1536
a, b = np.random.default_rng(0).random((2, side, side), np.float32)
a @ b
def rate():
    start = time.perf_counter()
    a @ b
    return 2 * side**3 / (time.perf_counter() - start) / 1e9
print(max(rate() for _ in range(7)))
"""
# Settings that make NumPy's matrix product slower than the processor could.
_SLOWED_BY = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")


def matrix_rate(threads: int) -> float:
    """GFLOP/s of NumPy's product of large float32 matrices on so many threads, the best of seven.

    In a process of its own: how many threads NumPy takes is settled when it is loaded. Raises DeviceError if it fails.
    """
    environment = {name: value for name, value in os.environ.items() if name not in _SLOWED_BY}
    environment |= dict.fromkeys(("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"), str(threads))
    # -P: a numpy.py that happens to lie in the current folder must not be run.
    call = [sys.executable, "-P", "-c", _MEASURE]
    done = subprocess.run(call, capture_output=True, text=True, env=environment, check=False)  # noqa: S603 - our own code
    if done.returncode:
        *_, why = "no reason given", *done.stderr.strip().splitlines()
        raise DeviceError(f"the matrix rate can't be measured: {why}")
    return float(done.stdout)
