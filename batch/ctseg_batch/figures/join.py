"""Join the summaries of many runs (shards, machines, months) into one."""

import heapq
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from ctseg.classes import LUNG
from ctseg.errors import CallError
from ctseg_batch.figures.columns import Row
from ctseg_batch.figures.notes import joined_notes
from ctseg_batch.figures.runs import Run
from ctseg_batch.figures.summary import NOT_DONE, SCHEMA, Summary, figures_alone, flag_folders
from ctseg_batch.figures.totals import ScanEntry, totals
from ctseg_batch.journal.inventory import Inventory
from ctseg_batch.result import Failure
from ctseg_batch.shards import Shard


@dataclass(frozen=True)
class Joined:
    """The joint summary, and for each run which of its scans are in it."""

    summary: Summary
    taken: Sequence[tuple[Run, frozenset[str]]]

    def slices(self) -> Iterator[Row]:
        """The rows of slices.csv from those of the runs; raises CallError for one that does not fit its summary."""
        number_of = {scan["scan"]: number for number, scan in enumerate(self.summary["scans"])}
        rows = (_rows_of(scans, run) for run, scans in self.taken)
        return heapq.merge(*rows, key=lambda row: number_of[str(row[0])])


def _rows_of(scans: Container[object], run: Run) -> Iterator[Row]:
    return (row for row in run.slices() if row[0] in scans)


def check_alike(runs: Sequence[Run]) -> None:
    """Raise CallError if runs differ in something that their figures depend on."""
    first = runs[0]
    for run in runs[1:]:
        for title, told in _TRAITS.items():
            one, other = told(first.summary), told(run.summary)
            if one != other:
                cure = "call all shards with the same options" if run.out == first.out else "join only runs that agree"
                raise CallError(
                    f"{first.title} and {run.title} differ in {title}: {one} and {other}; "
                    f"{cure}, or join all of them with --mixed"
                )


def join(runs: Sequence[Run]) -> Joined:
    """One summary of all scans; a scan that is the same in two runs is counted once.

    Scans are in the order of the runs, those of the shards of one run in the order of a run without shards. A series
    spread over folders is flagged, even if these are in different runs. Scans that no shard has done are among the
    errors. Values that differ between runs, like the model, are null. Raises CallError for a scan with other figures
    in another run.
    """
    owners: dict[str, tuple[Run, ScanEntry]] = {}
    taken: list[tuple[Run, frozenset[str]]] = []
    for run in runs:
        new = set()
        for scan in run.summary["scans"]:
            name = scan["scan"]
            owner, known = owners.setdefault(name, (run, scan))
            if owner is not run and (why := _doubt(known, scan, owner, run)):
                raise CallError(
                    f"the scan {name} is in {owner.title} and in {run.title}, {why}: if these are two scans, call both "
                    "runs with the same --root, so that their names differ; if it is one, leave one of the runs out"
                )
            if owner is run:
                new.add(name)
        taken.append((run, frozenset(new)))
    scans = flag_folders([scan for _, scan in owners.values()])
    if len({run.summary["shard"] and run.summary["shard"]["found"] for run in runs}) == 1 and runs[0].shard:
        number_of = {scan: number for run in runs for scan, number in run.scan_numbers().items()}
        scans.sort(key=lambda scan: number_of[scan["scan"]])
    missing = _missing(runs, owners.keys())
    return Joined(_summary(runs, scans, [len(new) for _, new in taken], missing), taken)


def _doubt(one: ScanEntry, other: ScanEntry, its_run: Run, other_run: Run) -> str:
    """Why two entries of the same name may be two scans; empty if they are one."""
    if figures_alone(one) != figures_alone(other):
        return "with different figures"
    is_told_by_figures = bool(one["series"] or sum(one["pixels"][c.name] for c in LUNG))
    roots = {its_run.root, other_run.root}
    if is_told_by_figures or (len(roots) == 1 and None not in roots):
        return ""
    what = "could be read in neither" if one["status"] == "failed" else "has no lung in either"
    where = "it is not known whether their roots are the same" if None in roots else "their roots differ"
    return f"{what}, and {where}"


def _missing(runs: Sequence[Run], done: Container[str]) -> list[Failure]:
    """The sites that some shard has found and none has done, and the shards that have not ended."""
    ended: dict[tuple[str, int], dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
    told_in: dict[str, Path] = {}
    for run in runs:
        if run.shard:
            digest = run.summary["shard"]["found"]
            root = run.root or str(run.out)  # each may have an OUT
            ended[root, run.shard.of][run.shard.number].add(digest)
            told_in.setdefault(digest, run.out)
    missing = {}
    for (_, of), found in ended.items():
        digests = sorted(set().union(*found.values()))
        if len(digests) == 1 and len(found) == of:
            continue
        silent = {number: Shard(number, of) for number in range(1, of + 1) if number not in found}
        names = {digest: dict.fromkeys(Inventory.read(told_in[digest], digest).names) for digest in digests}
        for name in dict.fromkeys(chain.from_iterable(names.values())):
            shard = Shard.holder(name, of)
            if name in done or any(name in names[digest] for digest in found.get(shard.number, ())):
                continue
            silent.pop(shard.number, None)
            why = _not_ended(shard)
            if shard.number in found:
                why = "other shards have found it but its own has not, so it is new or gone: call all shards again"
            missing[name] = Failure(name, f"{NOT_DONE}{why}")
        for shard in silent.values():  # no other shard knows which inputs it could not read
            missing[f"shard {shard}"] = Failure(f"shard {shard}", f"{NOT_DONE}{_not_ended(shard)}")
    return list(missing.values())


def _not_ended(shard: Shard) -> str:
    return f"--shard {shard} has not ended: call it again or, if it has another OUT, name that too"


def _summary(runs: Sequence[Run], scans: list[ScanEntry], counts: Sequence[int], missing: Sequence[Failure]) -> Summary:
    summaries = [run.summary for run in runs]
    common = {key: _common(summary[key] for summary in summaries) for key in ("version", "model", "measures", "groups")}
    endings: Counter[str] = sum((Counter(summary["ignored_endings"]) for summary in summaries), Counter())
    slices, wall_s = (sum(summary["throughput"][key] for summary in summaries) for key in ("slices", "wall_s"))
    return {
        "schema": SCHEMA,
        **common,
        "scans": scans,
        "totals": totals(scans, common["groups"], common["measures"]),
        "ignored": sum(summary["ignored"] for summary in summaries),
        "ignored_endings": dict(sorted(endings.items())),
        "skipped": _once(one for summary in summaries for one in summary["skipped"]),
        "errors": _once([*(one for summary in summaries for one in summary["errors"]), *map(asdict, missing)]),
        "notes": joined_notes(summaries, counts, scans),
        "throughput": {
            "slices": slices,
            "slices_per_second": slices / wall_s if slices and wall_s else None,
            "wall_s": wall_s,
        },
        "shard": None,
        "runs": [
            {
                "out": run.called,
                "shard": str(run.shard) if run.shard else None,
                "scans": count,
                **{key: run.summary[key] for key in ("version", "model", "measures")},
            }
            for run, count in zip(runs, counts, strict=True)
        ],
    }


def _model(summary: Summary) -> str:
    model = summary["model"]
    return f"{model['name']} {model['version']} (sha256 {model['sha256'][:12]})"


_TRAITS: Mapping[str, Callable[[Summary], str]] = {
    "the version of ctseg": lambda summary: summary["version"],
    "the precision": lambda summary: summary["model"]["precision"],
    "the model": _model,
    "what was measured": lambda summary: summary["measures"],
    "the classes of their reference masks": lambda summary: ", ".join(summary["groups"] or ["no reference"]),
}


def _common(values: Iterable[Any]) -> Any:
    """The value if all are the same, else None."""
    first, *others = values
    return first if all(other == first for other in others) else None


def _once(values: Iterable[Any]) -> list[Any]:
    """The values without repetitions, in their order."""
    return list({json.dumps(value, sort_keys=True): value for value in values}.values())
