"""The plan of a run: sites become scans, scans become parts, and parts that were done before are left as they are."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ctseg import reading
from ctseg.errors import UnreadableFile
from ctseg_batch.inputs.input_files import InputFiles
from ctseg_batch.inputs.listing import ListedSeries, Listing
from ctseg_batch.inputs.name_collisions import overwriting
from ctseg_batch.inputs.selection import Selection
from ctseg_batch.inputs.site import MOST_IN_A_STACK, Site, mask_names_by_file
from ctseg_batch.inputs.truth import Truth
from ctseg_batch.journal.entries import part_id_at, part_id_of
from ctseg_batch.journal.past import Past
from ctseg_batch.journal.record import Journal
from ctseg_batch.outputs.outputs import Outputs
from ctseg_batch.parts.dicom_folders import DicomFolders
from ctseg_batch.parts.part import (
    Part,
    Step,
    key_by_file,
    part_by_file,
    part_of_files,
    truth_by_file,
)
from ctseg_batch.parts.recheck import Recheck
from ctseg_batch.parts.stale_outputs import StaleOutputs
from ctseg_batch.result import Failure, PartResult
from ctseg_batch.slice_figures import without_figures

# Images of a folder that are one part: a killed run loses no more. No rule needs all images of a folder at once ...
_IMAGES_A_PART = 256  # ... unless they are a stack


class Planner:
    """Tells what of each site was done before, and what there is to do.

    `skipped` (readable files that are not slices, series that are not wanted) and `errors` (failures that belong to no
    scan) fill as sites are planned. Without a `journal`, nothing is recorded and nothing removed. `input_files` fetches
    the files of a site before it is opened. `stack_images`: the images of a folder are a stack.
    """

    def __init__(
        self,
        past: Past,
        outputs: Outputs,
        truth: Truth | None,
        journal: Journal | None,
        selection: Selection,
        input_files: InputFiles,
        *,
        stack_images: bool = False,
    ) -> None:
        self.skipped: list[Failure] = []
        self.errors: list[Failure] = []
        self._past, self._outputs, self._truth, self._journal = past, outputs, truth, journal
        self.input_files, self._stack_images = input_files, stack_images
        self._folders = DicomFolders(past, truth, selection, input_files)
        self._stale_outputs = StaleOutputs(past, outputs, journal)
        self._recheck = Recheck(outputs, input_files)
        self._overwriting: Mapping[str, str] = {}

    @property
    def selection(self) -> Selection:
        """Which series are wanted; after `survey`, it knows the best of each study."""
        return self._folders.selection

    def survey(self, sites: Sequence[Site]) -> None:
        """Look at all sites before any is planned, for what can't be decided site by site.

        The series of a study may be spread over folders; in an OUT that ignores case, outputs of any two may collide.
        """
        if not self._outputs.tell_case():
            self._overwriting = overwriting(
                sites, of_slices=self._outputs.is_of_slices, of_scans=bool(self._outputs.scan_kinds)
            )
        self._folders.survey([site for site in sites if site.kind == "dicom"])

    def pieces(self, site: Site) -> Iterator[Site]:
        """Cut the images of a folder into pieces, unless they are a stack; any other site is returned as it is."""
        site = self._apart(site)
        if not site.files:
            return
        if site.kind != "image" or site.piece is not None:
            yield site
            return
        is_stack = self._stack_images and len(site.files) <= MOST_IN_A_STACK
        pieces = [site] if is_stack else list(site.cut(_IMAGES_A_PART))
        if len(pieces) > 1 or part_id_of(site.scan_name, 1) in self._past.parts:
            self._begin_anew(site.scan_name, pieces)
        self._stale_outputs.remove_beyond_parts(site, site.scan_name, len(pieces))
        yield from pieces

    def plan(self, site: Site) -> Iterator[Step]:
        """The parts to be done of one of the `pieces` above, and results of those that were done or can't be opened."""
        if site.kind == "image":
            yield self._images(site)
        else:
            yield from self._dicom(site) if site.kind == "dicom" else self._volume(site)

    def remembered(self, site: Site) -> list[PartResult] | None:
        """The results of one of the `pieces` above if all of it was done before, else None.

        Opens no file except those that could not be read then.
        """
        if site.kind == "dicom":
            listing = self._folders.noted(site, self._folders.key(site))
            return None if listing is None else self._remembered(site, listing)
        step = self._images(site) if site.kind == "image" else self._done_by_file(site, site.name, site.files)
        return [step] if isinstance(step, PartResult) else None

    def _apart(self, site: Site) -> Site:
        """The site without the files whose outputs would overwrite those of others; these are reported as failed."""
        failed = self._overwriting.keys() & site.below(site.files) if self._overwriting else ()
        self.errors += [Failure(file, self._overwriting[file]) for file in failed]
        if not failed:
            return site
        return replace(site, files=tuple(file for file in site.files if site.within + file not in failed))

    def _begin_anew(self, scan_name: str, pieces: Sequence[Site]) -> None:
        """If images move from one part to another, record their new parts before the old ones are forgotten."""
        if self._journal is None or part_id_of(scan_name) not in self._past.parts:
            return
        outlines = {part_id_at(piece): self._past.outline(piece) for piece in pieces}
        grown = {part_id: one for part_id, one in outlines.items() if one.slices > len(self._past.rows(part_id))}
        self._journal.begin(grown, self._outputs.kinds)

    def _images(self, site: Site) -> Step:
        images = reading.open_images(site.paths(site.files), site.paths(site.scaled_by))
        is_whole = site.piece is None
        part = part_of_files(site.scan_name, site.piece or 0, images, site, self._truth, is_whole=is_whole)
        return self._unless_done(site, part)

    def _volume(self, site: Site) -> Iterator[Step]:
        (file,) = site.paths(site.files)
        done = self._done_by_file(site, site.name, site.files)
        if done:
            yield done
            return
        self.input_files.fetch(site)
        try:
            volume = reading.open_volume(file)
        except UnreadableFile as error:
            self._stale_outputs.remove_beyond_length(site, {})
            yield PartResult(site.name, failures=(_failure(site, error.file, error.reason),))
            return
        sources = site.below(site.files) * len(volume)
        part = part_by_file(site.name, volume, site, self._truth, self.input_files.volume_files(site), sources)
        step = self._unless_done(site, part)
        if isinstance(step, Part):
            self._stale_outputs.remove_beyond_length(site, {site.name: len(volume)})
        yield step

    def _dicom(self, site: Site) -> Iterator[Step]:
        key = self._folders.key(site)
        listing = self._folders.noted(site, key)
        done = None if listing is None else self._remembered(site, listing)
        yield from self._opened_dicom(site, key) if done is None else done

    def _remembered(self, site: Site, listing: Listing) -> list[PartResult] | None:
        """The results of all wanted scans of a folder, if every one was done; else None."""
        unwanted = self._folders.unwanted(listing.series)
        wanted = [one for one in listing.series if one.scan_name not in unwanted]
        done = [result for one in wanted if (result := self._done_series(site, one))]
        if len(done) < len(wanted):
            return None
        self.skipped += [*listing.skipped, *unwanted.values()]
        return done

    def _opened_dicom(self, site: Site, key: str) -> Iterator[Step]:
        opened = self._folders.opened(site)
        unwanted = self._folders.unwanted(opened.listing.series)
        self.skipped += [*opened.listing.skipped, *unwanted.values()]
        slices = {file.name for part in opened.series for file in part.scan.files}
        gone = sorted(self._past.scans(site) - {part.scan_name for part in opened.series})
        for scan_name in gone:
            self._stale_outputs.remove_of_missing_files(site, part_id_of(scan_name))
        self._stale_outputs.remove_beyond_parts(site, site.name, 1)  # of images that were there before
        self._stale_outputs.discard(
            parts=map(part_id_of, gone),
            slices=site.mask_names(set(site.files) - slices),
            scans=map(site.scan_output, gone),
        )
        self._stale_outputs.remove_beyond_length(site, {part.scan_name: len(part.mask_names) for part in opened.stacks})
        failed = tuple(_failure(site, error.file, error.reason) for error in opened.failed)
        if self._journal and not failed:
            self._journal.list_folder(site.name, key, opened.listing)
        is_unclear = len(opened.series) > 1 or unwanted
        if failed and is_unclear:
            self.errors += failed  # it is unknown to which of the series they belong
        for part in (*opened.series, *opened.stacks):
            if part.scan_name not in unwanted:
                yield self._unless_done(site, part)
        if failed and not is_unclear:
            yield unread(site, failed)  # their positions are unknown, so they are counted after the others

    def _done_series(self, site: Site, listed: ListedSeries) -> PartResult | None:
        """The result of a series of files or a stack of frames, if all of it was done and nothing failed."""
        files = tuple(listed.files(site.files))
        if listed.key is None:
            return self._done_by_file(site, listed.scan_name, sorted(files))
        done = self._past.result(part_id_of(listed.scan_name), listed.key)
        is_sure = done and self._recheck.is_sure(site.mask_names(files), site.scan_output(listed.scan_name), done)
        return done if is_sure else None

    def _done_by_file(self, site: Site, scan_name: str, files: Iterable[str]) -> PartResult | None:
        """The same for a scan that is named after its file."""
        if part_id_of(scan_name) not in self._past.parts:
            return None
        if site.kind == "volume":
            files = self.input_files.volume_files(site)
        key = key_by_file(site, files, scan_name, truth_by_file(scan_name, self._truth))
        done = self._past.result(part_id_of(scan_name), key)
        is_sure = done and self._recheck.is_sure(
            mask_names_by_file(scan_name, done.slices), site.scan_output_by_file(scan_name), done
        )
        return done if is_sure else None

    def _unless_done(self, site: Site, part: Part) -> Step:
        """The result of a part if it was done and still holds, else the part."""
        done = self._past.result(part.id, part.key)
        if done is not None and self._recheck.holds(site, part, done):
            return done
        self._stale_outputs.remove_of_missing_files(site, part.id)
        self._stale_outputs.remove_at_old_place(site, part)
        return part


def unread(site: Site, failed: tuple[Failure, ...]) -> PartResult:
    """A result for files of a site that all failed."""
    names = site.mask_names(failure.file.removeprefix(site.within) for failure in failed)
    rows = without_figures((failure.file, name) for failure, name in zip(failed, names, strict=True))
    return PartResult(site.scan_name, len(failed), len(failed), failed, by_slice=rows)


def _failure(site: Site, file: Path, reason: str) -> Failure:
    return Failure(site.within + file.name, reason)
