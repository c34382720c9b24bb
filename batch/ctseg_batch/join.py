"""Many runs as one: shards, machines, months. What they wrote may have met anything since, and is checked."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ctseg.errors import CallError
from ctseg_batch.columns import Row
from ctseg_batch.sheets import SUMMARY_JSON
from ctseg_batch.slices_file import read_slices
from ctseg_batch.summary import SCHEMA, Summary
from ctseg_batch.summary_form import FormCheck
from ctseg_batch.totals import totals

_AGAIN = "call ctseg batch again, it does only what is missing"


@dataclass(frozen=True)
class Run:
    """A run's folder, and what its summary.json holds."""

    out: Path
    summary: Summary


@dataclass(frozen=True)
class Joined:
    """The summary of all runs, and for each run which of its scans are in it."""

    summary: Summary
    taken: Sequence[tuple[Run, frozenset[str]]]

    def slices(self) -> Iterator[Row]:
        """The rows of slices.csv, from the runs' own; raises CallError for one that does not fit its summary."""
        for run, scans in self.taken:
            expected = {scan["scan"]: scan["slices"] for scan in run.summary["scans"]}
            yield from (row for row in read_slices(run.out, expected) if row[0] in scans)


def read_run(out: Path, fault: FormCheck) -> Run:
    """Read a run's summary; raises CallError for one that is missing, damaged, or no summary of this version."""
    file = out / SUMMARY_JSON
    try:
        read = json.loads(file.read_bytes(), parse_constant=_refuse)
    except FileNotFoundError:
        raise CallError(f"{file} is not there: {out} holds no run of ctseg batch, or one that was stopped") from None
    except OSError as error:
        raise CallError(f"{file} can't be read: {error.strerror}") from error
    except (ValueError, RecursionError):
        raise CallError(f"{file} is damaged: it is no JSON; {_AGAIN}") from None
    schema = read.get("schema") if isinstance(read, dict) else None
    if isinstance(schema, int) and schema != SCHEMA:
        raise CallError(
            f"{file} is of another version of ctseg (schema {schema}, not {SCHEMA}): run it again with this"
        )
    wrong = fault(read) or _inconsistency(read)
    if wrong:
        raise CallError(f"{file} is damaged, or no summary of ctseg: {wrong}")
    if read["runs"] is not None:
        raise CallError(f"{file} is of runs that were joined: name the runs themselves")
    return Run(out, read)


def check_alike(runs: Sequence[Run]) -> None:
    """Raise CallError where runs differ in what their figures depend on, saying in what."""
    first = runs[0]
    for run in runs[1:]:
        for title, told in _TRAITS.items():
            one, other = told(first.summary), told(run.summary)
            if one != other:
                raise CallError(
                    f"{first.out} and {run.out} differ in {title}: {one} and {other}; join what is alike, or all of it "
                    "by --mixed"
                )


def join(runs: Sequence[Run]) -> Joined:
    """One summary of all scans, in the order of the runs, a scan that is the same in two of them once.

    What the runs do not have in common is null. Raises CallError for a scan that differs from one run to the other.
    """
    owners: dict[str, tuple[Run, Mapping[str, Any]]] = {}
    taken: list[tuple[Run, frozenset[str]]] = []
    for run in runs:
        new = set()
        for scan in run.summary["scans"]:
            name = scan["scan"]
            owner, known = owners.setdefault(name, (run, scan))
            if known != scan:
                raise CallError(f"the scan {name} is in {owner.out} and in {run.out}, with different figures")
            if owner is run:
                new.add(name)
        taken.append((run, frozenset(new)))
    return Joined(_summary(runs, [scan for _, scan in owners.values()], [len(new) for _, new in taken]), taken)


def _summary(runs: Sequence[Run], scans: list[Mapping[str, Any]], counts: Sequence[int]) -> Summary:
    summaries = [run.summary for run in runs]
    common = {key: _common(summary[key] for summary in summaries) for key in ("version", "model", "measures", "groups")}
    slices, wall_s = (sum(summary["throughput"][key] for summary in summaries) for key in ("slices", "wall_s"))
    return {
        "schema": SCHEMA,
        **common,
        "scans": scans,
        "totals": totals(scans, common["groups"], common["measures"]),
        "ignored": sum(summary["ignored"] for summary in summaries),
        **{key: _once(one for summary in summaries for one in summary[key]) for key in ("skipped", "errors", "notes")},
        "throughput": {
            "slices": slices,
            "slices_per_second": slices / wall_s if slices and wall_s else None,
            "wall_s": wall_s,
        },
        "runs": [
            {"out": str(run.out), "scans": count, **{key: run.summary[key] for key in ("version", "model", "measures")}}
            for run, count in zip(runs, counts, strict=True)
        ],
    }


def _inconsistency(read: Mapping[str, Any]) -> str | None:
    """What a schema can't say: names that are unique, and scores of the groups that are named."""
    groups = read["groups"] or []
    named = set()
    for scan in read["scans"]:
        name = scan["scan"]
        if name in named:
            return f"the scan {name} is there twice"
        named.add(name)
        confusion = scan["confusion"]
        if confusion is not None and [len(row) for row in confusion] != [len(groups)] * len(groups):
            return f"the confusion of {name} is not of the groups"
        if any(scan[key] is not None and set(scan[key]) != {*groups, "mean"} for key in ("iou", "dice")):
            return f"the scores of {name} are not of the groups"
        if any(scan[key] is not None and not set(scan[key]) <= set(groups) for key in ("surface", "volume_error_ml")):
            return f"the distances of {name} are not of the groups"
    return None


def _model(summary: Summary) -> str:
    model = summary["model"]
    return f"{model['name']} {model['version']} (sha256 {model['sha256'][:12]})"


_TRAITS: Mapping[str, Callable[[Summary], str]] = {
    "the version of ctseg": lambda summary: summary["version"],
    "the precision": lambda summary: summary["model"]["precision"],
    "the model": _model,
    "what was measured": lambda summary: summary["measures"],
    "what their truth tells apart": lambda summary: ", ".join(summary["groups"] or ["no truth"]),
}


def _common(values: Iterable[Any]) -> Any:
    """What all have in common; None where they differ."""
    first, *others = values
    return first if all(other == first for other in others) else None


def _once(values: Iterable[Any]) -> list[Any]:
    """Each of them once, in their order."""
    return list({json.dumps(value, sort_keys=True): value for value in values}.values())


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no JSON")
