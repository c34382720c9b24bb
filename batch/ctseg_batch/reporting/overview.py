"""The first screen of the report: the key figures, and what deserves a second look."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from ctseg.flags import doubts_among, without_number
from ctseg.printable import count, span
from ctseg_batch.figures.reasons import files_by_reason
from ctseg_batch.figures.summary import Summary, all_errors
from ctseg_batch.reporting.words import explain, number

_DEVICES = {"cpu": "the CPU", "cuda": "CUDA"}
_MOST_GROUPS = 100
_FILES_OPEN = 3
_MOST_FILES = 50


@dataclass(frozen=True, slots=True)
class Figure:
    """A key figure with its title, and a line below it."""

    title: str
    value: str
    note: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """A reason why files failed or were skipped: `files` are shown, `more` on request, `left` counts the others."""

    reason: str
    count: int
    files: tuple[str, ...]
    more: tuple[str, ...]
    left: int


@dataclass(frozen=True, slots=True)
class Overview:
    """The run in sentences and in figures; flags with how many scans carry each; what failed and what was left out."""

    lead: str
    aside: str
    devices: str
    figures: tuple[Figure, ...]
    doubts: tuple[tuple[str, int, str], ...]
    failures: tuple[Trouble, ...]
    left_out: tuple[Trouble, ...]


def overview(summary: Summary) -> Overview:
    """The overview of a summary."""
    return Overview(
        _lead(summary),
        _aside(len(summary["skipped"]), summary["ignored"]),
        _devices(summary),
        _figures(summary),
        _doubts(summary),
        by_reason(all_errors(summary)),
        by_reason(summary["skipped"]),
    )


def _figures(summary: Summary) -> tuple[Figure, ...]:
    scans, totals, speed = summary["scans"], summary["totals"], summary["throughput"]
    states = Counter(scan["status"] for scan in scans)
    told = [f"{many:,} {status}" for status in ("ok", "partial", "failed") if (many := states[status])]
    failed = totals["failed_slices"]
    found = [
        Figure("Scans", f"{len(scans):,}", ", ".join(told)),
        Figure("Slices labelled", f"{totals['slices'] - failed:,}", f"{failed:,} failed" if failed else "none failed"),
    ]
    involved = _known(scan["involvement_percent"] for scan in scans)
    if involved:
        found.append(Figure("Involvement", f"{number(median(involved), 1)} %", _between(involved, 1, " %")))
    lung = _known(scan["lung_ml"] for scan in scans)
    if lung:
        found.append(
            Figure("Lung volume", f"{number(median(lung) / 1000, 2)} L", _between([ml / 1000 for ml in lung], 2, " L"))
        )
    if totals["dice"]:
        mean_iou = number(totals["iou"]["mean"], 3)
        note = f"mean IoU {mean_iou}, background included; pooled over all slices with a reference mask"
        found.append(Figure("Mean Dice", number(totals["dice"]["mean"], 3), note))
    if speed["slices"]:
        note = f"{count(speed['slices'], 'slice')} in {span(speed['wall_s'])}"
        found.append(Figure("Slices a second", f"{speed['slices_per_second']:.1f}", note))
    return tuple(found)


def _lead(summary: Summary) -> str:
    scans = summary["scans"]
    bad = sum(scan["status"] == "failed" for scan in scans)
    partly = sum(scan["status"] == "partial" for scan in scans)
    flagged = sum(bool(doubts_among(scan["flags"])) for scan in scans)
    done = "Nothing failed."
    if bad or partly or summary["errors"]:
        pieces = [
            f"{count(bad, 'scan')} could not be read" if bad else "",
            f"{count(partly, 'scan')} failed in part" if partly else "",
        ]
        if stray := len(summary["errors"]):
            pieces.append(f"{count(stray, 'input')} that {'belongs' if stray == 1 else 'belong'} to no scan failed")
        done = f"{', '.join(filter(None, pieces))}."
    carry = "carries" if flagged == 1 else "carry"
    doubtful = f"{flagged:,} of {count(len(scans), 'scan')} {carry} flags that make their figures doubtful."
    return f"{done} {doubtful if flagged else 'No figure is flagged as doubtful.'}"


def _aside(skipped: int, ignored: int) -> str:
    """How much of what was found was not segmented, though nothing is wrong with it; empty if none."""
    pieces = [
        f"{skipped:,} {'file or series was' if skipped == 1 else 'files or series were'} left out" if skipped else "",
        f"{count(ignored, 'file')} of other kinds {'was' if ignored == 1 else 'were'} ignored" if ignored else "",
    ]
    told = ", ".join(filter(None, pieces))
    return f"{told}." if told else ""


def _devices(summary: Summary) -> str:
    """`on the CPU`, `on CUDA and the CPU`; empty if nothing ran."""
    names = sorted({scan["device"] for scan in summary["scans"] if scan["device"]}, reverse=True)
    return f" on {' and '.join(_DEVICES.get(name, name) for name in names)}" if names else ""


def _doubts(summary: Summary) -> tuple[tuple[str, int, str], ...]:
    many = Counter(without_number(flag) for scan in summary["scans"] for flag in scan["flags"])
    return tuple(
        (flag, times, explain(flag)) for flag, times in sorted(many.items(), key=lambda one: (-one[1], one[0]))
    )


def by_reason(failed: Sequence[Mapping[str, str]]) -> tuple[Trouble, ...]:
    """The most frequent reasons first, up to a limit."""
    ranked = files_by_reason((one["file"], one["reason"]) for one in failed)
    found = [
        Trouble(
            reason,
            len(names),
            tuple(names[:_FILES_OPEN]),
            tuple(names[_FILES_OPEN:_MOST_FILES]),
            max(0, len(names) - _MOST_FILES),
        )
        for reason, names in ranked[:_MOST_GROUPS]
    ]
    others = sum(len(names) for _, names in ranked[_MOST_GROUPS:])
    return (*found, Trouble("other reasons, all in summary.json", others, (), (), others)) if others else tuple(found)


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _between(values: Sequence[float], digits: int, unit: str) -> str:
    if len(values) == 1:
        return "of one scan"
    return f"median of {len(values):,}, from {number(min(values), digits)} to {number(max(values), digits)}{unit}"
