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
from ctseg_batch.slice_figures import SliceFigures, pack
from ctseg_batch.truth import Masks, SliceMasks, Truth, TruthFolder

if TYPE_CHECKING:
    from ctseg.reading.dicom_series import DicomSeries

# Image slices that are recorded together: a killed run loses no more. No rule needs to see them all at once ...
_IMAGES_A_PART = 256
# ... but where they are stacked: no CT has more.
_MOST_IN_A_STACK = 4096


@dataclass(frozen=True)
class Todo:
    """A part to be done: a series, a volume, or some images of a folder.

    `place` and `key` say where it is noted and from which inputs it is made. `names` are those of its slices' masks and
    `sources` its slices' files, both below the root; `whole` is that of what is written of the scan as a whole, without
    an ending. `is_whole`: all slices of the scan are here, and may lie one on the other.
    """

    place: str
    key: str
    scan: str
    slices: Scan
    names: tuple[str, ...]
    sources: tuple[str, ...]
    masks: Masks | None
    whole: str
    is_whole: bool

    def first(self, count: int) -> "Todo":
        """The same with its first `count` slices alone."""
        return replace(self, names=self.names[:count], sources=self.sources[:count], is_whole=False)


Step = Todo | PartResult


class Planner:
    """Looks at each site: what of it was done before, and what there is to do.

    `skipped` and `errors` fill as sites are planned: readable files that are no slices, series that are not wanted, and
    failures of no scan. `listed` is told how a folder's DICOM files were sorted, so that the next run need not open
    them; `lost` which files of an earlier run, of slices and of whole scans, stand for nothing any more.
    `stack_images`: those of a folder lie one on the other.
    """

    def __init__(
        self,
        past: Past,
        outputs: Outputs,
        truth: Truth | None,
        listed: Callable[[str, str, Listing], None],
        lost: Callable[[Iterable[str], Iterable[str]], None],
        selection: Selection,
        *,
        stack_images: bool = False,
    ) -> None:
        self.skipped: list[Failure] = []
        self.errors: list[Failure] = []
        self._past, self._outputs, self._truth, self._listed = past, outputs, truth, listed
        self._lost, self._selection = lost, selection
        self._stack_images = stack_images or outputs.scans.stack_images
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
        is_stack = self._stack_images and len(site.files) <= _MOST_IN_A_STACK
        step = len(site.files) if is_stack else _IMAGES_A_PART
        for number, start in enumerate(range(0, len(site.files), step)):
            images = reading.open_images(site.paths(site.files[start : start + step]))
            yield self._unless_done(_slices(scan, number, images, site, truth, is_whole=is_stack))

    def _volume(self, site: Site) -> Iterator[Step]:
        (file,) = site.paths(site.files)
        files, masks = reading.volume_files(file), self._volume_masks(site.name)
        done = self._done_volume(site, site.name, files, masks)
        if done:
            yield done
            return
        try:
            volume = reading.open_volume(file)
        except UnreadableFile as error:
            self._lose(site, {})
            yield PartResult(site.name, failures=(_failure(site, error.file, error.reason),))
            return
        todo = _stack(site, site.name, volume, files, site.below(site.files) * len(volume), masks)
        done = self._past.result(todo.place, todo.key)
        # One slice tells: none of a volume can be read without the others.
        if done and done.failed_slices == done.slices and not _can_be_read(volume, 0):
            yield done
            return
        self._lose(site, {site.name: len(volume)})
        yield todo

    def _dicom(self, site: Site) -> Iterator[Step]:
        key = self._folder_key(site)
        listing = self._past.listing(site.name, key)
        done = None if listing is None else self._remembered(site, listing)
        yield from self._opened_dicom(site, key) if done is None else done

    def _remembered(self, site: Site, listing: Listing) -> list[PartResult] | None:
        """The results of the scans that are wanted of a folder, if every one was done; else None."""
        unwanted = self._unwanted(listing.series)
        wanted = [one for one in listing.series if one.scan not in unwanted]
        done = [result for one in wanted if (result := self._done_series(site, one))]
        if len(done) < len(wanted):
            return None
        self.skipped += [*listing.skipped, *unwanted.values()]
        return done

    def _opened_dicom(self, site: Site, key: str) -> Iterator[Step]:
        opened = self._open(site)
        unwanted = self._unwanted(opened.listing.series)
        self.skipped += [*opened.listing.skipped, *unwanted.values()]
        slices = {file.name for todo in opened.series for file in todo.slices.files}
        gone = self._past.scans(site.name) - {todo.scan for todo in opened.series}
        self._lost(site.mask_names(set(site.files) - slices), map(site.whole, sorted(gone)))
        self._lose(site, {todo.scan: len(todo.names) for todo in opened.stacks})
        failed = tuple(_failure(site, error.file, error.reason) for error in opened.failed)
        if not failed:
            self._listed(site.name, key, opened.listing)
        elif len(opened.series) > 1 or unwanted:
            self.errors += failed  # which of the series they belong to can't be told
        for todo in (*opened.series, *opened.stacks):
            if todo.scan not in unwanted:
                yield self._unless_done(todo)
        if failed and len(opened.series) < 2 and not unwanted:
            yield _unread(site, failed)  # where they lie can't be told: they are counted after the others

    def _open(self, site: Site) -> "_Opened":
        """Read the headers of a folder's DICOM files."""
        truth = self._truth_beside(site)
        found = reading.open_series(site.paths(site.files))
        plain = [one for one in found.series if one.home is None]
        scans = [site.name if len(plain) == 1 else f"{site.name}#{_short(one.uid)}" for one in plain]
        series = [_slices(scan, 0, one, site, truth, is_whole=True) for scan, one in zip(scans, plain, strict=True)]
        named = list(_named_by_file(site, found.series))
        stacks = [self._frames(site, scan, one) for scan, one in named]
        listed = [_listed(site, todo.scan, todo.key, one) for todo, one in zip(series, plain, strict=True)]
        listed += [_listed(site, scan, None, one) for scan, one in named]
        listing = Listing(tuple(listed), tuple(_failure(site, file, reason) for file, reason in found.skipped))
        return _Opened(listing, series, stacks, found.failed)

    def _list(self, site: Site) -> Sequence[ListedSeries]:
        """The series of a folder, as they were noted or else by opening it."""
        return (self._past.listing(site.name, self._folder_key(site)) or self._open(site).listing).series

    def _unwanted(self, series: Iterable[ListedSeries]) -> Mapping[str, Failure]:
        """The scans that are left out, and why."""
        reasons = {one.scan: self._selection.refusal(one.facts) or self._outdone.get(one.scan) for one in series}
        return {scan: Failure(scan, reason) for scan, reason in reasons.items() if reason}

    def _frames(self, site: Site, scan: str, found: "DicomSeries") -> Todo:
        files, sources = dict.fromkeys(sorted(found.files)), site.below(file.name for file in found.files)
        return _stack(site, scan, found, files, sources, self._volume_masks(scan))

    def _done_series(self, site: Site, listed: ListedSeries) -> PartResult | None:
        """What came of a series of files or a stack of frames, if all of it was done."""
        files = tuple(listed.files(site.files))
        if listed.key is None:
            return self._done_volume(site, listed.scan, site.paths(sorted(files)), self._volume_masks(listed.scan))
        done = self._past.result(f"{listed.scan}:0", listed.key)
        is_there = done and self._is_in_place(site.mask_names(files), site.whole(listed.scan), done)
        return done if is_there else None

    def _done_volume(self, site: Site, scan: str, files: Sequence[Path], masks: Masks | None) -> PartResult | None:
        """What came of a scan that is called by its file, if all of it was done from just these inputs."""
        done = self._past.result(f"{scan}:0", _key(files, [scan], masks))
        is_there = done and self._is_in_place(volume_names(scan, done.slices), site.whole_by_file(scan), done)
        return done if is_there else None

    def _lose(self, site: Site, scans: Mapping[str, int]) -> None:
        """Take away what earlier runs wrote for volumes, beyond the slices that there are now."""
        for file in site.below(site.files):
            numbered = (f"{file}/{number}" for number in count(1))
            for scan in chain([file], takewhile(lambda scan: scan in scans or self._is_known(scan), numbered)):
                self._lost(
                    self._left_over(scan, scans.get(scan, 0)), [] if scan in scans else [site.whole_by_file(scan)]
                )

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

    def _folder_key(self, site: Site) -> str:
        masks = _masks(site, site.files, self._truth_beside(site))
        return _key(site.paths(site.files), site.mask_names(site.files), masks)

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
        if (missing and len(missing) != done.failed_slices) or not self._outputs.scans.are_there(todo.whole, done):
            return todo
        # Where nothing is written of a slice alone, nothing is missing: it may be any of a file with a failure.
        failed = {failure.file for failure in done.failures}
        doubtful = missing or [index for index, source in enumerate(todo.sources) if source in failed]
        unread = sum(not _can_be_read(todo.slices, index) for index in doubtful)
        return done if unread == done.failed_slices else todo

    def _is_in_place(self, names: Iterable[str], whole: str, done: PartResult) -> bool:
        return self._outputs.are_there(names) and self._outputs.scans.are_there(whole, done)


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


def _unread(site: Site, failed: tuple[Failure, ...]) -> PartResult:
    """The DICOM files of a folder whose headers can't be read."""
    names = site.mask_names(failure.file.removeprefix(site.within) for failure in failed)
    rows = pack(SliceFigures(failure.file, name, None) for failure, name in zip(failed, names, strict=True))
    return PartResult(site.name, len(failed), len(failed), failed, by_slice=rows)


def _slices(scan: str, number: int, slices: Scan, site: Site, truth: TruthFolder | None, *, is_whole: bool) -> Todo:
    """A part whose slices are files of one folder."""
    files = [file.name for file in slices.files]
    names, masks = site.mask_names(files), _masks(site, files, truth)
    place, key, sources = f"{scan}:{number}", _key(slices.files, names, masks), site.below(files)
    return Todo(place, key, scan, slices, names, sources, masks, site.whole(scan), is_whole)


def _stack(
    site: Site, scan: str, slices: Scan, files: Iterable[Path], sources: tuple[str, ...], masks: Masks | None
) -> Todo:
    """A part that is called by the file of its slices; `files` are all that it is made of."""
    key, names = _key(files, [scan], masks), volume_names(scan, len(slices))
    return Todo(f"{scan}:0", key, scan, slices, names, sources, masks, site.whole_by_file(scan), is_whole=True)


def _listed(site: Site, scan: str, key: str | None, series: "DicomSeries") -> ListedSeries:
    return ListedSeries(scan, key, facts_of(series), runs_of([file.name for file in series.files], site.files))


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
