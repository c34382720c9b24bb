"""A night's run in small: 20,000 slices, a hundredth of the files spoilt, memory and open files watched from outside.

    python benchmarks/soak.py [--slices 20000] [--model fast] [--docs docs]

The real command runs as a process of its own on scans of phantoms in four formats. Every file that was spoilt must be
named and no other, every other slice be done, and the second call write nothing: anything else is an error here. With
`--docs`, the figures go to docs/reliability.md. Needs some 200 MB of disk, and minutes.
"""

import json
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import psutil
import typer
from page import rewrite, table
from rich.console import Console
from shared import ctseg
from soak_material import Planted, plant

MIB = 2**20
INTERVAL_S = 0.2
QUARTERS = 4


@dataclass(frozen=True)
class Sample:
    """What the process holds at a moment: resident memory in MiB, open files."""

    memory: float
    files: int


@dataclass(frozen=True)
class Ran:
    """A call that has ended: its exit status, what it printed, and samples at even intervals."""

    status: int
    summary: dict[str, Any]
    errors: str
    samples: Sequence[Sample]

    def quarters(self) -> list[Sequence[Sample]]:
        """The samples of each quarter of the time."""
        count = len(self.samples)
        return [self.samples[count * n // QUARTERS : count * (n + 1) // QUARTERS] for n in range(QUARTERS)]


def main(
    slices: Annotated[int, typer.Option(min=160, help="How many; whole scans of 40.")] = 20_000,
    model: Annotated[str, typer.Option(help="A shipped model's name or a file.")] = "fast",
    docs: Annotated[Path | None, typer.Option(help="Write reliability.md in this folder.")] = None,
) -> None:
    """Run twice, check the counts, and print the figures."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        planted = plant(work / "pool", work / "in", slices)
        call = [ctseg(), "batch", str(work / "in"), "--out", str(work / "out"), "--model", model]
        first = watched([*call, "--json", "--quiet"], work / "summary.json")
        times = mask_times(work / "out")
        second = watched([*call, "--json", "--quiet"], work / "summary.json")
        check(planted, first, second, times, mask_times(work / "out"))
    text = "\n\n".join([faults_text(planted), figures_text(planted, first, second, len(times))])
    Console().print(text, markup=False, highlight=False)
    if docs:
        rewrite(docs / "reliability.md", "soak", text)


def watched(call: Sequence[str], told: Path) -> Ran:
    """Run a call to its end with its standard output in a file, and look at it from time to time."""
    samples = []
    with told.open("w") as out, tempfile.TemporaryFile("w+") as err:
        process = psutil.Popen(call, stdout=out, stderr=err)
        while process.poll() is None:
            try:
                samples.append(Sample(process.memory_info().rss / MIB, process.num_fds()))
            except psutil.Error:  # it ended meanwhile
                break
            time.sleep(INTERVAL_S)
        status = process.wait()
        err.seek(0)
        errors = err.read()
    return Ran(status, json.loads(told.read_text()), errors, samples)


def mask_times(out: Path) -> dict[Path, int]:
    """When each mask was written."""
    return {mask: mask.stat().st_mtime_ns for mask in (out / "masks").rglob("*.png")}


def check(planted: Planted, first: Ran, second: Ran, before: dict[Path, int], after: dict[Path, int]) -> None:
    """Raise AssertionError, with all of the command's words, where anything does not add up."""
    for ran in (first, second):
        errors = [*ran.summary["errors"], *(error for scan in ran.summary["scans"] for error in scan["errors"])]
        assert {error["file"] for error in errors} == set(planted.faults), ran.errors
        assert len(errors) == len(planted.faults), ran.errors
        assert done(ran) + failed(ran) == planted.slices, ran.errors
        assert failed(ran) == sum(planted.lost.values()), ran.errors
        assert "Traceback" not in ran.errors, ran.errors
        assert ran.status == 1, ran.errors
    assert len(before) == done(first)
    assert second.summary["throughput"]["slices"] == 0
    assert after == before


def done(ran: Ran) -> int:
    """Slices that have a mask, as the summary counts them."""
    return int(ran.summary["totals"]["slices"] - ran.summary["totals"]["failed_slices"])


def failed(ran: Ran) -> int:
    """Slices without one: those of scans, and files that could not even be told to be of one."""
    return int(ran.summary["totals"]["failed_slices"]) + len(ran.summary["errors"])


def faults_text(planted: Planted) -> str:
    """What was spoilt."""
    counts = Counter(planted.faults.values())
    return table(("fault", "files"), [*counts.items(), ("all", f"{len(planted.faults)}")])


def figures_text(planted: Planted, first: Ran, second: Ran, masks: int) -> str:
    """What was counted and measured."""
    rate = first.summary["throughput"]["slices_per_second"]
    counts = [
        ("slices in the input", f"{planted.slices:,}"),
        ("slices done, as the summary says", f"{done(first):,}"),
        ("masks on the disk", f"{masks:,}"),
        ("slices failed, each for a reason", f"{failed(first):,}"),
        ("done and failed together", f"{done(first) + failed(first):,}"),
        ("exit status", first.status),
        ("wall time", f"{wall(first)}, {rate:.0f} slices a second"),
        ("slices done by the second call", second.summary["throughput"]["slices"]),
        ("exit status of the second call", second.status),
        ("wall time of the second call", wall(second)),
    ]
    held = [
        (
            f"{number} of {QUARTERS}",
            f"{statistics.median(sample.memory for sample in part):.0f} MiB",
            f"{max(sample.memory for sample in part):.0f} MiB",
            f"{statistics.median(sample.files for sample in part):.0f}",
            f"{max(sample.files for sample in part)}",
        )
        for number, part in enumerate(first.quarters(), start=1)
    ]
    titles = ("quarter of the time", "memory, median", "memory, peak", "open files, median", "open files, most")
    return f"{table(('counted', ''), counts)}\n\n{table(titles, held)}"


def wall(ran: Ran) -> str:
    """Seconds, as the summary says."""
    return f"{ran.summary['throughput']['wall_s']:.1f} s"


if __name__ == "__main__":
    typer.run(main)
