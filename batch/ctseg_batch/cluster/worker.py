"""A worker of the cluster: opens the model once, and puts bundle after bundle through the pipeline of a run."""

from collections.abc import Mapping
from dataclasses import replace
from uuid import uuid4

from ctseg.errors import CallError, CtsegError, unforeseen
from ctseg.model import find_model
from ctseg_batch.choices import DeviceChoice
from ctseg_batch.cluster.bundles import Bundle, Report
from ctseg_batch.job import Job
from ctseg_batch.journal.lines import JournalEntry
from ctseg_batch.journal.record import Journal
from ctseg_batch.network.engine import open_engine
from ctseg_batch.network.fallback import FallbackEngine
from ctseg_batch.parts.workers import Workers
from ctseg_batch.watcher import Watcher
from ctseg_batch.work import UnderWay, work_off


class Labeller:
    """Does bundles. Ray makes one in each worker process, and a new one if a process is lost."""

    def __init__(self, job: Job, device: DeviceChoice) -> None:
        """`job` is the driver's. An error is kept for the report on the first bundle: Ray would only try again."""
        self._notes: list[str] = []
        self._trouble: str | None = None
        try:
            self._job = _opened(job, device)
        except CtsegError as error:
            self._trouble = str(error)
        else:
            self._engine = FallbackEngine(self._job.engine, self._job.call.precision, self._notes.append)

    def __call__(self, row: Mapping[str, Bundle]) -> dict[str, Report]:
        """A row with a Bundle becomes one with a Report."""
        bundle = row["bundle"]
        try:
            report = self._do(bundle) if self._trouble is None else Report(bundle.numbers, trouble=self._trouble)
        except CtsegError as error:  # OUT can't be written, which would fail for all
            report = Report(bundle.numbers, trouble=str(error))
        except Exception as error:  # noqa: BLE001 - Ray would only report that something was lost
            report = Report(
                bundle.numbers, trouble=f"a worker failed with an internal error, please report it: {unforeseen(error)}"
            )
        return {"report": report}

    def _do(self, bundle: Bundle) -> Report:
        job, journal, input_files = self._job, GatheredJournal(), self._job.input_files
        outputs = job.open_outputs()
        planner = job.planner(bundle.past, outputs, journal)
        under_way: list[UnderWay] = []
        with Workers(1) as workers:
            context = job.context(workers, self._engine, outputs)
            for site in bundle.sites:
                here = input_files.localised(site)
                under_way.append(work_off([here], planner, context, journal, Watcher()))
        told, self._notes[:] = list(self._notes), []
        # The driver has revoked all records of the bundle: those that were not touched here hold again.
        touched = {noted.get("part") for noted in journal.records}
        still = [noted for part_id, noted in bundle.past.parts.items() if part_id not in touched]
        return Report(
            bundle.numbers,
            results=[one.in_order() for one in under_way],
            site_of_scan={scan: site for one in under_way for scan, site in one.site_of_scan.items()},
            slices=sum(one.slices for one in under_way),
            noted=[*still, *journal.records],
            skipped=planner.skipped,
            errors=list(map(input_files.explained, planner.errors)),
            notes=told,
            dropped=outputs.dropped.scans,
        )


class GatheredJournal(Journal):
    """A journal in memory: the driver writes its records."""

    def __init__(self) -> None:
        self.records: list[JournalEntry] = []

    def announce_change(self) -> None:
        """Nothing: the driver has told already."""

    def add(self, *noted: JournalEntry) -> None:
        """Add them to `records`."""
        self.records += noted


def for_travel(job: Job) -> Job:
    """A job to be sent: without its sites, which are sent in bundles, and its session, which belongs to one process."""
    found = replace(job.found, sites=(), failed=())
    return replace(job, found=found, engine=replace(job.engine, session=None))


def _opened(job: Job, device: DeviceChoice) -> Job:
    """The job with its model opened here; raises CtsegError if that fails, or if it is another model."""
    engine = open_engine(find_model(job.call.model), device, job.engine.spec.precision)
    if engine.sha256 != job.engine.sha256:
        raise CallError(
            f"{engine.file} on a worker's machine differs from the driver's: install the same ctseg there, "
            "or name a --model that all machines share"
        )
    return replace(job, engine=engine, output_files=job.output_files.of_worker(uuid4().hex[:8]))
