"""The page of docs/ on speed: its table and its plot."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import page

Rows = Sequence[tuple[str, str, str]]
"""What, what was measured, and the target if there is one."""


def processor() -> str:
    """What kind of processor this is, and the vector instructions that matter here."""
    try:
        told = Path("/proc/cpuinfo").read_text()
    except OSError:
        return "processor unknown"
    flags = next((line for line in told.splitlines() if line.startswith("flags")), "").split()
    known = [name for name in ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8") if name in flags]
    return f"x86-64 with {', '.join(known)}" if known else "processor unknown"


def write_performance(docs: Path, rows: Rows, rates: Mapping[str, float], workers: int) -> None:
    """The table and the plot; slices/s by what reached them."""
    draw_rates(rates, workers, docs / "performance.png")
    text = f"{workers} cores, {processor()}:\n\n{page.table(('', 'measured', 'target'), rows)}"
    page.rewrite(docs / "performance.md", "measured", text)


def draw_rates(rates: Mapping[str, float], workers: int, file: Path) -> None:
    """Slices a second as dots on a log scale: lengths of bars would mean nothing there."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 0.45 * len(rates) + 1), layout="constrained")
    axes = figure.subplots()
    names = sorted(rates, key=lambda name: rates[name])
    for row, name in enumerate(names):
        axes.plot(rates[name], row, "o", ms=8, color="#4477aa" if "ctseg batch," in name else "#888888")
        axes.annotate(f"{rates[name]:.3g}", (rates[name], row), (8, 0), textcoords="offset points", va="center")
    axes.set_yticks(range(len(names)), names)
    axes.set_xscale("log")
    axes.margins(x=0.15)
    axes.set_xlabel(f"slices of 512 x 512 a second, {workers} cores (log scale)")
    axes.grid(axis="y", color="#dddddd")
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    figure.savefig(file, dpi=110)
