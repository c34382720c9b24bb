"""Read the summary that a run, or each shard of one, left in OUT, and check that it is intact."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ctseg import __version__
from ctseg.errors import CallError
from ctseg_batch.figures.columns import Row, with_all_digits
from ctseg_batch.figures.slices_file import read_slices
from ctseg_batch.figures.summary import SCHEMA, Summary
from ctseg_batch.figures.summary_schema import schema_fault
from ctseg_batch.layout import SLICES_CSV, SUMMARY_JSON, journal_files, marked, recorded_root, shard_of
from ctseg_batch.shards import Shard

_State = tuple[int, int] | None

_AGAIN = "call ctseg batch again; it does only what is missing"


@dataclass(frozen=True)
class Run:
    """A run's folder, and the content of its summary.json; a shard has a `mark` in the names of its files.

    `called` is where the run is for people, which may be a URL; `state` tells whether the file is still the same.
    """

    out: Path
    called: str
    summary: Summary
    mark: str
    state: _State

    @property
    def shard(self) -> Shard | None:
        """The shard that the run was, if any."""
        told = self.summary["shard"]
        return Shard(told["number"], told["of"]) if told else None

    @cached_property
    def root(self) -> str | None:
        """The folder or URL that the names of its scans are relative to, if a journal in OUT says."""
        return recorded_root(self.out)

    def check_unchanged(self) -> None:
        """Raise CallError if the run has begun again since its summary was read: it then removes that first."""
        if _state(self.out, self.mark) != self.state:
            raise CallError(f"{self.title} was begun again in the meantime: call again once it has ended")

    @property
    def title(self) -> str:
        """A name that is unique, also among shards in the same folder."""
        return f"{self.called} (shard {self.shard})" if self.shard else self.called

    def scan_numbers(self) -> Mapping[str, int]:
        """The number of each scan of a shard in the order of a run without shards."""
        names = (scan["scan"] for scan in self.summary["scans"])
        return dict(zip(names, self.summary["shard"]["places"], strict=True))

    def slices(self) -> Iterator[Row]:
        """The rows of its slices.csv, with all digits; raises CallError if it does not fit the summary."""
        expected = {scan["scan"]: scan["slices"] for scan in self.summary["scans"]}
        scans = {scan["scan"]: scan for scan in self.summary["scans"]}
        for row in read_slices(self.out / marked(SLICES_CSV, self.mark), expected):
            scan, index = scans[str(row[0])], int(row[1] or 0)
            weights = scan["slice_weights"]
            yield with_all_digits(row, scan["spacing_mm"], weights[index] if weights else 1.0)


def read_runs(out: Path, called: str) -> list[Run]:
    """Read the run in OUT, or each of its shards that has ended. `called`: where OUT is for people.

    When a run ends it removes the tables of shards; if there are some, they are of a later run. Raises CallError for a
    summary that is missing, damaged, or of another version, and for shards of several cuts.
    """
    found = (shard_of(file.name) for file in out.glob(marked(SUMMARY_JSON, ".*-of-*")))
    shards = sorted((shard.of, shard.number) for shard in found if shard)
    cuts = sorted({of for of, _ in shards})
    if len(cuts) > 1:
        raise CallError(
            f"{called} holds tables of runs in {' and in '.join(map(str, cuts))} shards: call any shard of the "
            "latest run again; it removes the older tables"
        )
    if shards:
        marks = [Shard(number, of).mark for of, number in shards]
        return [_run(out, mark, called) for mark in marks]
    whole = _run(out, "", called)
    if whole.summary["runs"] is not None:
        raise CallError(f"{called}/{SUMMARY_JSON} was written by ctseg summarize: name the OUT folders that it joined")
    return [whole]


def _run(out: Path, mark: str, called: str) -> Run:
    state = _state(out, mark)
    return Run(out, called, read_summary(out, mark, called), mark, state)


def _state(out: Path, mark: str) -> _State:
    """Which file a summary is, and of which time; None if there is none."""
    try:
        found = (out / marked(SUMMARY_JSON, mark)).stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def read_summary(out: Path, mark: str, called: str) -> Summary:
    """Read the summary in OUT of a run, or of the shard with that mark; raises CallError if it is not valid."""
    name = marked(SUMMARY_JSON, mark)
    file = f"{called}/{name}"
    try:
        read: Any = json.loads((out / name).read_bytes(), parse_constant=_refuse)
    except FileNotFoundError:
        ended = f"the run into {called} has not ended; {_AGAIN}"
        why = ended if journal_files(out) else f"{called} holds no run of ctseg batch"
        raise CallError(f"{file} does not exist: {why}") from None
    except NotADirectoryError:
        raise CallError(f"{called} is a file: name the folder that a run wrote into") from None
    except OSError as error:
        raise CallError(f"{file} can't be read: {error.strerror}") from error
    except (ValueError, RecursionError):
        raise CallError(f"{file} is damaged: it is not JSON; {_AGAIN}") from None
    schema = read.get("schema") if isinstance(read, dict) else None
    if isinstance(schema, int) and schema != SCHEMA:
        raise CallError(
            f"{file} is of another version of ctseg (schema {schema}, not {SCHEMA}): "
            + ("update ctseg" if schema > SCHEMA else "run it again with this")
        )
    wrong = schema_fault(read) or _inconsistency(read)
    if wrong:
        version = read.get("version") if isinstance(read, dict) else None
        if isinstance(version, str) and version != __version__:
            raise CallError(f"{file} was written by ctseg {version}, not by {__version__}: {_AGAIN}")
        raise CallError(f"{file} is damaged, or is not a summary of ctseg: {wrong}")
    summary: Summary = read
    return summary


def _inconsistency(read: Mapping[str, Any]) -> str | None:
    """Check what a schema can't: that names are unique, and that scores are of the groups that are named."""
    shard, is_mixed = read["shard"], read["runs"] is not None and read["groups"] is None
    if shard and not (shard["number"] <= shard["of"] and len(shard["places"]) == len(read["scans"])):
        return "its shard is invalid"
    named = set()
    for scan in read["scans"]:
        name = scan["scan"]
        if name in named:
            return f"the scan {name} occurs twice"
        named.add(name)
        if len(scan["slice_weights"] or ()) not in (0, scan["slices"]):
            return f"the weights of {name} do not match its slices"
        # Of runs with different references each scan has the groups of its own.
        groups = [name for name in scan["iou"] or () if name != "mean"] if is_mixed else read["groups"] or []
        for table in (scan["confusion"], scan["weighted_confusion"]):
            if table is not None and [len(row) for row in table] != [len(groups)] * len(groups):
                return f"the confusion of {name} does not match the groups"
        if any(scan[key] is not None and set(scan[key]) != {*groups, "mean"} for key in ("iou", "dice")):
            return f"the scores of {name} do not match the groups"
        if any(scan[key] is not None and not set(scan[key]) <= set(groups) for key in ("surface", "volume_error_ml")):
            return f"the distances of {name} do not match the groups"
    return None


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")
