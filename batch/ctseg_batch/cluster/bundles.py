"""What goes to a worker and what comes back: some sites to be done, and all that came of them."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ctseg_batch.inputs.site import Site
from ctseg_batch.journal.past import Past
from ctseg_batch.layout import JournalEntry
from ctseg_batch.result import Failure, PartResult

# Slices that a worker gets at once, at most: seconds of work, so that what Ray does for each bundle does not count, and
# little is lost with a worker.
_MOST_SLICES = 256
# Where there are few slices, so many bundles for each worker: none shall wait long for the others at the end.
_BUNDLES_A_WORKER = 4


@dataclass(frozen=True)
class Bundle:
    """Sites to be done, each with its place in the run, and what is known of them."""

    places: tuple[int, ...]
    sites: tuple[Site, ...]
    past: Past


@dataclass(frozen=True)
class Report:
    """What came of a bundle: `results` and `site_of_scan` of each site, the rest of all of them.

    `noted` belongs in the journal, `dropped` are as Worked has them. `trouble`: the run can't go on, and why.
    """

    places: tuple[int, ...]
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
    """Sites, each with its place, in bundles of about as many slices; a volume is one of its own."""
    size = min(_MOST_SLICES, sum(len(site.files) for _, site in sites) // (_BUNDLES_A_WORKER * workers))
    taken: list[tuple[int, Site]] = []
    slices = 0
    for place, site in sites:
        count = _MOST_SLICES if site.kind == "volume" else len(site.files)
        if taken and slices + count > size:
            yield _bundle(taken, past)
            taken, slices = [], 0
        taken.append((place, site))
        slices += count
    if taken:
        yield _bundle(taken, past)


def _bundle(taken: Sequence[tuple[int, Site]], past: Past) -> Bundle:
    about = Past()
    for _, site in taken:
        known = past.about(site)
        about.parts |= known.parts
        about.folders |= known.folders
    places, sites = zip(*taken, strict=True)
    return Bundle(places, sites, about)
