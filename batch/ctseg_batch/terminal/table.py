"""The summary for people: a table with a row per scan, what is doubtful, what failed."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from ctseg.classes import LESION, NORMAL_LUNG
from ctseg.datasets.mask_meaning import classes_in, is_foreground
from ctseg.flags import NOT_SCORED
from ctseg.lungs import LUNGS
from ctseg.printable import count, decimals, printable
from ctseg_batch.figures.notes import ignored
from ctseg_batch.figures.summary import Summary, all_errors, figure_at, outcome
from ctseg_batch.terminal.lists import doubtful, listed, skipped
from ctseg_batch.terminal.scan_table import Column, scan_table

_FEWEST_FOR_LIMITS = 3
_STATUS_STYLES = {"ok": "green", "partial": "yellow", "failed": "red"}
_UNKNOWN = "-"
# The width that volumes and scores need side by side.
_ROOM_FOR_ALL = 110


def end_of_run(summary: Summary, width: int) -> Iterator[RenderableType]:
    """All that is shown at the end of a run, on a terminal of that width."""
    groups, scans, totals = _groups(summary), summary["scans"], summary["totals"]
    if not scans:
        yield from _notes(summary)
        yield from failures(summary)
        return
    if groups and width < _ROOM_FOR_ALL:
        tables = [(_volume_columns(), totals), (_score_columns(groups), totals)]
    else:
        tables = [([*_volume_columns(), *_score_columns(groups)], totals)]
    if any(scan["regions"] or scan["lesions"] for scan in scans):
        tables.append((_lung_columns(), None))
    if summary["groups"] and any(scan["surface"] for scan in scans):
        tables.append((_surface_columns(summary["groups"]), None))
    for columns, sums in tables:
        yield from scan_table(scans, columns, sums, width)
        yield ""
    yield from _agreement(summary)
    yield from _notes(summary)
    yield from failures(summary)


def failures(summary: Summary) -> Iterator[Text]:
    """A line for each failed file with its reason; or why the run as a whole has failed without any."""
    yield from listed("failed", ((error["file"], error["reason"]) for error in all_errors(summary)), "red")
    _, why = outcome(summary)
    if why:
        what, colon, reason = why.partition(": ")
        yield Text.assemble((f"{what}{colon}", "red"), printable(reason))


def _volume_columns() -> list[Column]:
    """The most important first, as columns without room are cut from the right."""
    return [
        Column("slices", _slices),
        Column("status", _status),
        _at("lung\nmL", _volume, "lung_ml"),
        _at("involved\n%", _tenths, "involvement_percent"),
        *(_at(_heading(one.name, "mL"), _volume, "volumes_ml", one.name) for one in (*LESION, NORMAL_LUNG)),
    ]


def _score_columns(groups: Iterable[str]) -> list[Column]:
    return [_at(_heading(group, "IoU"), partial(_number, digits=3), "iou", group) for group in groups]


def _lung_columns() -> list[Column]:
    """The most important columns of `--measures full` on lungs and lesions."""
    return [
        *(_at(f"{lung}\nlung\nmL", _volume, "regions", lung, "lung_ml") for lung in LUNGS),
        *(_at(f"{lung}\ninvolved\n%", _tenths, "regions", lung, "involvement_percent") for lung in LUNGS),
        Column("severity\nright\n+ left", _severity),
        _at("\n\nlesions", _whole, "lesions", "count"),
        _at("largest\nlesion\nmL", _volume, "lesions", "largest_ml"),
    ]


def _surface_columns(groups: Iterable[str]) -> list[Column]:
    """The distances of surfaces from those of the truth, in mm."""
    return [
        _at(_heading(group, title), _tenths, "surface", group, key)
        for title, key in (("HD95 mm", "hd95_mm"), ("ASSD mm", "assd_mm"))
        for group in filter(is_foreground, _ranked(groups))
    ]


def _at(title: str, shown: Callable[[Any], str], *path: str) -> Column:
    """A column with the value at a path in the figures of a scan."""
    return Column(title, lambda of: shown(figure_at(of, *path)))


def _severity(of: Mapping[str, Any]) -> str:
    return " + ".join(_whole(figure_at(of, "severity", lung)) for lung in LUNGS)


def _agreement(summary: Summary) -> Iterator[Text]:
    """A line for each measure: its bias over the scans, and the limits of agreement."""
    found = summary["totals"]["agreement"]
    if found is None:
        return
    volumes = {name.replace("_", " "): (one, "mL") for name, one in found["volumes_ml"].items()}
    others = {"lung": (found["lung_ml"], "mL"), "involvement": (found["involvement_percent"], "points")}
    for title, (one, unit) in {**volumes, **others}.items():
        if one is not None and one["lower_limit"] is not None:
            limits = f", 95 % limits of agreement {one['lower_limit']:,.1f} to {one['upper_limit']:,.1f} {unit}"
            told = limits if one["n"] >= _FEWEST_FOR_LIMITS else ""
            yield Text(f"{title}: bias {one['bias']:,.1f} {unit}{told}, {count(one['n'], 'scan')}")


def _slices(of: Mapping[str, Any]) -> str:
    failed, done = of["failed_slices"], of["slices"] - of["failed_slices"]
    return f"{done} of {of['slices']}" if failed else str(done)


def _status(of: Mapping[str, Any]) -> Text:
    status = of.get("status", "")
    return Text(status, _STATUS_STYLES.get(status, ""))


def _groups(summary: Summary) -> list[str]:
    """The mean and the groups with an IoU, disease first and background last; empty without scores."""
    scored = summary["totals"]["iou"]
    return [] if scored is None else ["mean", *_ranked(name for name in scored if name != "mean")]


def _ranked(groups: Iterable[str]) -> list[str]:
    """Groups in the order of their columns."""
    return sorted(groups, key=lambda name: (not is_foreground(name), NORMAL_LUNG.name in classes_in(name)))


def _heading(name: str, unit: str) -> str:
    """The name of a class or group broken into short lines."""
    return "\n".join([*name.replace("consolidation", "consoli-_dation").replace("+", "_+_").split("_"), unit])


def _volume(value: float | None) -> str:
    """Millilitres, with a tenth only below 100."""
    return _number(value, 1 if value is not None and value < 100 else 0)


def _whole(value: int | None) -> str:
    return _UNKNOWN if value is None else str(value)


def _tenths(value: float | None) -> str:
    return _number(value, 1)


def _number(value: float | None, digits: int) -> str:
    return _UNKNOWN if value is None else decimals(value, digits)


def _notes(summary: Summary) -> Iterator[Text]:
    throughput, totals, scans = summary["throughput"], summary["totals"], summary["scans"]
    before = totals["slices"] - totals["failed_slices"]
    if summary["runs"] is not None:
        are_shards = all(run["shard"] for run in summary["runs"])
        yield Text(f"joined from {count(len(summary['runs']), 'shard' if are_shards else 'run')}")
    elif throughput["slices"]:
        rate = throughput["slices_per_second"]
        yield Text(f"{count(throughput['slices'], 'slice')} in {throughput['wall_s']:.1f} s, {rate:.1f} a second")
    elif before:
        yield Text(f"nothing to do: {count(before, 'slice')} {'was' if before == 1 else 'were'} done before")
    elif summary["shard"] and not scans:
        yield Text(f"no scan belongs to shard {summary['shard']['number']}/{summary['shard']['of']}")
    _, why = outcome(summary)  # shown with the failures
    yield from (Text(printable(note)) for note in summary["notes"] if note != why)
    yield from map(Text, map(printable, ignored(summary["ignored"], summary["ignored_endings"])))
    yield from skipped((one["file"], one["reason"]) for one in summary["skipped"])
    yield from doubtful({scan["scan"]: scan["flags"] for scan in scans})
    unknown = [scan["scan"] for scan in scans if scan["volumes_ml"] is None and scan["status"] != "failed"]
    if unknown:
        why = "the files give no spacing"
        yield Text(f"no volumes for {_named(unknown)}: {why}; set --spacing Z,Y,X (mm)")
        if known := sum(scan["volumes_ml"] is not None for scan in scans):
            yield Text(f"volumes and involvement together are of {known:,} of {count(len(scans), 'scan')}")
    unscored = [scan["scan"] for scan in scans if NOT_SCORED in scan["flags"]]
    if unscored and totals["iou"]:
        yield Text(f"no usable reference mask for {_named(unscored)}: not scored")


def _named(scans: Sequence[str]) -> str:
    """The first of some scans, and the number of the others."""
    return printable(scans[0]) + (f" and {count(len(scans) - 1, 'other scan')}" if scans[1:] else "")
