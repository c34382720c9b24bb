"""From what was found to what has to be done: files become scans, scans parts, and parts that were done stay done."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import chain, count, takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from ctseg import reading
from ctseg.errors import UnreadableFile
from ctseg.scan import Scan
from ctseg_batch.discover import Site, volume_names, volume_slice
from ctseg_batch.listing import ListedSeries, Listing, facts_of, runs_of
from ctseg_batch.outputs import Outputs
from ctseg_batch.record import Past
from ctseg_batch.result import Failure, PartResult
from ctseg_batch.selection import Selection
from ctseg_batch.truth import Masks, SliceMasks, Truth, TruthFolder

if TYPE_CHECKING:
    from ctseg.reading.dicom_series import DicomSeries

# Image slices that are recorded together: a killed run loses no more. No rule needs to see them all at once.
_IMAGES_A_PART = 256


@dataclass(frozen=True)
class Todo:
    """A part to be done: a series, a volume, or some images of a folder.

    `place` and `key` say where it is noted and from which inputs it is made. `names` are those of its slices' masks
    and `sources` its slices' files, both below the root.
    """

    place: str
    key: str
    scan: str
    slices: Scan
    names: tuple[str, ...]
    sources: tuple[str, ...]
    masks: Masks | None

    def first(self, count: int) -> "Todo":
        """The same with its first `count` slices alone."""
        return replace(self, names=self.names[:count], sources=self.sources[:count])


Step = Todo | PartResult


class Planner:
    """Looks at each site: what of it was done before, and what there is to do.

    `skipped` and `errors` fill as sites are planned: readable files that are no slices, series that are not wanted, and
    failures of no scan. `listed` is told how a folder's DICOM files were sorted, so that the next run need not open
    them; `lost` which slices' files of an earlier run stand for nothing any more.
    """

    def __init__(
        self,
        past: Past,
        outputs: Outputs,
        truth: Truth | None,
        listed: Callable[[str, str, Listing], None],
        lost: Callable[[Iterable[str]], None],
        selection: Selection,
    ) -> None:
        self.skipped: list[Failure] = []
        self.errors: list[Failure] = []
        self._past, self._outputs, self._truth, self._listed = past, outputs, truth, listed
        self._lost, self._selection = lost, selection
        self._outdone: Mapping[str, str] = {}

    def survey(self, sites: Iterable[Site]) -> None:
        """Where one series a study is wanted, look at all of them before any is planned: a study may fill folders."""
        if self._selection.one_a_study:
            series = [one for site in sites if site.kind == "dicom" for one in self._list(site)]
            self._outdone = self._selection.outdone(series)

    def plan(self, site: Site) -> Iterator[Step]:
        """What there is to do at a site, and the results of what was done before or can't be opened."""
        planners = {"dicom": self._dicom, "volume": self._volume, "image": self._images}
        return planners[site.kind](site)

    def _images(self, site: Site) -> Iterator[Step]:
        scan, truth = f"{site.name}#images" if site.mixed else site.name, self._truth_beside(site)
        for number, start in enumerate(range(0, len(site.files), _IMAGES_A_PART)):
            images = reading.open_images(site.paths(site.files[start : start + _IMAGES_A_PART]))
            yield self._unless_done(_slices(scan, number, images, site, truth))

    def _volume(self, site: Site) -> Iterator[Step]:
        (file,) = site.paths(site.files)
        masks = self._volume_masks(site.name)
        done = self._done_volume(site.name, [file], masks)
        if done:
            yield done
            return
        try:
            volume = reading.open_volume(file)
        except UnreadableFile as error:
            self._lose(site, {})
            yield PartResult(site.name, failures=(_failure(site, error.file, error.reason),))
            return
        todo = _stack(site.name, volume, site.below(site.files) * len(volume), masks)
        done = self._past.result(todo.place, todo.key)
        # What keeps all slices of a volume from being read keeps the first too.
        if done and done.failed_slices == done.slices and not _can_be_read(volume, 0):
            yield done
            return
        self._lose(site, {site.name: len(volume)})
        yield todo

    def _dicom(self, site: Site) -> Iterator[Step]:
        listing = self._noted(site)
        done = None if listing is None else self._remembered(site, listing)
        yield from self._opened_dicom(site) if done is None else done

    def _remembered(self, site: Site, listing: Listing) -> list[PartResult] | None:
        """The results of the scans that are wanted of a folder, if every one was done; else None."""
        unwanted = self._unwanted(listing.series)
        wanted = [one for one in listing.series if one.scan not in unwanted]
        results = [self._done_series(site, one) for one in wanted]
        done = [result for result in results if result is not None]
        slices = [file for one in wanted if one.key for file in one.files(site.files)]
        if len(done) < len(results) or not self._outputs.are_there(site.mask_names(slices)):
            return None
        self.skipped += [*listing.skipped, *unwanted.values()]
        return done

    def _done_series(self, site: Site, listed: ListedSeries) -> PartResult | None:
        """What was noted of a series of files, or of a stack of frames if all of that was done."""
        if listed.key:
            return self._past.result(f"{listed.scan}:0", listed.key)
        files = site.paths(listed.files(site.files))
        return self._done_volume(listed.scan, files, self._volume_masks(listed.scan))

    def _opened_dicom(self, site: Site) -> Iterator[Step]:
        opened = self._open(site)
        unwanted = self._unwanted(opened.listing.series)
        self.skipped += [*opened.listing.skipped, *unwanted.values()]
        slices = {file.name for todo in opened.series for file in todo.slices.files}
        self._lost(site.mask_names(set(site.files) - slices))
        self._lose(site, {todo.scan: len(todo.names) for todo in opened.stacks})
        failed = tuple(_failure(site, error.file, error.reason) for error in opened.failed)
        if len(opened.series) > 1 or unwanted:
            self.errors += failed  # which of the series they belong to can't be told
        elif failed:
            yield PartResult(site.name, slices=len(failed), failed_slices=len(failed), failures=failed)
        for todo in (*opened.series, *opened.stacks):
            if todo.scan not in unwanted:
                yield self._unless_done(todo)

    def _open(self, site: Site) -> "_Opened":
        """Read the headers of a folder's DICOM files, and have noted what they make up if all can be read."""
        truth = self._truth_beside(site)
        found = reading.open_series(site.paths(site.files))
        plain = [one for one in found.series if one.home is None]
        series = [
            _slices(site.name if len(plain) == 1 else f"{site.name}#{_short(one.uid)}", 0, one, site, truth)
            for one in plain
        ]
        named = list(_named_by_file(site, found.series))
        stacks = [
            _stack(scan, one, site.below(file.name for file in one.files), self._volume_masks(scan))
            for scan, one in named
        ]
        listed = [_listed(site, todo.scan, todo.key, one) for todo, one in zip(series, plain, strict=True)]
        listed += [_listed(site, scan, None, one) for scan, one in named]
        listing = Listing(tuple(listed), tuple(_failure(site, file, reason) for file, reason in found.skipped))
        if not found.failed:
            self._listed(site.name, _folder_key(site, truth), listing)
        return _Opened(listing, series, stacks, found.failed)

    def _noted(self, site: Site) -> Listing | None:
        """What an earlier run noted of a folder, if none of its files has changed."""
        return self._past.listing(site.name, _folder_key(site, self._truth_beside(site)))

    def _list(self, site: Site) -> Sequence[ListedSeries]:
        """The series of a folder, as they were noted or else by opening it."""
        return (self._noted(site) or self._open(site).listing).series

    def _unwanted(self, series: Iterable[ListedSeries]) -> Mapping[str, Failure]:
        """The scans that are left out, and why."""
        reasons = {one.scan: self._selection.refusal(one.facts) or self._outdone.get(one.scan) for one in series}
        return {scan: Failure(scan, reason) for scan, reason in reasons.items() if reason}

    def _done_volume(self, scan: str, files: Iterable[Path], masks: Masks | None) -> PartResult | None:
        """What came of a scan that is called by its file, if all of it was done from just these inputs."""
        done = self._past.result(f"{scan}:0", _stack_key(scan, files, masks))
        return done if done and self._outputs.are_there(volume_names(scan, done.slices)) else None

    def _lose(self, site: Site, scans: Mapping[str, int]) -> None:
        """Take away what earlier runs wrote for volumes, beyond the slices that there are now."""
        for file in site.below(site.files):
            numbered = (f"{file}/{number}" for number in count(1))
            for scan in chain([file], takewhile(lambda scan: scan in scans or self._is_known(scan), numbered)):
                self._lost(self._left_over(scan, scans.get(scan, 0)))

    def _is_known(self, scan: str) -> bool:
        return self._past.slices(scan) > 0 or self._outputs.is_any_there(f"{scan}/{volume_slice(0)}")

    def _left_over(self, scan: str, slices: int) -> Iterator[str]:
        """What was written for a volume from this slice on, whether it was noted or not."""
        noted = self._past.slices(scan)
        for number in count(slices):
            name = f"{scan}/{volume_slice(number)}"
            if number >= noted and not self._outputs.is_any_there(name):
                return
            yield name

    def _truth_beside(self, site: Site) -> TruthFolder | None:
        return self._truth.beside(site.within) if self._truth else None

    def _volume_masks(self, scan: str) -> Masks | None:
        within, _, name = scan.rpartition("/")
        return self._truth.beside(within).of_volume(name) if self._truth else None

    def _unless_done(self, todo: Todo) -> Step:
        """What came of a part before, or the part: also where a slice that could not be read then can be now."""
        done = self._past.result(todo.place, todo.key)
        if done is None:
            return todo
        missing = [index for index, name in enumerate(todo.names) if not self._outputs.are_there([name])]
        if len(missing) != done.failed_slices or any(_can_be_read(todo.slices, index) for index in missing):
            return todo
        return done


@dataclass(frozen=True, slots=True)
class _Opened:
    """A folder's DICOM files with their headers read.

    `series` of files and `stacks` of frames, each as a part to be done, and what failed.
    """

    listing: Listing
    series: Sequence[Todo]
    stacks: Sequence[Todo]
    failed: Sequence[UnreadableFile]


def _named_by_file(site: Site, found: Iterable["DicomSeries"]) -> Iterator[tuple[str, "DicomSeries"]]:
    """The stacks in files of several frames: each called by its file, with a number where that holds more than one.

    A number follows after `/`, as if the file were a folder: nothing else can be called so.
    """
    stacks = [(one, site.within + one.home.name) for one in found if one.home]
    of_file = Counter(file for _, file in stacks)
    numbers = {file: count(1) for file in of_file}
    for one, file in stacks:
        yield (file if of_file[file] == 1 else f"{file}/{next(numbers[file])}"), one


def _slices(scan: str, number: int, slices: Scan, site: Site, truth: TruthFolder | None) -> Todo:
    """A part whose slices are files of one folder."""
    files = [file.name for file in slices.files]
    names, masks = site.mask_names(files), _masks(site, files, truth)
    return Todo(f"{scan}:{number}", _key(slices.files, names, masks), scan, slices, names, site.below(files), masks)


def _stack(scan: str, slices: Scan, sources: tuple[str, ...], masks: Masks | None) -> Todo:
    """A part that is called by the file of its slices."""
    key = _stack_key(scan, slices.files, masks)
    return Todo(f"{scan}:0", key, scan, slices, volume_names(scan, len(slices)), sources, masks)


def _stack_key(scan: str, files: Iterable[Path], masks: Masks | None) -> str:
    return _key(sorted(set(files)), [scan], masks)


def _listed(site: Site, scan: str, key: str | None, series: "DicomSeries") -> ListedSeries:
    return ListedSeries(scan, key, facts_of(series), runs_of([file.name for file in series.files], site.files))


def _folder_key(site: Site, truth: TruthFolder | None) -> str:
    return _key(site.paths(site.files), site.mask_names(site.files), _masks(site, site.files, truth))


def _can_be_read(slices: Scan, index: int) -> bool:
    try:
        slices.read(index)
    except (UnreadableFile, MemoryError):
        return False
    return True


def _masks(site: Site, files: Sequence[str], truth: TruthFolder | None) -> SliceMasks | None:
    return truth.of_slices(files, site.mask_names(files)) if truth else None


def _failure(site: Site, file: Path, reason: str) -> Failure:
    return Failure(site.within + file.name, reason)


def _short(uid: str) -> str:
    return blake2b(uid.encode(), digest_size=4).hexdigest()


def _key(files: Iterable[Path], names: Iterable[str], masks: Masks | None) -> str:
    """Tells one state of the inputs from another: files by size and time of change, and where the masks go."""
    state = [
        [_stamp(file) for file in files],
        list(names),
        [_stamp(file) for file in masks.files] if masks else None,
    ]
    return blake2b(json.dumps(state).encode(), digest_size=16).hexdigest()


def _stamp(file: Path) -> tuple[str, int, int]:
    try:
        found = file.stat()
    except OSError:
        return (str(file), 0, 0)  # it fails when it is read
    return (str(file), found.st_size, found.st_mtime_ns)
