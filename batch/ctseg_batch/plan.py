"""From what was found to what has to be done: files become scans, scans parts, and parts that were done stay done."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import count
from pathlib import Path

from ctseg import reading
from ctseg.errors import UnreadableFile
from ctseg.scan import Scan
from ctseg_batch.discover import Site, volume_slice
from ctseg_batch.outputs import Outputs
from ctseg_batch.record import Listing, Past
from ctseg_batch.result import Failure, PartResult
from ctseg_batch.truth import Masks, SliceMasks, Truth, TruthFolder

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

    `skipped` and `errors` fill as sites are planned: readable files that are no slices, and failures of no scan.
    `listed` is told how a folder's DICOM files were sorted, so that the next run need not open them; `lost` which
    files of an earlier run, of slices and of whole scans, stand for nothing any more.
    """

    def __init__(
        self,
        past: Past,
        outputs: Outputs,
        truth: Truth | None,
        listed: Callable[[str, str, Listing], None],
        lost: Callable[[Iterable[str], Iterable[str]], None],
    ) -> None:
        self.skipped: list[Failure] = []
        self.errors: list[Failure] = []
        self._past, self._outputs, self._truth, self._listed = past, outputs, truth, listed
        self._lost = lost

    def plan(self, site: Site) -> Iterator[Step]:
        """What there is to do at a site, and the results of what was done before or can't be opened."""
        planners = {"dicom": self._series, "volume": self._volume, "image": self._images}
        return planners[site.kind](site, self._truth.beside(site.within) if self._truth else None)

    def _images(self, site: Site, truth: TruthFolder | None) -> Iterator[Step]:
        scan = f"{site.name}#images" if site.mixed else site.name
        is_stack = self._outputs.scans.stack_images and len(site.files) <= _MOST_IN_A_STACK
        step = len(site.files) if is_stack else _IMAGES_A_PART
        for number, start in enumerate(range(0, len(site.files), step)):
            images = reading.open_images(site.paths(site.files[start : start + step]))
            yield self._unless_done(_slices(scan, number, images, site, truth, is_whole=is_stack))

    def _volume(self, site: Site, truth: TruthFolder | None) -> Iterator[Step]:
        file, place = site.files[0], f"{site.name}:0"
        masks = truth.of_volume(file) if truth else None
        key = _key(reading.volume_files(site.folder / file), [site.name], masks)
        done = self._past.result(place, key)
        whole = site.whole(site.name)
        if done and self._is_in_place(site.volume_names(done.slices), whole, done):
            yield done
            return
        try:
            volume = reading.open_volume(site.folder / file)
        except UnreadableFile as error:
            self._lost(self._left_over(site, place, 0), [whole])
            yield PartResult(site.name, failures=(_failure(site, error.file, error.reason),))
            return
        if done and done.failed_slices == done.slices and not _can_be_read(volume, 0):
            yield done
            return
        self._lost(self._left_over(site, place, len(volume)), [])
        names, sources = site.volume_names(len(volume)), site.below([file]) * len(volume)
        yield Todo(place, key, site.name, volume, names, sources, masks, whole, is_whole=True)

    def _left_over(self, site: Site, place: str, slices: int) -> Iterator[str]:
        """What earlier runs wrote for a volume beyond the slices that it has now, whether it was noted or not."""
        noted = self._past.slices(place)
        for number in count(slices):
            name = f"{site.name}/{volume_slice(number)}"
            if number >= noted and not self._outputs.is_any_there(name):
                return
            yield name

    def _series(self, site: Site, truth: TruthFolder | None) -> Iterator[Step]:
        key = _key(site.paths(site.files), site.mask_names(site.files), _masks(site, site.files, truth))
        done = self._remembered(site, key)
        yield from self._opened_series(site, key, truth) if done is None else done

    def _remembered(self, site: Site, key: str) -> list[PartResult] | None:
        """The results of all series of a folder, if every one was done and no file has changed; else None."""
        listing = self._past.listing(site.name, key)
        if listing is None:
            return None
        results = [self._past.result(f"{scan}:0", part) for scan, part in listing.scans]
        done = [result for result in results if result is not None]
        skipped = {failure.file for failure in listing.skipped}
        slices = [file for file in site.files if site.within + file not in skipped]
        if len(done) < len(results) or not self._outputs.are_there(site.mask_names(slices)):
            return None
        if not all(self._outputs.scans.are_there(site.whole(result.scan), result) for result in done):
            return None
        self.skipped += listing.skipped
        return done

    def _opened_series(self, site: Site, key: str, truth: TruthFolder | None) -> Iterator[Step]:
        found = reading.open_series(site.paths(site.files))
        skipped = tuple(_failure(site, file, reason) for file, reason in found.skipped)
        failed = tuple(_failure(site, error.file, error.reason) for error in found.failed)
        self.skipped += skipped
        scans = [
            site.name if len(found.series) == 1 else f"{site.name}#{_short(series.uid)}" for series in found.series
        ]
        gone = self._past.scans(site.name) - set(scans)
        self._lost(site.mask_names([error.file.name for error in found.failed]), map(site.whole, sorted(gone)))
        todos = [
            _slices(scan, 0, series, site, truth, is_whole=True)
            for scan, series in zip(scans, found.series, strict=True)
        ]
        if not failed:
            self._listed(site.name, key, Listing(tuple((todo.scan, todo.key) for todo in todos), skipped))
        elif len(todos) > 1:
            self.errors += failed  # which of the series they belong to can't be told
        else:
            yield PartResult(site.name, slices=len(failed), failed_slices=len(failed), failures=failed)
        for todo in todos:
            yield self._unless_done(todo)

    def _unless_done(self, todo: Todo) -> Step:
        """What came of a part before, or the part: also where a slice that could not be read then can be now."""
        done = self._past.result(todo.place, todo.key)
        if done is None:
            return todo
        failed = {failure.file for failure in done.failures}
        names = [name for name, source in zip(todo.names, todo.sources, strict=True) if source not in failed]
        again = [index for index, source in enumerate(todo.sources) if source in failed]
        if not self._is_in_place(names, todo.whole, done):
            return todo
        return todo if any(_can_be_read(todo.slices, index) for index in again) else done

    def _is_in_place(self, names: Iterable[str], whole: str, done: PartResult) -> bool:
        return self._outputs.are_there(names) and self._outputs.scans.are_there(whole, done)


def _slices(scan: str, number: int, slices: Scan, site: Site, truth: TruthFolder | None, *, is_whole: bool) -> Todo:
    """A part whose slices are files of one folder."""
    files = [file.name for file in slices.files]
    names, masks = site.mask_names(files), _masks(site, files, truth)
    place, key, sources = f"{scan}:{number}", _key(slices.files, names, masks), site.below(files)
    return Todo(place, key, scan, slices, names, sources, masks, site.whole(scan), is_whole)


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
