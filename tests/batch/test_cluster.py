"""`--engine ray`: the same run on a cluster, whose nodes may die."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

pytest.importorskip("ray.data")

BATCH = [sys.executable, "-m", "ctseg", "batch"]
RAY = [sys.executable, "-m", "ray.scripts.scripts"]
VOLUMES, SLICES = 30, 40


class Cluster:
    """Nodes of a Ray cluster, all on this machine, each started by `ray start`."""

    def __init__(self, logs, environment):
        self.logs, self.environment = logs, environment
        self.nodes = []
        port = 6381
        self.address = f"127.0.0.1:{port}"
        # The head has no CPU to give: it is not among those that are killed.
        self._start("--head", f"--port={port}", "--num-cpus=0", "--include-dashboard=false")

    def add(self):
        """One more node, with one CPU; for a run, so are many machines."""
        return self._start(f"--address={self.address}", "--num-cpus=1")

    def _start(self, *arguments):
        log = self.logs / f"node{len(self.nodes)}.log"
        call = [*RAY, "start", *arguments, "--object-store-memory=80000000", "--disable-usage-stats", "--block"]
        with log.open("wb") as out:
            node = subprocess.Popen(call, stdout=out, stderr=out, env=self.environment, cwd=self.logs)
        self.nodes.append(node)
        while b"Ray runtime started" not in log.read_bytes():
            assert node.poll() is None, log.read_text()
            time.sleep(0.05)
        return node

    def kill(self, node):
        """Its raylet and its workers die at once, and say nothing."""
        top = psutil.Process(node.pid)
        for process in [top, *top.children(recursive=True)]:
            process.kill()
        node.wait()

    def stop(self):
        for node in reversed(self.nodes):
            if node.poll() is None:
                self.kill(node)


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """What makes this cluster one of its own, whatever else runs on this machine."""
    short = Path("/tmp") / f"ctseg-ray-{os.getpid()}"  # sockets have short names
    own = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0123456789abcdef" * 2, "RAY_TMPDIR": str(short)}
    return {**os.environ, **own, "RAY_USAGE_STATS_ENABLED": "0", "HOME": str(tmp_path_factory.mktemp("home"))}


@pytest.fixture(scope="module")
def cluster(environment, tmp_path_factory):
    started = Cluster(tmp_path_factory.mktemp("cluster"), environment)
    yield started
    started.stop()


@pytest.fixture(scope="module")
def scans(draw, save_slice, save_series, save_volume, tmp_path_factory):
    """Volumes enough for nodes to die among them; series, images, and what fails."""
    top = tmp_path_factory.mktemp("scans")
    for number in range(VOLUMES):
        labels = np.stack([draw(number + index, 64, 64) for index in range(SLICES)])
        save_volume(top / f"volumes/{number:02d}.nii", labels, (2.0, 1.0, 1.0))
    for number in range(3):
        save_series(top / f"dicom/{number}", np.stack([draw(n, 64, 64) for n in range(5)]), seed=number)
    for number in range(300):
        save_slice(top / f"images/{number:03d}.png", draw(number % 9, 16, 16))
    (top / "images/200.png").write_bytes(b"damaged")
    (top / "volumes/damaged.nii").write_bytes(b"damaged")
    return top


def start(environment, folder, out, model, *more):
    call = [*BATCH, folder, "--out", out, "--model", model, "--engine", "ray", *more]
    return subprocess.Popen(list(map(str, call)), env=environment, stderr=subprocess.PIPE, text=True)


def files(out):
    """All that a run leaves for people."""
    found = (file for file in out.rglob("*") if file.is_file() and ".ctseg" not in file.parts)
    return {str(file.relative_to(out)): file.read_bytes() for file in found if file.name != "summary.json"}


def figures(out):
    return {k: v for k, v in json.loads((out / "summary.json").read_text()).items() if k != "throughput"}


def parts_done(out):
    journal = out / ".ctseg/journal.jsonl"
    return journal.read_bytes().count(b'"result"') if journal.exists() else 0


def same(out, other):
    made, expected = files(out), files(other)
    assert made.keys() == expected.keys()
    assert [name for name in made if made[name] != expected[name]] == []
    assert figures(out) == figures(other)


@pytest.fixture(scope="module")
def undisturbed(scans, quarters, tmp_path_factory):
    """What the local engine makes of them."""
    out = tmp_path_factory.mktemp("local") / "out"
    call = [*BATCH, scans, "--out", out, "--model", quarters, "--device", "cpu", "-q", "--write", "mask,nifti"]
    assert subprocess.run(list(map(str, call)), check=False, capture_output=True).returncode == 1
    return out


def test_a_run_whose_nodes_die_one_by_one_ends_as_an_undisturbed_one_on_one_machine(
    cluster, environment, scans, quarters, undisturbed, tmp_path
):
    first, second, _last = cluster.add(), cluster.add(), cluster.add()
    out = tmp_path / "out"
    run = start(environment, scans, out, quarters, "--address", cluster.address, "--write", "mask,nifti")
    for node, after in ((first, 3), (second, 10)):
        while parts_done(out) < after:
            assert run.poll() is None
            time.sleep(0.01)
        cluster.kill(node)
    assert parts_done(out) < VOLUMES
    _, err = run.communicate(timeout=300)
    assert run.returncode == 1
    assert "on a Ray cluster of 4 nodes: up to 3 workers" in err
    assert "Warning" not in err
    same(out, undisturbed)
    again = start(environment, scans, out, quarters, "--address", cluster.address, "--write", "mask,nifti", "--json")
    again.communicate(timeout=300)
    assert json.loads((out / "summary.json").read_text())["throughput"]["slices"] == 0
    same(out, undisturbed)
