"""A million tiny files that were all done before: what it takes to find them, to see that, and to join eight shards.

    python benchmarks/scaling.py [--images 1000000] [--series 1000] [--shards 8] [--docs docs]

Nothing is labelled: OUT is made as a run would leave it, by the classes of a run. Then the real command runs as a
process of its own, which must find nothing to do; anything else is an error here. Quoted are seconds by the clock and
of the processor, which a busy neighbour changes less, and the largest resident memory. With `--docs`, the figures go to
docs/scaling.md. Needs some 8 GB of disk, nearly all of it for names of files, and minutes.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from page import rewrite, table
from rich.console import Console
from scaling_material import FILES_A_SERIES, IMAGES_A_FOLDER, note_as_done, plant_images, plant_series
from shared import ctseg

from ctseg_batch.call import Call

FEW = 1000
PLANNED, AGAIN, UNREAD = "plan (`--dry-run`)", "the same call again", "plan, before headers were read"


@dataclass(frozen=True)
class Material:
    """A folder of so many files, and an OUT in which all of them were done before."""

    folder: Path
    out: Path
    files: int


class Cost(NamedTuple):
    """Of a call: seconds by the clock, seconds of the processor, MiB at most."""

    wall_s: float
    cpu_s: float
    peak_mib: float


@dataclass
class Findings:
    """Rows of a table, and by the name of a call what it took for few files: that is to start, and no file's."""

    rows: list[tuple[str, ...]] = field(default_factory=list)
    _starts: dict[str, tuple[int, float]] = field(default_factory=dict)

    def add(self, files: int, call: str, cost: Cost) -> None:
        """One row, shown at once."""
        few, start_s = self._starts.setdefault(call, (files, cost.cpu_s))
        more = f"{1e6 * (cost.cpu_s - start_s) / (files - few):.0f} µs" if files > few else ""
        row = f"{files:,}", call, f"{cost.wall_s:.1f} s", f"{cost.cpu_s:.1f} s", more, f"{cost.peak_mib:.0f} MiB"
        self.rows.append(row)
        Console().print(*row, sep="   ", markup=False, highlight=False)

    def text(self) -> str:
        """All of it."""
        return table(("files", "call", "wall time", "CPU time", "one more file", "peak memory"), self.rows)


def main(
    images: Annotated[int, typer.Option(min=10 * FEW, help="How many at most; a tenth and fewer before.")] = 10**6,
    series: Annotated[int, typer.Option(min=100, help="How many DICOM series of 100 files.")] = 1000,
    shards: Annotated[int, typer.Option(min=2, help="How many shares of the images to join.")] = 8,
    docs: Annotated[Path | None, typer.Option(help="Write scaling.md in this folder.")] = None,
) -> None:
    """Run all calls, check that they found all and did nothing, and print the figures."""
    of_images, of_series = Findings(), Findings()
    for count in (FEW, images // 10, images):
        with tempfile.TemporaryDirectory() as folder:
            material = images_done_before(Path(folder), count // IMAGES_A_FOLDER * IMAGES_A_FOLDER)
            of_images.add(material.files, PLANNED, planned(material))
            of_images.add(material.files, AGAIN, done_again(material))
            joined(of_images, material, shards)
    for count in (FEW, series * FILES_A_SERIES):
        with tempfile.TemporaryDirectory() as folder:
            material = series_done_before(Path(folder), count)
            of_series.add(count, UNREAD, planned(Material(material.folder, Path(folder) / "new", count)))
            of_series.add(count, PLANNED, planned(material))
            of_series.add(count, AGAIN, done_again(material))
    if docs:
        rewrite(docs / "scaling.md", "images", of_images.text())
        rewrite(docs / "scaling.md", "series", of_series.text())


def images_done_before(work: Path, count: int) -> Material:
    """Images in folders of 1000."""
    plant_images(work / "in", count)
    return noted(Material(work / "in", work / "out", count))


def series_done_before(work: Path, count: int) -> Material:
    """DICOM series in folders of 100 files."""
    plant_series(work / "in", count)
    return noted(Material(work / "in", work / "out", count))


def noted(material: Material) -> Material:
    """The same, once OUT is what a run leaves there."""
    note_as_done(Call([material.folder], material.out, device="cpu"))
    return material


def planned(material: Material) -> Cost:
    """Find all, and tell what there is to do."""
    told, cost = ended(batch(material, "--dry-run"))
    assert sum(scan["slices"] for scan in told["scans"]) == material.files
    assert all(scan["to_do"] == 0 for scan in told["scans"]) == material.out.exists()
    return cost


def done_again(material: Material) -> Cost:
    """The same call once more: it finds nothing to do, and writes its tables."""
    told, cost = ended(batch(material, "--quiet"))
    check(told, material.files)
    return cost


def joined(found: Findings, material: Material, shards: int) -> None:
    """The dearest of the shards, run one by one, and all of them as one; the run as a whole makes room for them."""
    slices = material.out / "slices.csv"
    whole = slices.read_bytes()
    for file in (slices, material.out / "summary.json"):
        file.unlink()
    costs = [ended(batch(material, "--quiet", "--shard", f"{n}/{shards}"))[1] for n in range(1, shards + 1)]
    told, cost = ended([ctseg(), "summarize", material.out, "--out", material.out / "all", "--json", "--quiet"])
    check(told, material.files)
    assert (material.out / "all" / "slices.csv").read_bytes() == whole
    found.add(material.files, f"one of {shards} shards again", max(costs, key=lambda one: one.cpu_s))
    found.add(material.files, f"`ctseg summarize` of {shards} shards", cost)


def check(summary: dict[str, Any], files: int) -> None:
    """Raise AssertionError where something is missing, or was done."""
    assert summary["totals"]["slices"] == files
    assert summary["totals"]["failed_slices"] == 0
    assert summary["throughput"]["slices"] == 0


def batch(material: Material, *options: str) -> Sequence[str | Path]:
    """A call of `ctseg batch`."""
    return [ctseg(), "batch", material.folder, "--out", material.out, "--device", "cpu", "--json", *options]


def ended(call: Sequence[str | Path]) -> tuple[dict[str, Any], Cost]:
    """Run a call to its end: the JSON that it printed, and what it took. Raises CalledProcessError for a bad end."""
    measured = [sys.executable, str(Path(__file__).with_name("cost.py")), *map(str, call)]
    told = json.loads(subprocess.run(measured, check=True, stdout=subprocess.PIPE).stdout)
    return json.loads(told["printed"]), Cost(**told["cost"])


if __name__ == "__main__":
    typer.run(main)
