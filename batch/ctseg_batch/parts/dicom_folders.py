"""Folders of DICOM files: which series each holds, from the journal or by opening it, and which are wanted."""

from collections.abc import Iterable, Mapping, Sequence

from ctseg_batch.inputs.input_files import InputFiles
from ctseg_batch.inputs.listing import ListedSeries, Listing
from ctseg_batch.inputs.selection import Selection
from ctseg_batch.inputs.site import Site
from ctseg_batch.inputs.truth import Truth
from ctseg_batch.journal.past import Past
from ctseg_batch.parts.opened import OpenedFolder, open_folder
from ctseg_batch.parts.part import slices_key, truth_of_slices
from ctseg_batch.result import Failure


class DicomFolders:
    """Which scans the folders hold, and by which `selection` they are wanted."""

    def __init__(self, past: Past, truth: Truth | None, selection: Selection, input_files: InputFiles) -> None:
        self._past, self._truth, self._input_files = past, truth, input_files
        self.selection = selection

    def survey(self, sites: Sequence[Site]) -> None:
        """If one series per study is wanted, find the best ones of all folders: a study may be spread over several."""
        self.selection = self.selection.surveyed(one for site in sites for one in self._list(site))

    def key(self, site: Site) -> str:
        """A digest that changes with any file of a folder, and with the reference masks of its slices."""
        return slices_key(site, site.files, truth_of_slices(site, site.files, self._truth))

    def noted(self, site: Site, key: str) -> Listing | None:
        """The listing that an earlier run recorded, if no file has changed since and it is enough to select by."""
        if self.selection.needs_descriptions:
            return None
        listing = self._past.listing(site.name, key)
        # A folder with the name of one of the series may have been added since.
        return None if listing and any(one.scan_name in site.rivals for one in listing.series) else listing

    def opened(self, site: Site) -> OpenedFolder:
        """Read the headers of a folder's files."""
        self._input_files.fetch(site)
        return open_folder(site, self._truth)

    def unwanted(self, series: Iterable[ListedSeries]) -> Mapping[str, Failure]:
        """The scans that are not wanted, each with the reason."""
        reasons = {one.scan_name: self.selection.refusal(one) for one in series}
        return {name: Failure(name, reason) for name, reason in reasons.items() if reason}

    def _list(self, site: Site) -> Iterable[ListedSeries]:
        noted = self.noted(site, self.key(site))
        if noted is not None:
            return noted.series
        try:
            return self.opened(site).listing.series
        finally:
            self._input_files.release(site)
