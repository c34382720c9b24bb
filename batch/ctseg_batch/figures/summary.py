"""The figures of a run, by scan and in total, as in summary.json: see docs/summary.md."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ctseg import __version__, flags
from ctseg_batch.choices import MeasuresChoice
from ctseg_batch.figures.notes import NO_TRUTH
from ctseg_batch.figures.scan_figures import scan_figures
from ctseg_batch.figures.totals import ScanEntry, totals
from ctseg_batch.network.engine import Engine
from ctseg_batch.result import Failure, PartResult

SCHEMA = 2
_MOST_REASONS = 3
NOT_DONE = "was not done: "
"""The beginning of the reason why a scan is missing from joined shards."""
_UNSCORED = "no slice could be compared with a reference mask"
# Fields that depend on --write or on the machine.
_NO_FIGURES = ("left_out", "device")

Summary = dict[str, Any]
"""The content of summary.json."""


@dataclass(frozen=True)
class Figures:
    """What a run has found. `groups` are the names of the groups that the truth distinguishes; None without a truth.

    `skipped` are readable files that are not slices, `errors` the failures that belong to no scan, `ignored_endings`
    counts files of other kinds. `notes` are lines on the run as a whole. `slices` counts those done in this run, in
    `wall_s` seconds.
    """

    results: Sequence[PartResult]
    groups: tuple[str, ...] | None
    skipped: Sequence[Failure]
    errors: Sequence[Failure]
    notes: Sequence[str]
    ignored_endings: Mapping[str, int]
    slices: int
    wall_s: float
    measures: MeasuresChoice
    shard: Mapping[str, Any] | None


def summary_of(figures: Figures, engine: Engine) -> Summary:
    """Add up the parts by scan, in the order of their first part, and over all scans."""
    groups = None if figures.groups is None else list(figures.groups)
    scans = flag_folders([scan_figures(name, parts, groups) for name, parts in by_scan(figures.results).items()])
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
        "measures": figures.measures,
        "groups": groups,
        "scans": scans,
        "totals": totals(scans, groups, figures.measures),
        "ignored": sum(figures.ignored_endings.values()),
        "ignored_endings": dict(sorted(figures.ignored_endings.items())),
        "skipped": [asdict(one) for one in figures.skipped],
        "errors": [asdict(one) for one in figures.errors],
        "notes": list(figures.notes),
        "throughput": {
            "slices": figures.slices,
            "slices_per_second": figures.slices / figures.wall_s if figures.slices else None,
            "wall_s": figures.wall_s,
        },
        "shard": figures.shard,
        "runs": None,
    }


def all_errors(summary: Summary) -> list[Mapping[str, str]]:
    """The errors of no scan, then those of each scan."""
    return [*summary["errors"], *(error for scan in summary["scans"] for error in scan["errors"])]


def exit_status(summary: Summary) -> int:
    """0 success, 1 some input failed or there is no reference mask at all, 2 nothing could be read."""
    return outcome(summary)[0]


def outcome(summary: Summary) -> tuple[int, str]:
    """The exit status, and the reason if it is not 0 and no failed file explains it."""
    scans = summary["scans"]
    has_failures = bool(all_errors(summary))
    if summary["shard"] is None:  # a shard can't tell: another may have read something, or found a reference mask
        if all(scan["status"] == "failed" for scan in scans) and not _is_unfinished(summary):
            return 2, "" if has_failures else nothing_left([one["reason"] for one in summary["skipped"]])
        if summary["groups"] and all(scan["confusion"] is None for scan in scans) and not has_failures:
            return 1, next((note for note in summary["notes"] if note.startswith(NO_TRUTH)), _UNSCORED)
    return int(has_failures), ""


def _is_unfinished(summary: Summary) -> bool:
    """Whether a summary joins shards of which some have not ended: these may read something."""
    return any(error["reason"].startswith(NOT_DONE) for error in summary["errors"])


def nothing_left(skipped: Sequence[str]) -> str:
    """Why a run without failures has segmented nothing: the most frequent reasons for which files were skipped."""
    reasons = [f"{reason} ({times})" for reason, times in Counter(skipped).most_common(_MOST_REASONS)]
    why = f"{len(skipped):,} skipped: {'; '.join(reasons)}" if reasons else "nothing was found"
    return f"nothing could be segmented: {why}"


def to_json(summary: Summary) -> str:
    """The summary as JSON."""
    return json.dumps(summary, indent=2) + "\n"


def by_scan(results: Iterable[PartResult]) -> dict[str, list[PartResult]]:
    """The parts by scan, in the order of the first part of each."""
    parts: dict[str, list[PartResult]] = {}
    for result in results:
        parts.setdefault(result.scan_name, []).append(result)
    return parts


def figure_at(of: Mapping[str, Any], *path: str) -> Any:
    """The value at a path in the figures of a scan; None if anything on the way is null or missing."""
    found: Any = of
    for key in path:
        found = None if found is None else found.get(key)
    return found


def flag_folders(scans: Sequence[ScanEntry]) -> list[Mapping[str, Any]]:
    """The scans; those of a series that is spread over folders get a flag for that, as their last one."""
    counts = Counter(scan["series"] for scan in scans)
    several = {series for series, count in counts.items() if series and count > 1}
    return [
        {**scan, "flags": [*_other_flags(scan), flags.IN_SEVERAL_FOLDERS]}
        if scan["series"] in several and scan["status"] != "failed"
        else scan
        for scan in scans
    ]


def figures_alone(scan: ScanEntry) -> Mapping[str, Any]:
    """The figures of a scan, without what depends on other scans of the run, on --write or on the machine."""
    known = {key: value for key, value in scan.items() if key not in _NO_FIGURES}
    return known | {"flags": flags.doubts_among(_other_flags(scan))}


def _other_flags(scan: ScanEntry) -> list[str]:
    return [flag for flag in scan["flags"] if flag != flags.IN_SEVERAL_FOLDERS]
