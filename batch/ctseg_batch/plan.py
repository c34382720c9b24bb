"""From what was found to what has to be done: files become scans, scans parts, and parts that were done stay done."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path

from ctseg import reading
from ctseg.errors import UnreadableFile
from ctseg.scan import Scan
from ctseg_batch.discover import Site
from ctseg_batch.outputs import Outputs
from ctseg_batch.record import Listing, Past
from ctseg_batch.result import Failure, PartResult
from ctseg_batch.slice_figures import SliceFigures, pack
from ctseg_batch.truth import Masks, SliceMasks, Truth, TruthFolder

# Image slices that are recorded together: a killed run loses no more. No rule needs to see them all at once ...
_IMAGES_A_PART = 256
# ... but where they are stacked: no CT has more.
_MOST_IN_A_STACK = 4096


@dataclass(frozen=True)
class Todo:
    """A part to be done: a series, a volume, or some images of a folder.

    `place` and `key` say where it is noted and from which inputs it is made. `names` are those of its slices' masks
    and `sources` its slices' files, both below the root. `is_whole`: all slices of the scan are here, and may lie one
    on the other.
    """

    place: str
    key: str
    scan: str
    slices: Scan
    names: tuple[str, ...]
    sources: tuple[str, ...]
    masks: Masks | None
    is_whole: bool

    def first(self, count: int) -> "Todo":
        """The same with its first `count` slices alone."""
        return replace(self, names=self.names[:count], sources=self.sources[:count], is_whole=False)


Step = Todo | PartResult


class Planner:
    """Looks at each site: what of it was done before, and what there is to do.

    `skipped` and `errors` fill as sites are planned: readable files that are no slices, and failures of no scan.
    `listed` is told how a folder's DICOM files were sorted, so that the next run need not open them; `lost` which
    slices' files of an earlier run stand for nothing any more. `stack_images`: those of a folder lie one on the other.
    """

    def __init__(
        self,
        past: Past,
        outputs: Outputs,
        truth: Truth | None,
        listed: Callable[[str, str, Listing], None],
        lost: Callable[[Iterable[str]], None],
        *,
        stack_images: bool = False,
    ) -> None:
        self.skipped: list[Failure] = []
        self.errors: list[Failure] = []
        self._past, self._outputs, self._truth, self._listed = past, outputs, truth, listed
        self._lost, self._stack_images = lost, stack_images

    def plan(self, site: Site) -> Iterator[Step]:
        """What there is to do at a site, and the results of what was done before or can't be opened."""
        planners = {"dicom": self._series, "volume": self._volume, "image": self._images}
        return planners[site.kind](site, self._truth.beside(site.within) if self._truth else None)

    def _images(self, site: Site, truth: TruthFolder | None) -> Iterator[Step]:
        scan = f"{site.name}#images" if site.mixed else site.name
        is_stack = self._stack_images and len(site.files) <= _MOST_IN_A_STACK
        step = len(site.files) if is_stack else _IMAGES_A_PART
        for number, start in enumerate(range(0, len(site.files), step)):
            images = reading.open_images(site.paths(site.files[start : start + step]))
            yield self._unless_done(_slices(scan, number, images, site, truth, is_whole=is_stack))

    def _volume(self, site: Site, truth: TruthFolder | None) -> Iterator[Step]:
        file, place = site.files[0], f"{site.name}:0"
        masks = truth.of_volume(file) if truth else None
        key = _key(site.paths([file]), [site.name], masks)
        done = self._past.result(place, key)
        if done and self._outputs.are_there(site.volume_names(done.slices)):
            yield done
            return
        try:
            volume = reading.open_volume(site.folder / file)
        except UnreadableFile as error:
            self._lost(site.volume_names(self._past.slices(place)))
            yield PartResult(site.name, failures=(_failure(site, error.file, error.reason),))
            return
        names, sources = site.volume_names(len(volume)), site.below([file]) * len(volume)
        yield Todo(place, key, site.name, volume, names, sources, masks, is_whole=True)

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
        self.skipped += listing.skipped
        return done

    def _opened_series(self, site: Site, key: str, truth: TruthFolder | None) -> Iterator[Step]:
        found = reading.open_series(site.paths(site.files))
        skipped = tuple(_failure(site, file, reason) for file, reason in found.skipped)
        failed = tuple(_failure(site, error.file, error.reason) for error in found.failed)
        self.skipped += skipped
        self._lost(site.mask_names([error.file.name for error in found.failed]))
        todos = [
            _slices(
                site.name if len(found.series) == 1 else f"{site.name}#{_short(series.uid)}",
                0,
                series,
                site,
                truth,
                is_whole=True,
            )
            for series in found.series
        ]
        if not failed:
            self._listed(site.name, key, Listing(tuple((todo.scan, todo.key) for todo in todos), skipped))
        elif len(todos) > 1:
            self.errors += failed  # which of the series they belong to can't be told
        for todo in todos:
            yield self._unless_done(todo)
        if failed and len(todos) < 2:
            yield _unread(site, failed)  # where they lie can't be told: they are counted after the others

    def _unless_done(self, todo: Todo) -> Step:
        """What came of a part before, or the part: also where a slice that could not be read then can be now."""
        done = self._past.result(todo.place, todo.key)
        if done is None:
            return todo
        failed = {failure.file for failure in done.failures}
        names = [name for name, source in zip(todo.names, todo.sources, strict=True) if source not in failed]
        again = [index for index, source in enumerate(todo.sources) if source in failed]
        if not self._outputs.are_there(names) or any(_can_be_read(todo.slices, index) for index in again):
            return todo
        return done


def _unread(site: Site, failed: tuple[Failure, ...]) -> PartResult:
    """The DICOM files of a folder whose headers can't be read."""
    names = site.mask_names(failure.file.removeprefix(site.within) for failure in failed)
    rows = pack(SliceFigures(failure.file, name, None) for failure, name in zip(failed, names, strict=True))
    return PartResult(site.name, len(failed), len(failed), failed, by_slice=rows)


def _slices(scan: str, number: int, slices: Scan, site: Site, truth: TruthFolder | None, *, is_whole: bool) -> Todo:
    """A part whose slices are files of one folder."""
    files = [file.name for file in slices.files]
    names, masks = site.mask_names(files), _masks(site, files, truth)
    key, sources = _key(slices.files, names, masks), site.below(files)
    return Todo(f"{scan}:{number}", key, scan, slices, names, sources, masks, is_whole)


def _can_be_read(slices: Scan, index: int) -> bool:
    try:
        slices.read(index)
    except UnreadableFile:
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
