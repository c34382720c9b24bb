"""How fast `ctseg batch` is, against the parts that it can't do without and against other ways to do the job.

    python benchmarks/speed.py [--model fast] [--docs docs] [--long]

Slices come from the phantom, so anyone can run it; `pip install -e '.[dev,peers]'` brings what it is compared with. All
that is compared takes turns in one process tree, and medians are quoted, so that a busy neighbour hits all alike. With
`--docs`, the table and a plot go to docs/performance.md. `--long` adds 20,000 slices.
"""

import json
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import typer
from accuracy import agreement
from material import Material, Parts, make_material, rate
from performance_page import processor, write_performance
from rich.console import Console
from rich.table import Table
from shared import ctseg, read_picture

from ctseg.model import INPUT, OUTPUT, find_model
from ctseg.runtime import open_on_cpu
from ctseg_batch.call import Call
from ctseg_batch.cpus import usable_cpus
from ctseg_batch.run import run
from ctseg_batch.watcher import Watcher

ROUNDS, RUNS = 5, 150


@dataclass
class Findings:
    """Rows of the table: what, how much, the target; and slices/s for the plot."""

    rows: list[tuple[str, str, str]] = field(default_factory=list)
    rates: dict[str, float] = field(default_factory=dict)

    def add(self, what: str, found: str, aim: str) -> None:
        """One row, shown at once: the whole takes minutes."""
        self.rows.append((what, found, aim))
        Console().print(f"{what}: [bold]{found}[/]{f' (target: {aim})' if aim else ''}", highlight=False)


def main(
    model: Annotated[str, typer.Option(help="A shipped model's name or a file.")] = "fast",
    docs: Annotated[
        Path | None, typer.Option(help="Write performance.md and performance.png into this folder.")
    ] = None,
    long: Annotated[bool, typer.Option("--long", help="Also 20,000 slices: ten minutes more.")] = False,
) -> None:
    """Run all points and print the table."""
    found, workers = Findings(), usable_cpus()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        material = make_material(work / "slices", series=12)
        end_to_end(found, material, model, workers, work)
        precisions(found, model, workers)
        int8_labels(found, material, model, work)
        classic(found, material, model, work)
        start_up(found, material, model, work)
        neighbour(found, material, model, work)
        memory(found, material, model, work, (500, 20_000) if long else (500, 2_000))
    table = Table("what", "measured", "target", title=f"{workers} cores, {processor()}")
    for row in found.rows:
        table.add_row(*row)
    Console().print(table)
    if docs:
        write_performance(docs, found.rows, found.rates, workers)


def end_to_end(found: Findings, material: Material, model: str, workers: int, work: Path) -> None:
    """Folder to masks and table, start-up apart, against network, decode and encode each alone."""
    for kind, folder in (("PNG", material.png), ("JPEG Lossless DICOM", material.dicom)):
        parts = Parts(sorted(f for f in folder.rglob("*") if f.is_file()), model, workers)
        times: dict[str, list[float]] = {}
        for _ in range(ROUNDS):
            for name, reached in parts.rates().items():
                times.setdefault(name, []).append(1 / reached)
            times.setdefault("run", []).append(1 / batch_rate(folder, work / "out", model=model))
        median = {name: statistics.median(values) for name, values in times.items()}
        core = median["network"] + median["decode"] + median["encode"]
        found.rates[f"ctseg batch, {kind}"] = 1 / median["run"]
        found.add(f"{kind}: slices per second", f"{1 / median['run']:.0f}", "")
        told = ", ".join(f"{name} {1000 * median[name]:.2f}" for name in ("run", "network", "decode", "encode"))
        found.add(f"{kind}: ms per slice", told, "")
        found.add(f"{kind}: run / (network + decode + encode)", f"{median['run'] / core:.3f}", "at most 1.10")


def precisions(found: Findings, model: str, workers: int) -> None:
    """onnxruntime against OpenVINO, and int8 against fp32: the network alone, on all cores."""
    from peers import OpenVino

    file = find_model(model)
    small = file.with_name(f"{file.stem}.int8.onnx")
    side = open_on_cpu(file)[1].preparation.long_side
    shape = (side, side)
    slices = np.random.default_rng(0).uniform(0, 255, (1, 1, *shape)).astype(np.float32)
    ways: dict[str, Callable[[], float]] = {}
    for name, path in (("fp32", file), ("int8", small)):
        session = open_on_cpu(path)[0]
        ways[f"onnxruntime {name}"] = partial(session_rate, session, slices, workers)
        ways[f"OpenVINO {name}"] = partial(OpenVino(path, shape, workers).rate, slices, RUNS)
    reached = taken_in_turn(ways)
    found.rates |= {f"{name}, network alone": value for name, value in reached.items()}
    for name, aim in (("fp32", "at least 0.95"), ("int8", "at least 0.85")):
        share = reached[f"onnxruntime {name}"] / reached[f"OpenVINO {name}"]
        found.add(f"network alone: onnxruntime / OpenVINO, {name}", f"{share:.2f}", aim)
    found.add(
        "network alone: int8 / fp32", f"{reached['onnxruntime int8'] / reached['onnxruntime fp32']:.2f}", "at least 1.2"
    )


def session_rate(session: Any, slices: np.ndarray, workers: int) -> float:
    """Slices/s of an onnxruntime session."""
    return rate(lambda _: session.run([OUTPUT], {INPUT: slices}), RUNS, workers)


def int8_labels(found: Findings, material: Material, model: str, work: Path) -> None:
    """How far the labels of int8 are from those of fp32: the least Dice of a class over all slices."""
    tables = np.zeros((4, 4), np.int64)
    for precision in ("fp32", "int8"):
        run(Call([material.png], work / precision, model=model, device="cpu", precision=precision), Watcher())
    for file in sorted((work / "fp32" / "masks").rglob("*.png")):
        pair = (file, work / "int8" / "masks" / file.relative_to(work / "fp32" / "masks"))
        one, other = (read_picture(f).ravel().astype(int) for f in pair)
        tables += np.bincount(4 * one + other, minlength=16).reshape(4, 4)
    least = min(agreement(tables, [c])[1] for c in range(4))
    found.add("int8 against fp32: least Dice of a class", f"{least:.3f}", "at least 0.97")


def classic(found: Findings, material: Material, model: str, work: Path) -> None:
    """Against the classic U-Net in eager PyTorch, with the shipped model and with the classic net exported."""
    from peers import Eager, save_classic

    save_classic(work / "classic.pt")
    call = ["export", work / "classic.pt", "--out", work / "classic.onnx"]
    subprocess.run([ctseg(), *map(str, call)], check=True, capture_output=True)
    few = work / "few"
    few.mkdir()
    for file in sorted((material.png / "0").iterdir())[::10]:
        shutil.copy(file, few)
    eager = Eager(work / "classic.pt")
    reached = taken_in_turn(
        {
            "eager": lambda: eager.rate(sorted(few.iterdir()), work / "eager"),
            "exported": lambda: batch_rate(few, work / "out", model=str(work / "classic.onnx")),
            "shipped": lambda: batch_rate(material.png, work / "out", model=model),
        },
        rounds=3,
    )
    found.rates["classic U-Net, eager PyTorch"] = reached["eager"]
    found.rates["classic U-Net, ctseg export and batch"] = reached["exported"]
    found.add(
        "PNG, shipped model / classic U-Net in eager PyTorch",
        f"{reached['shipped'] / reached['eager']:.0f}",
        "at least 150",
    )
    found.add(
        "PNG, classic U-Net exported / in eager PyTorch",
        f"{reached['exported'] / reached['eager']:.2f}",
        "at least 1.4",
    )


def start_up(found: Findings, material: Material, model: str, work: Path) -> None:
    """From the start of the process to the first mask, and the whole command on one slice."""
    one = work / "one"
    one.mkdir()
    shutil.copy(next((material.png / "0").iterdir()), one)
    first, whole = [], []
    for _ in range(ROUNDS):
        shutil.rmtree(work / "out", ignore_errors=True)
        began = time.time()
        subprocess.run([ctseg(), "batch", one, "--out", work / "out", "--model", model, "--quiet"], check=True)
        whole.append(time.time() - began)
        (mask,) = (work / "out" / "masks").iterdir()
        first.append(mask.stat().st_mtime - began)
    found.add("start of the process to the first mask", f"{statistics.median(first):.2f} s", "under 1.0 s")
    found.add("the whole command on one slice", f"{statistics.median(whole):.2f} s", "under 1.5 s")


def neighbour(found: Findings, material: Material, model: str, work: Path) -> None:
    """All workers while another process burns a core, against one worker left in peace."""
    alone, beside = [], []
    for _ in range(3):
        alone.append(batch_rate(material.png, work / "out", model=model, workers=1))
        burner = multiprocessing.get_context("spawn").Process(target=burn, daemon=True)
        burner.start()
        beside.append(batch_rate(material.png, work / "out", model=model))
        burner.terminate()
        burner.join()
    share = statistics.median(beside) / statistics.median(alone)
    found.add("beside a neighbour that burns one core / one core alone", f"{share:.2f}", "at least 1.00")


def memory(found: Findings, material: Material, model: str, work: Path, counts: tuple[int, int]) -> None:
    """The resident peak and the time a slice of a long run against those of a short one."""
    files = sorted(f for f in material.png.rglob("*") if f.is_file())
    peaks, times = [], []
    for count in counts:
        folder = work / str(count)
        folder.mkdir()
        for number in range(count):
            os.link(files[number % len(files)], folder / f"{number:05}.png")
        shutil.rmtree(work / "out", ignore_errors=True)
        call = [ctseg(), "batch", str(folder), "--out", str(work / "out"), "--model", model, "--json", "--quiet"]
        code = f"import resource, subprocess; subprocess.run({call!r}, check=True, stdout=subprocess.DEVNULL); "
        code += "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
        told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
        peaks.append(int(told) / 1024)
        summary = json.loads((work / "out" / "summary.json").read_text())
        times.append(1000 / summary["throughput"]["slices_per_second"])
    few, many = counts
    found.add(
        f"peak memory, {many:,} slices / {few}", f"{peaks[1] / peaks[0]:.3f} ({peaks[1]:.0f} MiB)", "at most 1.10"
    )
    found.add(f"time per slice, {many:,} slices / {few}", f"{times[1] / times[0]:.3f}", "about 1")


def batch_rate(folder: Path, out: Path, **wanted: Any) -> float:
    """Slices/s of a run in this process, start-up apart."""
    shutil.rmtree(out, ignore_errors=True)
    summary = run(Call([folder], out, device="cpu", **wanted), Watcher())
    return float(summary["throughput"]["slices_per_second"])


def taken_in_turn(ways: dict[str, Callable[[], float]], rounds: int = ROUNDS) -> dict[str, float]:
    """The median rate of each way over some rounds, the first of which warms up and does not count."""
    reached: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for name, measure in ways.items():
            reached[name].append(measure())
    return {name: statistics.median(rates[1:]) for name, rates in reached.items()}


def burn() -> None:
    """Keep a core busy."""
    while True:
        sum(range(100_000))


if __name__ == "__main__":
    typer.run(main)
