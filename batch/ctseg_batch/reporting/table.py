"""The table of scans: its columns, and the data by which the page's script fills, sorts and searches it."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ctseg.classes import LESION, LUNG, NORMAL_LUNG
from ctseg.flags import without_number
from ctseg.lungs import LUNGS
from ctseg.measures import percent
from ctseg.printable import printable
from ctseg_batch.figures.summary import Summary, figure_at
from ctseg_batch.figures.totals import ScanEntry
from ctseg_batch.reporting.words import explain, group_title, status_told

SEVERITY = "severity_total"

_MOST_ERRORS = 5


@dataclass(frozen=True, slots=True)
class Column:
    """A column of numbers: its key in the data, its title on the page, and how it is shown."""

    key: str
    title: str
    unit: str
    digits: int
    value: Callable[[ScanEntry], float | None]


def columns(summary: Summary) -> tuple[Column, ...]:
    """The columns that say something of any of these scans: millilitres, or shares where no volume is known."""
    scans = summary["scans"]
    chosen = [_at("slices", "Slices", "", 0, "slices")]
    if any(scan["volumes_ml"] for scan in scans) or not scans:
        chosen.append(_at("lung_ml", "Lung", "mL", 0, "lung_ml"))
        chosen += [_at(f"{c.name}_ml", c.title.capitalize(), "mL", 1, "volumes_ml", c.name) for c in LESION]
    else:
        chosen += [Column(f"{c.name}_percent", c.title.capitalize(), "%", 1, partial(share, c.name)) for c in LESION]
    chosen.append(_at("involvement_percent", "Involvement", "%", 1, "involvement_percent"))
    if any(scan["severity"] for scan in scans):
        chosen.append(_at(SEVERITY, "Severity", "of 10", 0, "severity", "total"))
        for lung in LUNGS:
            path = ("regions", lung, "involvement_percent")
            chosen.append(_at(f"{lung}_involvement_percent", f"{lung.capitalize()} involved", "%", 1, *path))
    if any(scan["lesions"] for scan in scans):
        chosen.append(_at("lesions_count", "Lesions", "", 0, "lesions", "count"))
        chosen.append(_at("lesions_largest_ml", "Largest lesion", "mL", 1, "lesions", "largest_ml"))
    if any(scan["iou"] for scan in scans):
        chosen.append(_at("iou_mean", "Mean IoU", "", 3, "iou", "mean"))
        chosen.append(_at("dice_mean", "Mean Dice", "", 3, "dice", "mean"))
    for group in _measured_groups(scans):
        chosen.append(_at(f"{group}_hd95_mm", f"HD95 {group_title(group)}", "mm", 1, "surface", group, "hd95_mm"))
    return tuple(c for c in chosen if not scans or any(c.value(scan) is not None for scan in scans))


def table_data(summary: Summary, shown: Sequence[Column], sections: Collection[int]) -> dict[str, Any]:
    """The data for the script. A row: name, status, values, flags by number, errors, and whether it has a `part`.

    `told`: the status in words, which differ from it where a scan is done, but has doubts.
    """
    flags = list(dict.fromkeys(flag for scan in summary["scans"] for flag in scan["flags"]))
    numbers = {flag: number for number, flag in enumerate(flags)}
    return {
        "columns": [{"key": c.key, "title": c.title, "unit": c.unit, "digits": c.digits} for c in shown],
        "flags": [[printable(flag), explain(flag), printable(without_number(flag))] for flag in flags],
        "rows": [
            {
                "name": printable(scan["scan"]),
                "status": scan["status"],
                "told": status_told(scan["status"], scan["flags"]),
                "values": [rounded(column.value(scan), column.digits) for column in shown],
                "flags": [numbers[flag] for flag in scan["flags"]],
                "errors": [[printable(one["file"]), printable(one["reason"])] for one in scan["errors"][:_MOST_ERRORS]],
                "failures": len(scan["errors"]),
                "part": index in sections,
            }
            for index, scan in enumerate(summary["scans"])
        ],
    }


def longest(data: Mapping[str, Any]) -> dict[str, int]:
    """The letters of the longest text in each column of texts; the page has only the rows that are in view."""
    rows, flags = data["rows"], data["flags"]
    return {
        "name": max((len(row["name"]) for row in rows), default=0),
        "status": max((len(row["told"]) for row in rows), default=0),
        "flags": max((len("; ".join(flags[flag][0] for flag in row["flags"])) for row in rows), default=0),
    }


def share(name: str, scan: ScanEntry) -> float | None:
    """A class's share of the lung in per cent, by volume where that is known, as involvement is."""
    amounts = scan["volumes_ml"] or scan["pixels"]
    return percent(amounts[name], sum(amounts[tissue.name] for tissue in LUNG))


def rounded(value: float | None, digits: int) -> float | None:
    """A value as it is shown: a browser would round one with more digits again, and differently.

    What would become 0 without being it stays as it is, since it is shown as below the last digit.
    """
    return None if value is None else round(value, digits) or value


def _at(key: str, title: str, unit: str, digits: int, *path: str) -> Column:
    """A column with the value at a path in the figures of a scan."""
    return Column(key, title, unit, digits, lambda scan: figure_at(scan, *path))


def _measured_groups(scans: Sequence[ScanEntry]) -> list[str]:
    """The groups with a known distance, except normal lung alone, which adds little to the others."""
    measured = [group for scan in scans for group, one in (scan["surface"] or {}).items() if one]
    return [group for group in dict.fromkeys(measured) if group != NORMAL_LUNG.name]
