"""What a run would do, without doing it: for `--dry-run` and `ctseg profile`."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from ctseg_batch.call import Call
from ctseg_batch.figures.notes import on_search, removed
from ctseg_batch.job import Job, open_job
from ctseg_batch.parts.part import Part, Step
from ctseg_batch.parts.plan import Planner
from ctseg_batch.result import Failure


@dataclass
class PlannedScan:
    """How many slices a scan has, how many are to be done, and the flags that are known of it without its pixels."""

    scan: str
    slices: int = 0
    to_do: int = 0
    flags: list[str] = field(default_factory=list)

    def add(self, slices: int, flags: Iterable[str]) -> None:
        """Count the slices of another part, and note its flags."""
        self.slices += slices
        self.flags += [flag for flag in dict.fromkeys(flags) if flag not in self.flags]


@dataclass(frozen=True)
class Plan:
    """The scans, and which files are skipped or have failed already.

    `notes`: which folders were not searched, which outputs would be removed. `exit_status` is that of the run, as far
    as it can be foreseen.
    """

    scans: Sequence[PlannedScan]
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
    scans: dict[str, PlannedScan] = {}
    failed: set[Failure] = set()
    is_nothing_readable = call.shard is None  # of a shard it can't be told: another may read something
    for step in _steps(job, planner):
        scan = scans.setdefault(step.scan_name, PlannedScan(step.scan_name))
        if isinstance(step, Part):
            dropped.foresee(step.mask_names, step.scan_output)
            scan.add(len(step.mask_names), step.scan.flags)
            scan.to_do += len(step.mask_names)
            is_nothing_readable = False
        else:
            scan.add(step.slices, step.flags)
            failed.update(step.failures)
            is_nothing_readable &= not step.labelled
    errors = sorted({*job.failures(), *planner.errors, *failed})
    gone = removed({kind: len(names) for kind, names in dropped.scans.items()}, "would be removed")
    notes = [*on_search(job.found), *gone]
    status = 2 if is_nothing_readable else int(bool(errors))
    return Plan(list(scans.values()), planner.skipped, errors, notes, status)


def foresee(job: Job) -> Iterator[Step]:
    """What a run of an open job would do, part by part. Writes nothing."""
    return _steps(job, job.planner(job.recall(), job.open_outputs()))


def _steps(job: Job, planner: Planner) -> Iterator[Step]:
    planner.survey(job.found.sites)
    for site in job.sites():
        for piece in planner.pieces(site):
            yield from planner.plan(piece)
            job.input_files.release(piece)
