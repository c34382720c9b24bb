"""How much of the local engine's speed `--engine ray` reaches on the same cores.

    python benchmarks/cluster.py [--slices 2000] [--rounds 5] [--docs docs]

DICOM series of phantoms, 40 slices each, are labelled by the local engine on all cores and on one, by a cluster of this
machine that was there beforehand, by one of four nodes which share its cores, and by one that the run starts itself.
They take turns, each in a process of its own, and ratios are those
of one round, so that a busy neighbour hits all alike. With `--docs`, the figures go to docs/scaling.md. Needs the extra
`ray`.
"""

import json
import os
import secrets
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from material import SLICES_A_SERIES, make_material
from page import rewrite, table
from rich.console import Console
from shared import ctseg

from ctseg_batch.cpus import usable_cpus

PHANTOMS = 5
LOCAL = "local"


@dataclass(frozen=True)
class Taken:
    """Seconds that a run took: of its own, as the summary has it, and of the whole call, from start to end."""

    run_s: float
    call_s: float


def main(
    slices: Annotated[int, typer.Option(min=SLICES_A_SERIES, help="How many; whole series of 40.")] = 2000,
    rounds: Annotated[int, typer.Option(min=1, help="How often each takes its turn.")] = 5,
    model: Annotated[str, typer.Option(help="A shipped model's name or a file.")] = "fast",
    docs: Annotated[Path | None, typer.Option(help="Write scaling.md in this folder.")] = None,
) -> None:
    """Let them take turns, see that all write the same masks, and print the figures."""
    os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex())  # a cluster that is nobody else's
    taken: dict[str, list[Taken]] = {}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        plant(work / "in", work / "pool", slices // SLICES_A_SERIES)
        with cluster(work / "one", [usable_cpus()]) as one, cluster(work / "four", [1] * 4) as four:
            ways: dict[str, list[str]] = {
                LOCAL: [],
                "local, one worker": ["--workers", "1"],
                "ray, an existing cluster": ["--engine", "ray", "--address", one],
                "ray, four nodes that share the cores": ["--engine", "ray", "--address", four],
                "ray, a cluster started for the run": ["--engine", "ray"],
            }
            for number in range(rounds):
                for name, options in ways.items():
                    call = [ctseg(), "batch", str(work / "in"), "--model", model, "--device", "cpu", *options]
                    taken.setdefault(name, []).append(timed(call, work / name))
                    Console().print(number + 1, name, taken[name][-1], highlight=False)
                same([work / name / "masks" for name in ways])
    text = table(
        ("engine", "slices/s", "of local", "with start and end", "of local"),
        [row(name, taken, slices // SLICES_A_SERIES * SLICES_A_SERIES) for name in ways],
    )
    Console().print(text, markup=False, highlight=False)
    if docs:
        told = f"{slices:,} slices, {usable_cpus()} cores, medians of {rounds} rounds:"
        rewrite(docs / "scaling.md", "cluster", f"{told}\n\n{text}")


def plant(folder: Path, pool: Path, series: int) -> None:
    """So many folders of a series: links to a few of them."""
    made = make_material(pool, PHANTOMS)
    for number in range(series):
        home = folder / f"{number:03}"
        home.mkdir(parents=True)
        for file in sorted((made.dicom / str(number % PHANTOMS)).iterdir()):
            os.link(file, home / file.name)


@contextmanager
def cluster(logs: Path, nodes: Sequence[int]) -> Iterator[str]:
    """The address of a cluster of this machine, of nodes with so many CPUs each, as `ray start` makes them."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    address = f"127.0.0.1:{port}"
    with ExitStack() as running:
        for number, cpus in enumerate(nodes):
            place = [f"--address={address}"] if number else ["--head", f"--port={port}", "--include-dashboard=false"]
            running.enter_context(node(logs / f"{number}.log", [*place, f"--num-cpus={cpus}"]))
        yield address


@contextmanager
def node(log: Path, options: Sequence[str]) -> Iterator[None]:
    """A node while it runs."""
    log.parent.mkdir(parents=True, exist_ok=True)
    call = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats", *options]
    with log.open("wb") as out:
        process = subprocess.Popen([*call, "--object-store-memory=100000000"], stdout=out, stderr=out)
    try:
        while b"Ray runtime started" not in log.read_bytes():
            if process.poll() is not None:
                raise RuntimeError(log.read_text())
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait()


def timed(call: Sequence[str | Path], out: Path) -> Taken:
    """Run a call into an OUT that is new."""
    shutil.rmtree(out, ignore_errors=True)
    began = time.perf_counter()
    subprocess.run([*call, "--out", out, "--quiet"], check=True)
    call_s = time.perf_counter() - began
    return Taken(json.loads((out / "summary.json").read_text())["throughput"]["wall_s"], call_s)


def same(folders: Sequence[Path]) -> None:
    """Raise AssertionError where their files differ."""
    first, *others = ({file.relative_to(top): file.read_bytes() for file in top.rglob("*.png")} for top in folders)
    assert first
    assert all(other == first for other in others)


def row(name: str, taken: dict[str, list[Taken]], slices: int) -> tuple[str, ...]:
    """Rates, and the medians of the rounds' ratios to the local engine."""
    pairs = list(zip(taken[LOCAL], taken[name], strict=True))
    run = statistics.median(slices / one.run_s for one in taken[name])
    call = statistics.median(slices / one.call_s for one in taken[name])
    run_share = statistics.median(local.run_s / one.run_s for local, one in pairs)
    call_share = statistics.median(local.call_s / one.call_s for local, one in pairs)
    return name, f"{run:.1f}", f"{run_share:.2f}", f"{call:.1f}", f"{call_share:.2f}"


if __name__ == "__main__":
    typer.run(main)
