"""`ctseg demo`: a run on two synthetic scans whose truth is known."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from ctseg.errors import CallError
from ctseg.process.progress import busy

_SLICES = 40


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the scans and the results.")] = Path("ctseg-demo"),
) -> None:
    """Segment two synthetic scans with the shipped model, to see what the output looks like.

    Example: ctseg demo --out try
    """
    from rich.text import Text

    from ctseg_batch.call import Call
    from ctseg_batch.figures.summary import exit_status
    from ctseg_batch.run import run
    from ctseg_batch.terminal.console import legend, people_console, show
    from ctseg_batch.terminal.table import end_of_run
    from ctseg_batch.terminal.watch import ConsoleWatcher

    scans, truth, results = out / "scans", out / "truth", out / "results"
    drawn = _scans(scans, truth)
    # Scans and results of an earlier demo are overwritten; anything else in the folder must not be.
    is_demo = scans.is_dir() and drawn.keys() >= {entry.name for entry in scans.iterdir()}
    if out.exists() and not is_demo and not (out.is_dir() and not any(out.iterdir())):
        raise CallError(f"{out} exists already and does not hold a demo: name another folder with --out")
    console = people_console()
    for name, write in drawn.items():
        with busy(console, f"drawing {name}"):
            write()
    with ConsoleWatcher(console) as watcher:
        summary = run(Call([scans], results, truth, write=("mask", "overlay"), overwrite=True), watcher)
    show(console, end_of_run(summary, console.width))
    said = (
        "",
        "These scans are synthetic: the phantom drew them, and its truth. Real scans are harder.",
        legend(),
        f"scans     {scans}",
        f"truth     {truth}",
        f"masks     {results / 'masks'}",
        f"overlays  {results / 'overlays'}",
        f"summary   {results / 'summary.csv'}, {results / 'summary.json'}",
        "",
        "Your own scans:  ctseg batch path/to/scans --out results --write mask,overlay",
    )
    for line in said:
        console.print(line if isinstance(line, Text) else Text(line), soft_wrap=True)
    raise typer.Exit(exit_status(summary))


def _scans(scans: Path, truth: Path) -> dict[str, Callable[[], object]]:
    """The functions that draw the scans, by name: a NIfTI volume and a DICOM series."""
    from ctseg.phantom import Phantom, write_dicom, write_nifti

    mild, severe = Phantom(seed=1, slices=_SLICES, disease=0.05), Phantom(seed=2, slices=_SLICES, disease=0.3)
    return {
        "mild.nii.gz": partial(write_nifti, mild, scans / "mild.nii.gz", truth=truth / "mild.nii.gz"),
        "severe": partial(write_dicom, severe, scans / "severe", truth=truth / "severe"),
    }
