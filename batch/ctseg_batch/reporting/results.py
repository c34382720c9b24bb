"""Read what a run left in OUT: its summary, the figures of its slices, and the place of its scans."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from ctseg.errors import CallError
from ctseg.reading.kind import kind_by_name
from ctseg_batch.figures.columns import figures_of
from ctseg_batch.figures.runs import read_summary
from ctseg_batch.figures.slices_file import read_slices
from ctseg_batch.figures.summary import Summary
from ctseg_batch.layout import SLICES_CSV, SUMMARY_JSON, names_in, shard_of
from ctseg_batch.slice_figures import SliceFigures
from ctseg_batch.url import is_plain


@dataclass(frozen=True, slots=True)
class Results:
    """A summary, and when it was `written`."""

    out: Path
    summary: Summary
    written: datetime


def read_results(out: Path) -> Results:
    """Read the summary in OUT; raises CallError if there is no valid one."""
    names = names_in(out)
    if SUMMARY_JSON not in names and any(map(shard_of, names)):
        raise CallError(
            f"{out} holds no {SUMMARY_JSON}: join the shards that have run into it with ctseg summarize first"
        )
    summary = read_summary(out, "", str(out))
    try:
        written = (out / SUMMARY_JSON).stat().st_mtime
    except OSError as error:
        raise CallError(f"{out} no longer holds {SUMMARY_JSON}: another run is in progress") from error
    return Results(out, summary, datetime.fromtimestamp(written, UTC))


def slices_of(results: Results, scans: Collection[str]) -> Mapping[str, Sequence[SliceFigures]] | None:
    """The slices of some scans, in order; None if OUT has no slices.csv. Raises CallError for a damaged one."""
    file = results.out / SLICES_CSV
    if not file.exists():
        return None
    found: dict[str, list[SliceFigures]] = {}
    for row in read_slices(file, {scan["scan"]: scan["slices"] for scan in results.summary["scans"]}):
        if row[0] in scans:
            found.setdefault(str(row[0]), []).append(figures_of(row))
    return found


def own_files(rows: Sequence[SliceFigures]) -> list[str]:
    """The file of each slice; all empty if any file holds several of them, as a volume does."""
    sources = [row.source for row in rows]
    return sources if len(set(sources)) == len(sources) else [""] * len(sources)


def placed(rows: Sequence[SliceFigures]) -> Sequence[SliceFigures]:
    """The slices of a scan without the files that could not be read of a DICOM series: its last rows, of no place."""
    last = PurePosixPath(rows[-1].source).name if rows else ""
    if kind_by_name(last) not in ("dicom", "unknown") or not any(own_files(rows)):
        return rows
    return rows[: 1 + max((index for index, row in enumerate(rows) if row.pixels), default=-1)]


def below(folder: Path, name: str) -> Path | None:
    """The file at a path below a folder; None if the path leads out of it, which no run writes."""
    return folder / name if is_plain(name) else None
