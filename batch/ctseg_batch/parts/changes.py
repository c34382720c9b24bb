"""Changes to what earlier runs have left: recorded in the journal, then made in OUT."""

from collections.abc import Iterable, Mapping

from ctseg_batch.inputs.listing import Listing
from ctseg_batch.journal.past import Past
from ctseg_batch.journal.record import JournalWriter
from ctseg_batch.outputs.outputs import Outputs
from ctseg_batch.result import PartResult


class Changes:
    """Records and makes the changes; without a journal, neither."""

    def __init__(self, past: Past, outputs: Outputs, journal: JournalWriter | None) -> None:
        self._past, self._outputs, self._journal = past, outputs, journal

    def list_folder(self, name: str, key: str, listing: Listing) -> None:
        """Record which series a folder's DICOM files make up, so that the next run need not open them."""
        if self._journal:
            self._journal.list_folder(name, key, listing)

    def begin(self, outlines: Mapping[str, PartResult]) -> None:
        """Record which outputs there may be of parts that are about to be done."""
        if self._journal:
            self._journal.begin(outlines, self._outputs.kinds)

    def discard(self, *, parts: Iterable[str] = (), slices: Iterable[str] = (), scans: Iterable[str] = ()) -> None:
        """Revoke the records of `parts`, remove the outputs of `slices` and of whole `scans`, then drop the records."""
        if self._journal:
            noted = [self._past.parts[place] for place in parts if place in self._past.parts]
            going = list(slices), list(scans)
            self._journal.revoke(noted)  # first: no record may claim a file that is gone
            if self._outputs.is_any_there(*going):
                self._journal.open()
                self._outputs.remove(*going)
            self._journal.forget(noted)
