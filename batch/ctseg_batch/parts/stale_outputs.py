"""Outputs of earlier runs, under whatever settings, whose slices, volumes or stacks no longer exist."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, count, takewhile

from ctseg_batch.inputs.site import Site, volume_slice
from ctseg_batch.journal.entries import part_id_of
from ctseg_batch.journal.past import Past
from ctseg_batch.journal.record import Journal
from ctseg_batch.outputs.outputs import Outputs
from ctseg_batch.parts.part import Part


class StaleOutputs:
    """Finds them by the past and by what is in OUT, and discards them; without a journal, nothing is discarded."""

    def __init__(self, past: Past, outputs: Outputs, journal: Journal | None) -> None:
        self._past, self._outputs, self._journal = past, outputs, journal

    def discard(self, *, parts: Iterable[str] = (), slices: Iterable[str] = (), scans: Iterable[str] = ()) -> None:
        """Revoke the records of `parts`, remove the outputs of `slices` and of whole `scans`, then drop the records."""
        if self._journal is None:
            return
        known = [part_id for part_id in parts if part_id in self._past.parts]
        going = list(slices), list(scans)
        # First: no record may claim a file that is gone.
        self._journal.revoke(self._past.parts[part_id] for part_id in known)
        if self._outputs.is_any_there(*going):
            self._journal.announce_change()
            self._outputs.remove(*going)
        self._journal.forget(known)

    def remove_beyond_length(self, site: Site, scans: Mapping[str, int]) -> None:
        """Remove the outputs of scans named after a site's files beyond the slices that each of the `scans` has now."""
        for file in site.below(site.files):
            numbered = takewhile(lambda name: name in scans or self._is_known(name), _numbered(file))
            for name in chain([file], numbered):
                if name in scans:
                    self.discard(slices=self._left_over(name, scans[name]))
                elif site.kind == "volume" or self._is_known(name):
                    self.discard(
                        parts=[part_id_of(name)],
                        slices=self._left_over(name, 0),
                        scans=[site.scan_output_by_file(name)],
                    )

    def remove_of_missing_files(self, site: Site, part_id: str) -> None:
        """Remove the outputs of those slices of a part of a site whose files are gone."""
        within = len(site.within)
        # A part may have had its name from another folder.
        rows = [one for one in self._past.rows(part_id) if one.source.startswith(site.within)]
        slices = [(one.source[within:], one.mask) for one in rows]
        # By now a PNG beside the file may have the name of its mask.
        gone = [mask for file, mask in slices if not site.has(file) and not site.has(mask[within:])]
        self.discard(slices=gone)

    def remove_at_old_place(self, site: Site, part: Part) -> None:
        """Remove the outputs of the whole scan from where they were before another scan came or went beside it."""
        former = self._past.scan_output(part.id)
        if former not in ("", part.scan_output) and site.is_free(former):
            self.discard(scans=[former])

    def remove_beyond_parts(self, site: Site, scan_name: str, parts: int) -> None:
        """Discard parts from number `parts` on, which a scan no longer has, the last first: a gap hides the rest."""
        for part_id in reversed(list(self._past.part_ids(scan_name, parts))):
            self.remove_of_missing_files(site, part_id)
            self.discard(parts=[part_id])

    def _is_known(self, scan_name: str) -> bool:
        return self._past.slices(scan_name) > 0 or self._outputs.has_folder(scan_name)

    def _left_over(self, scan_name: str, slices: int) -> Iterator[str]:
        """The names of outputs from this slice on, whether recorded or only found in OUT."""
        noted = self._past.slices(scan_name)
        for number in count(slices):
            name = f"{scan_name}/{volume_slice(number)}"
            if number >= noted and not self._outputs.is_any_there([name]):
                return
            yield name


def _numbered(file: str) -> Iterator[str]:
    return (f"{file}/{number}" for number in count(1))
