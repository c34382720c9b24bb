"""Collect what comes back from the cluster in the order of the run, and record it."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

from ctseg.errors import CallError
from ctseg_batch.cluster.bundles import Report
from ctseg_batch.inputs.site import Site
from ctseg_batch.journal.entries import part_id_at
from ctseg_batch.journal.record import Journal
from ctseg_batch.parts.plan import Planner, unread
from ctseg_batch.result import Failure, PartResult
from ctseg_batch.watcher import Watcher
from ctseg_batch.work import Worked

TRIES = 10
"""How often a bundle is tried again after its worker was lost: a scan that kills workers must not kill them for ever.

Ray tries seven times before it counts a dead machine as dead. A scan that kills every worker is given up after some 40
seconds, since Ray waits longer before each retry.
"""


class Gathered:
    """The results of a run as they come in, each by the number of its site in the run."""

    def __init__(
        self,
        pieces: Sequence[Site],
        planner: Planner,
        journal: Journal,
        watcher: Watcher,
        note: Callable[[str], None],
    ) -> None:
        self._pieces, self._planner = pieces, planner
        self._journal, self._watcher, self._note = journal, watcher, note
        self._results: dict[int, Sequence[PartResult]] = {}
        self._site_of_scan: dict[str, str] = {}
        self._skipped: list[tuple[int, Failure]] = []
        self._errors: list[Failure] = []
        self._dropped: defaultdict[str, set[str]] = defaultdict(set)
        self._slices = 0

    def to_do(self) -> Iterator[tuple[int, Site]]:
        """The sites that were not done before, with their numbers."""
        for number, piece in enumerate(self._pieces):
            done = self._planner.remembered(piece)
            self._planner.input_files.release(piece)
            if done is None:
                yield number, piece
                continue
            self._results[number] = done
            self._site_of_scan.update(dict.fromkeys((result.scan_name for result in done), piece.name))
            self._watcher.expect(-len(piece.files))

    def take(self, report: Report) -> None:
        """Record the report on a bundle. Raises CallError if the run can't go on."""
        if report.trouble is not None:
            raise CallError(report.trouble)
        for line in report.notes:
            self._note(line)
        self._journal.add(*report.noted)
        came_upon = {noted.get("part") for noted in report.noted}
        begun = (part_id_at(self._pieces[number]) for number in report.numbers)
        self._journal.forget(part_id for part_id in begun if part_id not in came_upon)
        for number, results in zip(report.numbers, report.results, strict=True):
            self._results[number] = results
            slices = sum(result.slices for result in results)
            self._watcher.expect(slices - len(self._pieces[number].files))
            for _ in range(slices):
                self._watcher.advance()
            for result in results:
                self._watcher.tell(result)
        self._site_of_scan.update(report.site_of_scan or {})
        self._skipped += [(report.numbers[0], one) for one in report.skipped]
        self._errors += report.errors
        self._slices += report.slices
        for kind, scans in report.dropped.items():
            self._dropped[kind].update(scans)

    def missing(self) -> list[tuple[int, Site]]:
        """The sites that have not come back, with their numbers."""
        return [(number, piece) for number, piece in enumerate(self._pieces) if number not in self._results]

    def complete(self) -> Worked:
        """All results; what no worker has reported has failed."""
        for number, piece in self.missing():
            reason = "every worker that had it was lost, as when memory runs out: the same call retries it"
            self._results[number] = [unread(piece, tuple(Failure(file, reason) for file in piece.below(piece.files)))]
            self._site_of_scan[piece.scan_name] = piece.name
        skipped = [one for _, one in sorted(self._skipped, key=lambda placed: placed[0])]
        return Worked(
            results=[result for number in sorted(self._results) for result in self._results[number]],
            site_of_scan=self._site_of_scan,
            slices=self._slices,
            skipped=[*self._planner.skipped, *skipped],
            errors=[*self._planner.errors, *self._errors],
            dropped=self._dropped,
        )
