"""What a plan changes of what earlier runs left: noted in the journal, and taken away from OUT."""

from collections.abc import Iterable, Mapping

from ctseg_batch.inputs.listing import Listing
from ctseg_batch.journal.past import Past
from ctseg_batch.journal.record import JournalWriter
from ctseg_batch.outputs.slice_outputs import Outputs
from ctseg_batch.result import PartResult


class Changes:
    """Without a journal, nothing is noted nor taken away."""

    def __init__(self, past: Past, outputs: Outputs, journal: JournalWriter | None) -> None:
        self._past, self._outputs, self._journal = past, outputs, journal

    def list_folder(self, name: str, key: str, listing: Listing) -> None:
        """Note how a folder's DICOM files were sorted, so that the next run need not open them."""
        if self._journal:
            self._journal.list_folder(name, key, listing)

    def begin(self, outlines: Mapping[str, PartResult]) -> None:
        """Note what there may be of parts that are about to be done."""
        if self._journal:
            self._journal.begin(outlines, self._outputs.kinds)

    def discard(self, *, parts: Iterable[str] = (), slices: Iterable[str] = (), scans: Iterable[str] = ()) -> None:
        """Of what stands for nothing any more, take `parts` back, remove the files of `slices` and of whole `scans`."""
        if self._journal:
            noted = [self._past.parts[place] for place in parts if place in self._past.parts]
            going = list(slices), list(scans)
            self._journal.take_back(noted)  # first, so that nobody misses a file of it
            if self._outputs.is_any_there(*going):
                self._journal.open()
                self._outputs.remove(*going)
            self._journal.drop(noted)
