"""What earlier runs wrote, under whatever settings, for slices, volumes and stacks that are no more, or shorter now."""

from collections.abc import Iterator, Mapping
from itertools import chain, count, takewhile

from ctseg_batch.inputs.site import Site, volume_slice
from ctseg_batch.journal.changes import Changes
from ctseg_batch.journal.past import Past, place_of
from ctseg_batch.outputs.slice_outputs import Outputs


class StaleOutputs:
    """Finds it by what was noted and by what is there, and has it discarded."""

    def __init__(self, past: Past, outputs: Outputs, changes: Changes) -> None:
        self._past, self._outputs, self._discard = past, outputs, changes.discard

    def take_away(self, site: Site, scans: Mapping[str, int]) -> None:
        """Of the files of a site, all beyond the slices that each of the scans has now."""
        for file in site.below(site.files):
            numbered = takewhile(lambda scan: scan in scans or self._is_known(scan), _numbered(file))
            for scan in chain([file], numbered):
                if scan in scans:
                    self._discard(slices=self._left_over(scan, scans[scan]))
                elif site.kind == "volume" or self._is_known(scan):
                    self._discard(
                        parts=[place_of(scan)], slices=self._left_over(scan, 0), scans=[site.scan_output_by_file(scan)]
                    )

    def take_away_gone(self, site: Site, place: str) -> None:
        """Of a part of a site, the slices that were noted and whose files are gone."""
        within = len(site.within)
        slices = [(one.source[within:], one.mask) for one in self._past.rows(place)]
        # A mask may have got the name that a PNG beside it has by now.
        gone = [mask for file, mask in slices if not site.has(file) and not site.has(mask[within:])]
        self._discard(slices=gone)

    def take_away_beyond(self, site: Site, scan: str, parts: int) -> None:
        """The parts that a scan has no more, if it had more of them; the last one first: a gap hides what follows."""
        for place in reversed(list(self._past.places(scan, parts))):
            self.take_away_gone(site, place)
            self._discard(parts=[place])

    def _is_known(self, scan: str) -> bool:
        return self._past.slices(scan) > 0 or self._outputs.has_folder(scan)

    def _left_over(self, scan: str, slices: int) -> Iterator[str]:
        """What was written from this slice on, whether it was noted or not."""
        noted = self._past.slices(scan)
        for number in count(slices):
            name = f"{scan}/{volume_slice(number)}"
            if number >= noted and not self._outputs.is_any_there([name]):
                return
            yield name


def _numbered(file: str) -> Iterator[str]:
    return (f"{file}/{number}" for number in count(1))
