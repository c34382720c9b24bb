"""The summary as people read it: a table with a row a scan, what is doubtful, what failed."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from ctseg.classes import CLASSES, LUNG
from ctseg_batch.summary import Summary

_MOST_LISTED = 20
_WIDE = 160
_STATUS_STYLES = {"ok": "green", "partial": "yellow", "failed": "red"}
_UNKNOWN = "-"


def people_console() -> Console:
    """Standard error; wide enough for the table where no terminal says how wide it is."""
    console = Console(stderr=True)
    return console if console.is_terminal else Console(stderr=True, width=_WIDE)


def report(summary: Summary) -> Iterator[RenderableType]:
    """All that a person is told at the end of a run."""
    yield scan_table(summary)
    yield from _notes(summary)
    yield from failures(summary)


def failures(summary: Summary) -> Iterator[Text]:
    """A line for each file that failed, and why."""
    errors = [*summary["errors"], *(error for scan in summary["scans"] for error in scan["errors"])]
    yield from _listed("failed", ((error["file"], error["reason"]) for error in errors), "red")


def plan_table(scans: Mapping[str, Mapping[str, int]]) -> Table:
    """A row a scan: its `slices`, and how many of them are `to_do`."""
    table = Table()
    table.add_column("scan", overflow="fold")
    for title in ("slices", "to do"):
        table.add_column(title, justify="right")
    for name, counts in scans.items():
        table.add_row(printable(name), str(counts["slices"]), str(counts["to_do"]))
    table.add_section()
    slices, to_do = (sum(counts[key] for counts in scans.values()) for key in ("slices", "to_do"))
    table.add_row(f"{len(scans)} scans", str(slices), str(to_do))
    return table


def scan_table(summary: Summary) -> Table:
    """A row a scan: slices, volumes in mL, involvement, IoU where there is a truth, status; then the totals."""
    groups = _groups(summary)
    table = Table(caption_justify="left")
    table.add_column("scan", overflow="fold")
    table.add_column("slices", justify="right")
    for tissue in LUNG:
        table.add_column(f"{tissue.title}\nmL", justify="right")
    table.add_column("lung\nmL", justify="right")
    table.add_column("involved\n%", justify="right")
    for name in groups:
        table.add_column(f"IoU\n{_short_title(name)}", justify="right")
    table.add_column("status")
    scans = summary["scans"]
    for scan in scans:
        status = Text(scan["status"], _STATUS_STYLES[scan["status"]])
        table.add_row(printable(scan["scan"]), *_cells(scan, groups), status)
    if len(scans) > 1:
        table.add_section()
        table.add_row(f"{len(scans)} scans", *_cells(summary["totals"], groups), "")
    return table


def printable(text: str) -> Text:
    """A name from outside without what a terminal would obey: control characters are spelt out."""
    return Text("".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text))


def _cells(figures: Mapping[str, Any], groups: Sequence[str]) -> list[str]:
    failed = figures["failed_slices"]
    done = figures["slices"] - failed
    volumes = figures["volumes_ml"] or {}
    return [
        f"{done} of {figures['slices']}" if failed else str(done),
        *(_number(volumes.get(c.name), 1) for c in LUNG),
        _number(figures["lung_ml"], 1),
        _number(figures["involvement_percent"], 1),
        *(_number((figures["iou"] or {}).get(name), 3) for name in groups),
    ]


def _groups(summary: Summary) -> list[str]:
    """What IoU is told of, the mean first; nothing where no scan has any."""
    scored = summary["totals"]["iou"]
    return [] if scored is None else ["mean", *(name for name in scored if name != "mean")]


def _short_title(name: str) -> str:
    return "\n+ ".join(part.replace("_", " ") for part in name.split("+"))


def _number(value: float | None, digits: int) -> str:
    return _UNKNOWN if value is None else f"{value:,.{digits}f}"


def _notes(summary: Summary) -> Iterator[Text]:
    throughput, scans = summary["throughput"], summary["scans"]
    if throughput["slices"]:
        rate = throughput["slices_per_second"]
        yield Text(f"{throughput['slices']} slices in {throughput['wall_s']:.1f} s, {rate:.1f} a second")
    else:
        yield Text(f"nothing to do: all {summary['totals']['slices']} slices were done before")
    if summary["ignored"]:
        yield Text(f"{summary['ignored']} files of other kinds were ignored")
    yield from _listed("skipped", ((one["file"], one["reason"]) for one in summary["skipped"]), "dim")
    doubtful = ((scan["scan"], "; ".join(scan["flags"])) for scan in scans if scan["flags"])
    yield from _listed("doubtful", doubtful, "yellow")
    if any(scan["volumes_ml"] is None and scan["status"] != "failed" for scan in scans):
        yield Text("volumes need the distance of pixels and slices, which images don't tell: --spacing Z,Y,X in mm")


def _listed(title: str, lines: Iterable[tuple[str, str]], style: str) -> Iterator[Text]:
    """`title: what: why`, a line each, not endlessly."""
    found = list(lines)
    for what, why in found[:_MOST_LISTED]:
        yield Text.assemble((f"{title}: ", style), printable(what), ": ", printable(why))
    if len(found) > _MOST_LISTED:
        yield Text(f"{title}: {len(found) - _MOST_LISTED} more, all in summary.json", style)


def legend() -> Text:
    """The classes in their colours and what they are called in a mask."""
    swatches = (Text.assemble(("██", "rgb({},{},{})".format(*c.colour)), f" {c.index} {c.title}") for c in CLASSES)
    return Text("   ").join(swatches)
