"""The command as a process that dies at the worst moment: files half written, parts half done."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from ctseg_batch.call import Call
from ctseg_batch.run import run
from ctseg_batch.watcher import Watcher

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals are another matter there")

# Leave by the signal given when a file has been written whole but is not in place yet.
LEAVE = """
import os, sys, time
from pathlib import Path
from ctseg.cli import main

by, count, done = int(sys.argv[1]), int(sys.argv[2]), []
replace = Path.replace

def leave(self, target):
    done.append(target)
    if len(done) == count:
        time.sleep(0.5)  # what was finished before is noted meanwhile
        os.kill(os.getpid(), by)
    if len(done) > count:
        time.sleep(0.05)  # leaves the main thread time to stop before all is done
    return replace(self, target)

Path.replace = leave
main(sys.argv[3:])
"""


def leave(by, after, *arguments):
    """Call the command with one worker, and send it a signal as the file of that number is put in place."""
    call = [sys.executable, "-c", LEAVE, str(int(by)), str(after), "batch", "--device", "cpu", "--workers", "1"]
    return subprocess.run([*call, *map(str, arguments)], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def scans(draw, save_slice, save_series, save_volume, save, tmp_path_factory):
    """300 images in two parts, a series, a volume, and a truth; one image is damaged."""
    top = tmp_path_factory.mktemp("scans")
    labels = np.stack([draw(seed, 64, 64) for seed in range(4)])
    for number in range(300):
        save_slice(top / "in/a" / f"{number:03d}.png", draw(number % 9, 16, 16))
        save(top / "truth/a" / f"{number:03d}.png", draw(number % 8, 16, 16))
    (top / "in/a/299.png").write_bytes(b"damaged")
    save_series(top / "in/b", labels)
    save_volume(top / "in/c.nii.gz", labels)
    return top / "in", top / "truth"


@pytest.fixture(scope="module")
def undisturbed(scans, quarters, tmp_path_factory):
    """The summary and the masks of a run that nothing happens to."""
    (folder, truth), out = scans, tmp_path_factory.mktemp("undisturbed") / "out"
    call = Call([folder], out, truth=truth, model=str(quarters), device="cpu", workers=2)
    return run(call, Watcher()), written(out)


def written(out):
    return {file.relative_to(out): file.read_bytes() for file in (out / "masks").rglob("*") if file.is_file()}


# In this order: the journal's head, 4 slices of the volume, 256 and 43 images, 4 slices of the series, the summary.
@pytest.mark.parametrize("after", [1, 3, 280, 306, 309])
def test_a_killed_run_goes_on_to_the_same_bytes(batch, quarters, scans, undisturbed, tmp_path, after):
    folder, truth = scans
    out = tmp_path / "killed"
    call = [folder, "--truth", truth, "--out", out, "--model", quarters]
    assert leave(signal.SIGKILL, after, *call).returncode == -signal.SIGKILL
    assert len(list(out.rglob(".*.tmp"))) == 1
    kept = {file: file.stat().st_mtime_ns for file in (out / "masks").rglob("[!.]*.png")}

    resumed, (summary, masks) = batch(folder, truth=truth, out=out), undisturbed
    assert written(out) == masks
    assert resumed.summary["scans"] == summary["scans"]
    assert resumed.summary["totals"] == summary["totals"]
    assert not list(out.rglob("*.tmp"))
    untouched = sum(file.stat().st_mtime_ns == time for file, time in kept.items())
    # Other threads note that a part is done: they may not have come to the last ones, nor in this order.
    assert untouched in {1: {0}, 3: {0}, 280: {4, 260}, 306: {4, 47, 260, 303}, 309: {307}}[after]


def test_an_interrupted_run_keeps_what_was_finished(batch, quarters, scans, tmp_path):
    folder, _ = scans
    left = leave(signal.SIGINT, 270, folder, "--out", tmp_path / "out", "--model", quarters)
    assert left.returncode == 130
    assert left.stdout == ""
    assert left.stderr.splitlines()[-1].startswith("interrupted: finished scans are kept")
    assert "Traceback" not in left.stderr
    assert not list((tmp_path / "out").rglob("*.tmp"))
    assert 260 < len(written(tmp_path / "out")) < 307
    assert batch(folder).summary["throughput"]["slices"] == 47
