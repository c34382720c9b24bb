"""All figures of a run, by scan and in total, as summary.json and summary.csv hold them: see docs/summary.md."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ctseg import __version__
from ctseg.classes import CLASSES, LUNG
from ctseg.measures import Measures, doubts, measure
from ctseg.metrics import Scores, scores
from ctseg_batch.engine import Engine
from ctseg_batch.result import Failure, PartResult

SCHEMA = 1

_FIRST_COLUMNS = ("scan", "status", "slices", "failed_slices")

Summary = dict[str, Any]
"""What summary.json holds."""


@dataclass(frozen=True)
class Figures:
    """What a run found. `groups` are the names of what the truth tells apart; None without a truth.

    `skipped` are readable files that are no slices, `errors` the failures of no scan, `ignored` counts files of
    other kinds. `notes` are lines on the run as a whole. `slices` were done in this run, in `wall_s` seconds; the
    others before.
    """

    results: Sequence[PartResult]
    groups: tuple[str, ...] | None
    skipped: Sequence[Failure]
    errors: Sequence[Failure]
    notes: Sequence[str]
    ignored: int
    slices: int
    wall_s: float


def summarise(figures: Figures, engine: Engine) -> Summary:
    """Add up the parts, by scan in the order of their first part, and over all."""
    by_scan: dict[str, list[PartResult]] = {}
    for result in figures.results:
        by_scan.setdefault(result.scan, []).append(result)
    scans = [_scan(name, parts, figures.groups) for name, parts in by_scan.items()]
    spec = engine.spec
    return {
        "schema": SCHEMA,
        "version": __version__,
        "model": {
            "name": spec.name,
            "version": spec.version,
            "precision": spec.precision,
            "licence": spec.licence,
            "sha256": engine.sha256,
        },
        "scans": scans,
        "totals": _totals(scans, figures),
        "ignored": figures.ignored,
        "skipped": [asdict(one) for one in figures.skipped],
        "errors": [asdict(one) for one in figures.errors],
        "notes": list(figures.notes),
        "throughput": {
            "slices": figures.slices,
            "slices_per_second": figures.slices / figures.wall_s if figures.slices else None,
            "wall_s": figures.wall_s,
        },
    }


def exit_status(summary: Summary) -> int:
    """0 all well, 1 some input failed and the rest was done, 2 no input could be read."""
    scans = summary["scans"]
    if all(scan["status"] == "failed" for scan in scans):
        return 2
    return int(bool(summary["errors"]) or any(scan["errors"] for scan in scans))


def to_json(summary: Summary) -> str:
    """The summary as text, the same for the same figures."""
    return json.dumps(summary, indent=2) + "\n"


def to_csv(summary: Summary) -> str:
    """A row a scan, as RFC 4180 has it; lists are joined by semicolons, what is not known is empty."""
    rows = [_row(scan) for scan in summary["scans"]]
    columns = list(dict.fromkeys([*_FIRST_COLUMNS, *(column for row in rows for column in row)]))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _scan(name: str, parts: Sequence[PartResult], groups: tuple[str, ...] | None) -> dict[str, Any]:
    slices, failed = sum(part.slices for part in parts), sum(part.failed_slices for part in parts)
    errors = sorted({failure for part in parts for failure in (*part.failures, *part.bad_truth)})
    done = [part for part in parts if part.slices > part.failed_slices]
    spacing = next((part.spacing_mm for part in done), None)
    measures = measure(_pixels(parts), spacing if done else None)
    return {
        "scan": name,
        "status": "failed" if not done else "partial" if errors else "ok",
        "slices": slices,
        "failed_slices": failed,
        "spacing_mm": spacing,
        **_measured(measures),
        **_scored(parts, groups),
        "flags": _flags(done, measures, is_scored=groups is not None),
        "device": done[0].device if done else None,
        "precision": done[0].precision if done else None,
        "errors": [asdict(error) for error in errors],
    }


def _measured(measures: Measures) -> dict[str, Any]:
    return {
        "pixels": measures.pixels,
        "volumes_ml": measures.volumes_ml,
        "lung_ml": measures.lung_ml,
        "involvement_percent": measures.involvement_percent,
    }


def _totals(scans: Sequence[Mapping[str, Any]], figures: Figures) -> dict[str, Any]:
    """The sums over the scans: volumes and involvement over those whose volumes are known."""
    known = [scan["volumes_ml"] for scan in scans if scan["volumes_ml"] is not None]
    pixels = _pixels(figures.results)
    measures = measure(pixels, None)
    volumes = {c.name: sum(volumes[c.name] for volumes in known) for c in LUNG} if known else None
    lung_ml = sum(volumes.values()) if volumes else None
    lesion_ml = lung_ml - volumes["normal_lung"] if volumes and lung_ml else 0.0
    return {
        "scans": len(scans),
        "slices": sum(scan["slices"] for scan in scans),
        "failed_slices": sum(scan["failed_slices"] for scan in scans),
        "pixels": measures.pixels,
        "volumes_ml": volumes,
        "lung_ml": lung_ml,
        "involvement_percent": 100 * lesion_ml / lung_ml if lung_ml else measures.involvement_percent,
        **_scored(figures.results, figures.groups),
    }


def _pixels(parts: Iterable[PartResult]) -> list[int]:
    return [sum(counts) for counts in zip(*(part.pixels for part in parts), strict=True)] or [0] * len(CLASSES)


def _scored(parts: Sequence[PartResult], groups: tuple[str, ...] | None) -> dict[str, Any]:
    """IoU and Dice pooled over the slices that have a truth; None without one."""
    counts = [np.array(part.confusion) for part in parts if part.confusion is not None]
    if not counts or groups is None:
        return {"iou": None, "dice": None}
    found: Scores = scores(np.sum(counts, axis=0), groups)
    return {
        "iou": {**dict(zip(groups, found.iou, strict=True)), "mean": found.mean_iou},
        "dice": {**dict(zip(groups, found.dice, strict=True)), "mean": found.mean_dice},
    }


def _flags(done: Sequence[PartResult], measures: Measures, *, is_scored: bool) -> list[str]:
    """What makes the scan's numbers doubtful, in words."""
    flags = [flag for part in done for flag in part.flags]
    if done and done[0].stack:
        largest = max(part.lung[1] for part in done)
        flags += doubts(measures, (done[0].lung[0], largest, done[-1].lung[2]))
    unscored = sum(part.unscored for part in done)
    if is_scored and unscored:
        flags.append(f"no truth for {unscored} slice{'s' * (unscored > 1)}")
    return list(dict.fromkeys(flags))


def _row(scan: Mapping[str, Any]) -> dict[str, Any]:
    """The scan's figures by column: `ground_glass_ml`, `iou_mean` ..."""
    spacing, volumes = scan["spacing_mm"] or (None,) * 3, scan["volumes_ml"] or {}
    return {
        **{key: scan[key] for key in _FIRST_COLUMNS},
        **{f"spacing_{axis}_mm": step for axis, step in zip("zyx", spacing, strict=True)},
        **{f"{c.name}_pixels": scan["pixels"][c.name] for c in CLASSES},
        **{f"{c.name}_ml": _short(volumes.get(c.name)) for c in LUNG},
        "lung_ml": _short(scan["lung_ml"]),
        "involvement_percent": _short(scan["involvement_percent"]),
        **{f"iou_{name}": _short(value) for name, value in (scan["iou"] or {}).items()},
        **{f"dice_{name}": _short(value) for name, value in (scan["dice"] or {}).items()},
        "device": scan["device"],
        "precision": scan["precision"],
        "flags": "; ".join(scan["flags"]),
        "errors": "; ".join(f"{error['file']}: {error['reason']}" for error in scan["errors"]),
    }


def _short(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
