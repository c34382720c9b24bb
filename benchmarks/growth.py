"""What a run of up to 10^8 slices on up to 10,000 cores would take, from what a slice costs here: what breaks first.

    python benchmarks/growth.py [--docs docs]

Measured here, each as what one more costs: the processor's time of a slice, the bytes of its file and of its mask, the
time and the memory to find a file and see that it was done, to join shares, and the driver's time for a bundle on a
cluster. Reckoned from that: everything in the table, which is a model and no measurement. With `--docs`, both go to
docs/scaling.md. Takes some minutes.
"""

import os
import secrets
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Annotated, NamedTuple

import nibabel
import numpy as np
import typer
from cluster import cluster
from material import make_material
from page import rewrite, table
from rich.console import Console
from scaling import Cost, batch, done_again, ended, images_done_before
from shared import ctseg

MIB = 2**20
SLICES_A_BUNDLE = 150
FEW, MANY = 10_000, 200_000
BUNDLES = (40, 240)
RUNS = ((10**4, 2), (10**5, 16), (10**6, 100), (10**7, 1000), (10**8, 10_000))


class Unit(NamedTuple):
    """What one more costs here."""

    slice_cpu_s: float
    file_bytes: float
    mask_bytes: float
    find_s: float
    find_bytes: float
    join_s: float
    bundle_s: float


@dataclass(frozen=True)
class Run:
    """So many slices on so many cores, by what one costs."""

    slices: int
    cores: int
    unit: Unit

    @property
    def label_s(self) -> float:
        """All cores at work."""
        return self.slices * self.unit.slice_cpu_s / self.cores

    @property
    def find_s(self) -> float:
        """One process, and so does each share."""
        return self.slices * self.unit.find_s

    @property
    def find_bytes(self) -> float:
        """What it holds meanwhile."""
        return self.slices * self.unit.find_bytes

    @property
    def bundles_s(self) -> float:
        """One driver of a cluster."""
        return self.slices / SLICES_A_BUNDLE * self.unit.bundle_s

    @property
    def gib_a_second(self) -> float:
        """What is read while all cores are at work."""
        return self.slices / self.label_s * self.unit.file_bytes / 2**30

    @property
    def requests_a_second(self) -> float:
        """Of a store meanwhile: a file is fetched, a mask stored."""
        return 2 * self.slices / self.label_s

    def row(self) -> tuple[str, ...]:
        """As the table has it."""
        return (
            f"{self.slices:,}",
            f"{self.cores:,}",
            span(self.label_s),
            span(self.find_s),
            amount(self.find_bytes),
            span(self.bundles_s),
            span(self.slices * self.unit.join_s),
            f"{float(f'{self.gib_a_second:.2g}'):g} GiB/s",
            f"{self.requests_a_second:,.0f} /s",
            amount(self.slices * self.unit.mask_bytes),
        )


TITLES = (
    "slices", "cores", "segmenting", "finding files", "memory", "Ray driver", "joining shards", "reading",
    "store requests", "masks",
)  # fmt: skip


def main(docs: Annotated[Path | None, typer.Option(help="Write scaling.md in this folder.")] = None) -> None:
    """Measure what one costs, and print what many would."""
    unit = measured()
    told = table(("one more", "costs"), costs(unit))
    grown = table(TITLES, (Run(slices, cores, unit).row() for slices, cores in RUNS))
    Console().print(f"{told}\n\n{grown}", markup=False, highlight=False, soft_wrap=True)
    if docs:
        rewrite(docs / "scaling.md", "growth", f"{told}\n\n{grown}")


def costs(unit: Unit) -> Iterator[tuple[str, str]]:
    """What was measured, in words."""
    yield "slice of 512 x 512 labelled, JPEG Lossless in, mask out", f"{1e3 * unit.slice_cpu_s:.1f} ms of a core"
    yield "file of it", f"{unit.file_bytes / 1024:.0f} KiB"
    yield "mask of it", f"{unit.mask_bytes / 1024:.1f} KiB"
    yield "file found and seen to be done", f"{1e6 * unit.find_s:.0f} µs, {unit.find_bytes:.0f} bytes held"
    yield "slice in the tables that are joined", f"{1e6 * unit.join_s:.0f} µs"
    yield "bundle on a cluster, of the driver", f"{1e3 * unit.bundle_s:.0f} ms"


def measured() -> Unit:
    """Each cost as the difference between few and many, so that what it takes to start is not part of it."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        series = make_material(work, 3).dicom
        files = sorted(file for file in series.rglob("*") if file.is_file())
        one, three = labelled(series / "0", work / "one"), labelled(series, work / "three")
        sizes = [file.stat().st_size for file in files]
        masks = [file.stat().st_size for file in (work / "three" / "masks").rglob("*.png")]
        few, many = (done_before(work / str(count), count) for count in (FEW, MANY))
        few_bundles, many_bundles = driven(work / "cluster")
    return Unit(
        slice_cpu_s=(three.cpu_s - one.cpu_s) / (len(files) * 2 / 3),
        file_bytes=mean(sizes),
        mask_bytes=mean(masks),
        find_s=(many.found.cpu_s - few.found.cpu_s) / (MANY - FEW),
        find_bytes=(many.found.peak_mib - few.found.peak_mib) * MIB / (MANY - FEW),
        join_s=(many.joined.cpu_s - few.joined.cpu_s) / (MANY - FEW),
        bundle_s=(many_bundles.cpu_s - few_bundles.cpu_s) / (BUNDLES[1] - BUNDLES[0]),
    )


def labelled(folder: Path, out: Path) -> Cost:
    """Of a run of one worker, so that no two wait for each other's memory."""
    return ended([ctseg(), "batch", folder, "--out", out, "--device", "cpu", "--workers", "1", "--json", "--quiet"])[1]


class Done(NamedTuple):
    """What it takes to see that all was done before, and to join shares of it."""

    found: Cost
    joined: Cost


def done_before(work: Path, count: int) -> Done:
    """Of so many images."""
    material = images_done_before(work, count)
    found = done_again(material)
    for share in ("1/2", "2/2"):
        ended(batch(material, "--quiet", "--shard", share))
    joined = ended([ctseg(), "summarize", material.out, "--out", work / "all", "--json", "--quiet"])[1]
    return Done(found, joined)


def driven(work: Path) -> list[Cost]:
    """Of the driver of a cluster that was there before, for few and for many bundles of a tiny volume each."""
    costs = []
    os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex())  # a cluster that is nobody else's
    with cluster(work / "nodes", [2]) as address:
        for count in BUNDLES:
            folder = work / str(count)
            folder.mkdir(parents=True)
            save_volume(folder / "0.nii")
            for number in range(1, count):
                os.link(folder / "0.nii", folder / f"{number}.nii")
            call = [ctseg(), "batch", str(folder), "--out", f"{folder} out", "--engine", "ray", "--address", address]
            costs.append(ended([*call, "--json", "--quiet"])[1])
    return costs


def save_volume(file: Path) -> None:
    """One slice of 16 x 16: there is next to nothing to label."""
    image = nibabel.Nifti1Image(np.zeros((16, 16, 1), np.int16), np.eye(4))  # type: ignore[no-untyped-call]
    nibabel.save(image, file)


def amount(size: float) -> str:
    """Bytes, as people say it."""
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 / 10 else f"{size / 2**20:.0f} MiB"


def span(seconds: float) -> str:
    """As people say it."""
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.1f} s"


if __name__ == "__main__":
    typer.run(main)
