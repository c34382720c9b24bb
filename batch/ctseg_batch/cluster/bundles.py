"""What is sent to a worker and what comes back: a bundle of sites, and the report on it."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ctseg_batch.inputs.site import Site
from ctseg_batch.journal.lines import JournalEntry
from ctseg_batch.journal.past import Past
from ctseg_batch.result import Failure, PartResult

# The most slices in a bundle: seconds of work, so that Ray's overhead per bundle is small, and little is lost with a
# worker.
_MOST_SLICES = 256
# With few slices, the number of bundles per worker, so that no worker waits long for the others at the end.
_BUNDLES_A_WORKER = 4


@dataclass(frozen=True)
class Bundle:
    """Sites to be done, each with its number in the run, and their records from earlier runs."""

    numbers: tuple[int, ...]
    sites: tuple[Site, ...]
    past: Past


@dataclass(frozen=True)
class Report:
    """What a worker has done of a bundle: `results` are by site, all else is for the whole bundle.

    `noted` are records for the journal; the other fields are as in Worked. `trouble`: why the run can't go on, if so.
    """

    numbers: tuple[int, ...]
    results: Sequence[Sequence[PartResult]] = ()
    site_of_scan: Mapping[str, str] | None = None
    slices: int = 0
    noted: Sequence[JournalEntry] = ()
    skipped: Sequence[Failure] = ()
    errors: Sequence[Failure] = ()
    notes: Sequence[str] = ()
    dropped: Mapping[str, Collection[str]] = field(default_factory=dict)
    trouble: str | None = None


def bundled(sites: Sequence[tuple[int, Site]], past: Past, workers: int) -> Iterator[Bundle]:
    """Bundles of sites, each with its number, of about the same number of slices; a volume is a bundle of its own."""
    size = min(_MOST_SLICES, sum(len(site.files) for _, site in sites) // (_BUNDLES_A_WORKER * workers))
    taken: list[tuple[int, Site]] = []
    slices = 0
    for number, site in sites:
        count = _MOST_SLICES if site.kind == "volume" else len(site.files)
        if taken and slices + count > size:
            yield _bundle(taken, past)
            taken, slices = [], 0
        taken.append((number, site))
        slices += count
    if taken:
        yield _bundle(taken, past)


def _bundle(taken: Sequence[tuple[int, Site]], past: Past) -> Bundle:
    about = Past()
    for _, site in taken:
        known = past.about(site)
        about.parts |= known.parts
        about.folders |= known.folders
    numbers, sites = zip(*taken, strict=True)
    return Bundle(numbers, sites, about)
