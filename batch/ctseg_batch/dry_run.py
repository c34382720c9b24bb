"""What a run would come to, without a run: for `--dry-run`, and for whoever measures."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ctseg_batch.call import Call
from ctseg_batch.job import Job, open_job
from ctseg_batch.parts.part import Part, Step
from ctseg_batch.parts.plan import Planner
from ctseg_batch.result import Failure


@dataclass(frozen=True)
class Plan:
    """Slices by scan, how many of them are to be done, what is skipped and what has failed already.

    `exit_status` is that of the run, as far as it can be foreseen.
    """

    slices: Mapping[str, int]
    to_do: Mapping[str, int]
    skipped: Sequence[Failure]
    errors: Sequence[Failure]
    exit_status: int


def plan(call: Call) -> Plan:
    """What a run would do. Raises CtsegError for a call that can't be followed; writes nothing."""
    job = open_job(call)
    planner = job.planner(job.recall())
    slices: Counter[str] = Counter()
    to_do: Counter[str] = Counter()
    failed: set[Failure] = set()
    is_nothing_readable = call.shard is None  # of a shard it can't be told: another may read something
    for step in _steps(job, planner):
        failed.update(() if isinstance(step, Part) else step.failures)
        count = len(step.names) if isinstance(step, Part) else step.slices
        slices[step.scan] += count
        to_do[step.scan] += count * isinstance(step, Part)
        is_nothing_readable &= not isinstance(step, Part) and step.slices == step.failed_slices
    errors = sorted({*job.failures(), *planner.errors, *failed})
    return Plan(slices, to_do, planner.skipped, errors, 2 if is_nothing_readable else int(bool(errors)))


def foresee(job: Job) -> Iterator[Step]:
    """What a run of an open job would come to, part by part. Writes nothing."""
    return _steps(job, job.planner(job.recall()))


def _steps(job: Job, planner: Planner) -> Iterator[Step]:
    planner.survey(job.found.sites)
    for site in job.sites():
        yield from planner.plan(site)
        job.input_files.release(site)
