"""What a run would do, without doing it: for `--dry-run` and `ctseg profile`."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from ctseg.printable import count, printable
from ctseg_batch.call import Call
from ctseg_batch.figures.notes import on_search, removed
from ctseg_batch.figures.summary import nothing_left
from ctseg_batch.job import Job, open_job
from ctseg_batch.parts.part import Part, Step
from ctseg_batch.parts.plan import Planner
from ctseg_batch.result import Failure
from ctseg_batch.terminal.table import doubtful, listed


@dataclass(frozen=True)
class Plan:
    """How many slices each scan has, how many of them are to be done, which files are skipped or have failed already.

    `flags` are those that are known of each scan without its pixels. `notes`: which folders were not searched, which
    outputs would be removed. `exit_status` is that of the run, as far as it can be foreseen.
    """

    slices: Mapping[str, int]
    to_do: Mapping[str, int]
    flags: Mapping[str, Sequence[str]]
    skipped: Sequence[Failure]
    errors: Sequence[Failure]
    notes: Sequence[str]
    exit_status: int


def plan(call: Call) -> Plan:
    """What a run would do. Writes nothing; raises CtsegError where the run would refuse to start."""
    job = open_job(call)
    past = job.recall()
    job = job.following(past)
    outputs = job.open_outputs()
    planner, dropped = job.planner(past, outputs), outputs.dropped
    slices: Counter[str] = Counter()
    to_do: Counter[str] = Counter()
    flags: defaultdict[str, dict[str, None]] = defaultdict(dict)
    failed: set[Failure] = set()
    is_nothing_readable = call.shard is None  # of a shard it can't be told: another may read something
    for step in _steps(job, planner):
        if isinstance(step, Part):
            dropped.foresee(step.mask_names, step.scan_output)
        failed.update(() if isinstance(step, Part) else step.failures)
        many = len(step.mask_names) if isinstance(step, Part) else step.slices
        slices[step.scan_name] += many
        to_do[step.scan_name] += many * isinstance(step, Part)
        flags[step.scan_name] |= dict.fromkeys(step.scan.flags if isinstance(step, Part) else step.flags)
        is_nothing_readable &= not isinstance(step, Part) and step.slices == step.failed_slices
    errors = sorted({*job.failures(), *planner.errors, *failed})
    gone = removed({kind: len(names) for kind, names in dropped.scans.items()}, "would be removed")
    notes = [*on_search(job.found), *gone]
    status = 2 if is_nothing_readable else int(bool(errors))
    return Plan(slices, to_do, {scan: list(one) for scan, one in flags.items()}, planner.skipped, errors, notes, status)


def plan_report(found: Plan) -> Iterator[RenderableType]:
    """A table of the scans, with their slices and how many are to be done; then what is skipped, doubtful or failed."""
    table = Table(box=SIMPLE_HEAD, show_edge=False)
    table.add_column("scan", overflow="fold")
    for title in ("slices", "to do"):
        table.add_column(title, justify="right")
    for name, slices in found.slices.items():
        table.add_row(Text(printable(name)), str(slices), str(found.to_do[name]))
    table.add_section()
    table.add_row(count(len(found.slices), "scan"), str(sum(found.slices.values())), str(sum(found.to_do.values())))
    yield table
    yield from (Text(printable(note)) for note in found.notes)
    yield from listed("skipped", ((one.file, one.reason) for one in found.skipped), "dim")
    yield from doubtful(found.flags)
    yield from plan_failures(found)


def plan_failures(found: Plan) -> Iterator[RenderableType]:
    """What has failed already; or why there is nothing to do at all."""
    yield from listed("failed", ((one.file, one.reason) for one in found.errors), "red")
    if found.exit_status == 2 and not found.errors:
        yield Text(printable(nothing_left([one.reason for one in found.skipped])), "red")


def foresee(job: Job) -> Iterator[Step]:
    """What a run of an open job would do, part by part. Writes nothing."""
    return _steps(job, job.planner(job.recall(), job.open_outputs()))


def _steps(job: Job, planner: Planner) -> Iterator[Step]:
    planner.survey(job.found.sites)
    for site in job.sites():
        for piece in planner.pieces(site):
            yield from planner.plan(piece)
            job.input_files.release(piece)
