"""Make the report of an OUT."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.filesize import decimal

from ctseg.printable import count
from ctseg.process.replacing import make_room, replace_with
from ctseg_batch.cpus import usable_cpus
from ctseg_batch.layout import recorded_root
from ctseg_batch.reporting import REPORT_HTML, overview
from ctseg_batch.reporting.agreement import agreement
from ctseg_batch.reporting.charts import charts
from ctseg_batch.reporting.choose import choose_scans
from ctseg_batch.reporting.facts import model_facts
from ctseg_batch.reporting.page import Page, render
from ctseg_batch.reporting.results import Results, read_results, slices_of
from ctseg_batch.reporting.section import Origin, ScanSection, scan_section
from ctseg_batch.reporting.sources import holds
from ctseg_batch.reporting.table import columns, table_data
from ctseg_batch.url import is_url

Watched = Callable[[Sequence[int]], Iterable[int]]
"""Shows the progress through a sequence."""


def write_report(out: Path, file: Path | None, most: int, model: Path | None, watched: Watched = iter) -> str:
    """Write the report of a run's OUT, to `file` or OUT/report.html, with pictures of `most` scans.

    Returns a line on its path and size, and on how many scans have pictures. `model`: the model file of the run, if
    it is not a shipped one. Raises CallError for an OUT that can't be understood or a file that can't be written.
    """
    results = read_results(out)
    models = model_facts(results.summary, model)
    sections = _sections(results, most, watched)
    pictured = [one for one in sections if one.pictures.tiles]
    picture_bytes = sum(one.pictures.bytes for one in pictured)
    shown = columns(results.summary)
    page = Page(
        name=out.resolve().name,
        summary=results.summary,
        written=results.written,
        overview=overview.overview(results.summary),
        charts=charts(results.summary),
        agreement=agreement(results.summary),
        columns=shown,
        table=table_data(results.summary, shown, {one.index for one in sections}),
        sections=sections,
        models=models,
        pictured=len(pictured),
        picture_bytes=picture_bytes,
    )
    content = render(page).encode()
    target = out / REPORT_HTML if file is None else file
    make_room(target)
    replace_with(target, content)
    scans = count(len(results.summary["scans"]), "scan")
    line = f"report: {target}, {decimal(len(content))}, pictures of {len(pictured)} of {scans}"
    return f"{line} ({decimal(picture_bytes)})" if pictured else line


def _sections(results: Results, most: int, watched: Watched) -> tuple[ScanSection, ...]:
    """The sections of the scans that are shown; the slices of a scan are drawn by several threads."""
    scans = results.summary["scans"]
    chosen = choose_scans(scans, most)
    rows = slices_of(results, {scans[index]["scan"] for index in chosen})

    joined = _runs_of_scans(results)

    def draw(index: int, origins: Mapping[Path, Origin]) -> ScanSection:
        scan = scans[index]
        of_scan = None if rows is None else rows.get(scan["scan"], ())
        likely = [origins[joined[index]], *origins.values()] if joined else origins.values()
        origin = next((one for one in likely if holds(one.out, of_scan or ())), next(iter(likely)))
        return scan_section(index, chosen[index], scan, of_scan, origin)

    with ThreadPoolExecutor(usable_cpus()) as pool:
        runs = (Path(run["out"]) for run in results.summary["runs"] or ())
        origins = {out: Origin(out, _root_here(out), pool) for out in dict.fromkeys([results.out, *runs])}
        return tuple(draw(index, origins) for index in watched(list(chosen)))


def _root_here(out: Path) -> Path | None:
    """Where the run of an OUT read its scans on this machine; None for an archive or a store, or if nothing tells."""
    root = recorded_root(out)
    return None if root is None or is_url(root) else Path(root)


def _runs_of_scans(results: Results) -> Sequence[Path]:
    """The OUT of each scan's run, if several were joined; else none, nor if they are shards.

    Masks of two runs may have the same path. Those of shards do not, and their scans are not in the order of the runs.
    """
    runs = results.summary["runs"] or ()
    outs = [Path(run["out"]) for run in runs for _ in range(run["scans"])]
    return [] if any(run["shard"] for run in runs) or len(outs) != len(results.summary["scans"]) else outs
