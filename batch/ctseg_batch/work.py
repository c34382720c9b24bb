"""The parts of a run, one after the other: planned, handed to the workers, recorded once their last file is written."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain

import cv2

from ctseg.stages import stage
from ctseg_batch.cpus import usable_cpus
from ctseg_batch.inputs.input_files import InputFiles
from ctseg_batch.inputs.site import Site
from ctseg_batch.job import Job
from ctseg_batch.journal.past import Past
from ctseg_batch.journal.record import Journal
from ctseg_batch.network.fallback import FallbackEngine
from ctseg_batch.parts.part import Part, Step
from ctseg_batch.parts.pipeline import PartContext, begin
from ctseg_batch.parts.plan import Planner
from ctseg_batch.parts.workers import Countdown, Workers
from ctseg_batch.result import Failure, PartResult
from ctseg_batch.watcher import Watcher


@dataclass
class Worked:
    """What a driver has done: the `results` of all parts in the order of the sites, whichever ended first.

    `site_of_scan` names the site of each scan. `slices` counts those done by this run, not by earlier ones. `skipped`
    and `errors` are the planner's. `dropped`: by kind of output, the scans whose files of that kind were removed.
    """

    results: Sequence[PartResult]
    site_of_scan: Mapping[str, str]
    slices: int
    skipped: Sequence[Failure]
    errors: Sequence[Failure]
    dropped: Mapping[str, Collection[str]]


Driver = Callable[[Job, Past, Journal, Watcher, Callable[[str], None]], Worked]
"""Does all sites of a job that the past does not hold already, and records each part; the last argument takes notes."""


def work_here(job: Job, past: Past, journal: Journal, watcher: Watcher, note: Callable[[str], None]) -> Worked:
    """The driver of one machine: does the parts in threads of this process."""
    engine = FallbackEngine(job.engine, job.call.precision, note)
    outputs = job.open_outputs()
    planner = job.planner(past, outputs, journal)
    with stage("discover"):
        planner.survey(job.found.sites)
    with Workers(job.call.workers or usable_cpus()) as workers:
        context = job.context(workers, engine, outputs)
        under_way = work_off(job.sites(), planner, context, journal, watcher, job.most)
    return Worked(
        results=under_way.in_order(),
        site_of_scan=under_way.site_of_scan,
        slices=under_way.slices,
        skipped=planner.skipped,
        errors=list(map(job.input_files.explained, planner.errors)),
        dropped=outputs.dropped.scans,
    )


def _explained(result: PartResult, input_files: InputFiles) -> PartResult:
    """The result, its failures with the reason why a file could not be fetched, if it could not."""
    return replace(result, failures=tuple(map(input_files.explained, result.failures))) if result.failures else result


@dataclass
class UnderWay:
    """The results so far, by the number of their part; complete once the workers have ended.

    `now` are the numbers of the parts that this run does.
    """

    site_of_scan: dict[str, str] = field(default_factory=dict)
    by_number: dict[int, PartResult] = field(default_factory=dict)
    now: set[int] = field(default_factory=set)

    @property
    def slices(self) -> int:
        """How many slices this run has done."""
        results = (self.by_number[number] for number in self.now)
        return sum(result.labelled for result in results)

    def in_order(self) -> list[PartResult]:
        """The results of all parts, in the order in which they were planned."""
        return [self.by_number[number] for number in sorted(self.by_number)]


def work_off(
    sites: Sequence[Site],
    planner: Planner,
    context: PartContext,
    journal: Journal,
    watcher: Watcher,
    most: int | None = None,
) -> UnderWay:
    """Plan the sites and queue what is to be done for the workers of `context`; returns when the last of it is queued.

    Stops after `most` slices, if that is given.
    """
    # Workers do a slice each: threads of OpenCV would only compete with them for the same cores.
    cv2.setNumThreads(1)
    under_way, input_files = UnderWay(), planner.input_files
    input_files.drain_by(context.workers.drain)
    watcher.expect(sum(len(site.files) for site in sites))

    def end(number: int, part: Part, held: "_Held", come: PartResult) -> None:
        result = _explained(come, input_files)
        journal.note(part.id, part.key, result)
        under_way.by_number[number] = result
        watcher.tell(result)
        held.drop()

    for number, (held, step) in enumerate(_steps(sites, planner, watcher, most)):
        under_way.site_of_scan[step.scan_name] = held.name
        if isinstance(step, PartResult):
            under_way.by_number[number] = _explained(step, input_files)
            continue
        under_way.now.add(number)
        journal.begin({step.id: step.outline}, context.outputs.kinds)
        held.take()
        begin(step, context, watcher.advance, partial(end, number, step, held))
    return under_way


class _Held:
    """The files of a site, counted by their users and released by the last; the first user is the planner."""

    def __init__(self, site: Site, input_files: InputFiles) -> None:
        self.name = site.name
        self._release = partial(input_files.release, site)
        self._users = Countdown(1)

    def take(self) -> None:
        """Count one more user."""
        self._users.add()

    def drop(self) -> None:
        """Count one user less."""
        if self._users.done():
            self._release()


def _steps(sites: Iterable[Site], planner: Planner, watcher: Watcher, most: int | None) -> Iterator[tuple[_Held, Step]]:
    """The parts to be done and the results of those done before, site by site, up to `most` slices."""
    left = most
    for site in chain.from_iterable(map(planner.pieces, sites)):
        expected, held = len(site.files), _Held(site, planner.input_files)
        for step in _timed(planner.plan(site)):
            if isinstance(step, PartResult):
                yield held, step
                continue
            part = step if left is None else step.first(left)
            watcher.expect(len(part.mask_names) - expected)
            expected = 0
            planner.input_files.fetch(site)
            yield held, part
            if left is not None:
                left -= len(part.mask_names)
                if not left:
                    held.drop()
                    return
        watcher.expect(-expected)
        held.drop()


def _timed(steps: Iterator[Step]) -> Iterator[Step]:
    """The same steps; the time to find each counts as discovery."""
    while True:
        with stage("discover"):
            step = next(steps, None)
        if step is None:
            return
        yield step
