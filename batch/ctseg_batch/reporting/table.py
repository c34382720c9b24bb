"""The table of scans: its columns, and what the page's script is given to fill, sort and search it."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ctseg.classes import LESION, LUNG, NORMAL_LUNG
from ctseg.lungs import LUNGS
from ctseg.printable import printable
from ctseg_batch.figures.summary import Summary
from ctseg_batch.reporting.words import explain, group_title, without_number

Scan = Mapping[str, Any]

SEVERITY = "severity_total"

_MOST_ERRORS = 5


@dataclass(frozen=True, slots=True)
class Column:
    """A column of numbers: what it is called in the data, on the page, and how it is shown."""

    key: str
    title: str
    unit: str
    digits: int
    value: Callable[[Scan], float | None]


def columns(summary: Summary) -> tuple[Column, ...]:
    """The columns that say something of these scans: millilitres, or shares where no volume is known; scores if any."""
    scans = summary["scans"]
    chosen = [Column("slices", "Slices", "", 0, lambda scan: scan["slices"])]
    if any(scan["volumes_ml"] for scan in scans) or not scans:
        chosen.append(Column("lung_ml", "Lung", "mL", 0, lambda scan: scan["lung_ml"]))
        chosen += [Column(f"{c.name}_ml", c.title.capitalize(), "mL", 1, partial(_volume, c.name)) for c in LESION]
    else:
        chosen += [Column(f"{c.name}_percent", c.title.capitalize(), "%", 1, partial(share, c.name)) for c in LESION]
    chosen.append(Column("involvement_percent", "Involvement", "%", 1, lambda scan: scan["involvement_percent"]))
    if any(scan.get("severity") for scan in scans):
        chosen.append(Column(SEVERITY, "Severity", "of 10", 0, partial(severity, "total")))
        chosen += [
            Column(f"{lung}_involvement_percent", f"{lung.capitalize()} involved", "%", 1, partial(_involved, lung))
            for lung in LUNGS
        ]
        chosen.append(Column("lesions_count", "Lesions", "", 0, partial(_lesions, "count")))
        chosen.append(Column("lesions_largest_ml", "Largest lesion", "mL", 1, partial(_lesions, "largest_ml")))
    if any(scan["iou"] for scan in scans):
        chosen.append(Column("iou_mean", "Mean IoU", "", 3, partial(_mean, "iou")))
        chosen.append(Column("dice_mean", "Mean Dice", "", 3, partial(_mean, "dice")))
    for group in _measured_groups(scans):
        chosen.append(Column(f"{group}_hd95_mm", f"HD95 {group_title(group)}", "mm", 1, partial(_hd95, group)))
    return tuple(chosen)


def table_data(summary: Summary, shown: Sequence[Column], parts: Collection[int]) -> dict[str, Any]:
    """What the script is given. A row: name, status, values, flags by number, errors, and whether it has a `part`."""
    flags = list(dict.fromkeys(flag for scan in summary["scans"] for flag in scan["flags"]))
    numbers = {flag: number for number, flag in enumerate(flags)}
    return {
        "columns": [{"key": c.key, "title": c.title, "unit": c.unit, "digits": c.digits} for c in shown],
        "flags": [[printable(flag), explain(flag), printable(without_number(flag))] for flag in flags],
        "rows": [
            {
                "name": printable(scan["scan"]),
                "status": scan["status"],
                "values": [rounded(column.value(scan), column.digits) for column in shown],
                "flags": [numbers[flag] for flag in scan["flags"]],
                "errors": [[printable(one["file"]), printable(one["reason"])] for one in scan["errors"][:_MOST_ERRORS]],
                "failures": len(scan["errors"]),
                "part": place in parts,
            }
            for place, scan in enumerate(summary["scans"])
        ],
    }


def share(name: str, scan: Scan) -> float | None:
    """A class's share of the lung in per cent, by volume where that is known, as involvement is."""
    amounts = scan["volumes_ml"] or scan["pixels"]
    lung = sum(amounts[tissue.name] for tissue in LUNG)
    return 100 * amounts[name] / lung if lung else None


def severity(which: str, scan: Scan) -> int | None:
    """Of the `right` or the `left` lung, 0 to 5, or in `total`; None where nobody asked, and of what is not there."""
    found: int | None = (scan.get("severity") or {}).get(which)
    return found


def rounded(value: float | None, digits: int) -> float | None:
    """No more than is shown, and two digits for the sorting: the page holds thousands of these."""
    return None if value is None else round(value, digits + 2)


def _involved(lung: str, scan: Scan) -> float | None:
    return ((scan.get("regions") or {}).get(lung) or {}).get("involvement_percent")


def _lesions(figure: str, scan: Scan) -> float | None:
    return (scan.get("lesions") or {}).get(figure)


def _measured_groups(scans: Sequence[Scan]) -> list[str]:
    """The groups that some distance is known of; of normal lung alone it says little that the others don't."""
    measured = [group for scan in scans for group, one in (scan.get("surface") or {}).items() if one]
    return [group for group in dict.fromkeys(measured) if group != NORMAL_LUNG.name]


def _hd95(group: str, scan: Scan) -> float | None:
    return ((scan.get("surface") or {}).get(group) or {}).get("hd95_mm")


def _volume(name: str, scan: Scan) -> float | None:
    return (scan["volumes_ml"] or {}).get(name)


def _mean(score: str, scan: Scan) -> float | None:
    return (scan[score] or {}).get("mean")
