"""What a run left in OUT: its summary, the counts of its slices, and where the scans were."""

import csv
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ctseg.classes import CLASSES
from ctseg.errors import CallError
from ctseg.reading.kind import kind_by_name
from ctseg_batch.figures.sheets import SLICES_CSV, SUMMARY_JSON, share_of
from ctseg_batch.figures.summary import SCHEMA, Summary
from ctseg_batch.foreign import names_in
from ctseg_batch.layout import journal_files

_NEEDED = frozenset({"schema", "version", "model", "scans", "totals", "ignored", "skipped", "errors", "throughput"})


@dataclass(frozen=True, slots=True)
class SliceRow:
    """A slice by its place in its scan, its file below the root, and its mask below OUT/masks.

    `pixels` of each class; None of a slice that failed.
    """

    index: int
    source: str
    mask: str
    pixels: tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class Results:
    """A summary, and when it was `written`."""

    out: Path
    summary: Summary
    written: datetime


def read_results(out: Path) -> Results:
    """Read the summary in OUT; raises CallError where there is none that can be understood."""
    file = out / SUMMARY_JSON
    try:
        text = file.read_bytes()
        written = datetime.fromtimestamp(file.stat().st_mtime, UTC)
    except FileNotFoundError:
        raise CallError(f"{out} holds no {SUMMARY_JSON}: {_why_not(out)}") from None
    except OSError as error:
        raise CallError(f"{out} holds no {SUMMARY_JSON} that can be read: name the OUT of a `ctseg batch`") from error
    try:
        summary = json.loads(text)
    except ValueError as error:
        raise CallError(f"{file} is damaged: the same call of `ctseg batch` writes it again") from error
    if not isinstance(summary, dict) or not summary.keys() >= _NEEDED:
        raise CallError(f"{file} is no summary of `ctseg batch`: name the OUT of one")
    if summary["schema"] > SCHEMA:
        raise CallError(f"{file} has schema {summary['schema']}, this ctseg knows up to {SCHEMA}: update ctseg")
    return Results(out, summary, written)


def _why_not(out: Path) -> str:
    if any(map(share_of, names_in(out))):
        return "join the shards that have run into it by ctseg summarize first"
    if journal_files(out):
        return "the run into it has not ended; call ctseg batch again, it does only what is missing"
    return "name the OUT of a `ctseg batch`"


def read_slices(out: Path, scans: Collection[str]) -> Mapping[str, Sequence[SliceRow]] | None:
    """The slices of some scans, in order; None where OUT has no list of them. Raises CallError for a damaged one."""
    file = out / SLICES_CSV
    found: dict[str, list[SliceRow]] = {}
    try:
        with file.open(encoding="utf-8", errors="surrogateescape", newline="") as lines:
            for row in csv.DictReader(lines):
                if row["scan"] in scans:
                    found.setdefault(row["scan"], []).append(_slice_row(row))
    except FileNotFoundError:
        return None
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise CallError(f"{file} is damaged: the same call of `ctseg batch` writes it again") from error
    return found


def own_files(rows: Sequence[SliceRow]) -> list[str]:
    """The file that each slice has to itself; empty where one holds several, as a volume does."""
    sources = [row.source for row in rows]
    return sources if len(set(sources)) == len(sources) else [""] * len(sources)


def placed(rows: Sequence[SliceRow]) -> Sequence[SliceRow]:
    """The slices of a scan without the files that could not be read of a DICOM series: its last rows, of no place."""
    if kind_by_name(rows[-1].source if rows else "") not in ("dicom", "untold") or not any(own_files(rows)):
        return rows
    return rows[: 1 + max((place for place, row in enumerate(rows) if row.pixels), default=-1)]


def below(folder: Path, name: str) -> Path | None:
    """A file by its path below a folder; None where that leads out of it, which no run writes."""
    path = Path(name)
    leads_out = path.is_absolute() or path.drive or ".." in path.parts
    return None if not name or leads_out else folder / path


def _slice_row(row: Mapping[str, str]) -> SliceRow:
    done = row["status"] == "ok"
    pixels = tuple(int(row[tissue.name]) for tissue in CLASSES) if done else None
    return SliceRow(int(row["slice"]), row["source"], row["mask"], pixels)
