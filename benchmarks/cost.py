"""What a call takes: `python benchmarks/cost.py CALL...` runs it, and prints its figures where it would have printed.

A process of its own, and a small one, since the system counts what the one that starts another holds as held by both.
"""

import json
import os
import subprocess
import sys
import time

MIB = 2**20
UNIT = 1 if sys.platform == "darwin" else 1024


def main(call: list[str]) -> int:
    """Run it to its end, pass on what it printed, and its exit status."""
    began = time.perf_counter()
    process = subprocess.Popen(call, stdout=subprocess.PIPE)
    assert process.stdout is not None
    printed = process.stdout.read().decode()
    _, status, used = os.wait4(process.pid, 0)
    cost = {
        "wall_s": time.perf_counter() - began,
        "cpu_s": used.ru_utime + used.ru_stime,
        "peak_mib": used.ru_maxrss * UNIT / MIB,
    }
    process.returncode = os.waitstatus_to_exitcode(status)
    json.dump({"cost": cost, "printed": printed}, sys.stdout)
    return process.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
