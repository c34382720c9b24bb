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
from ctseg_batch.outputs import Outputs
from ctseg_batch.record import Listing, Past
from ctseg_batch.result import Failure, PartResult
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

    `skipped` and `errors` fill as sites are planned: readable files that are no slices, and failures of no scan.
    `listed` is told how a folder's DICOM files were sorted, so that the next run need not open them; `lost` which
    slices' files of an earlier run stand for nothing any more.
    """

    def __init__(
        self,
        past: Past,
        outputs: Outputs,
        truth: Truth | None,
        listed: Callable[[str, str, Listing], None],
        lost: Callable[[Iterable[str]], None],
    ) -> None:
        self.skipped: list[Failure] = []
        self.errors: list[Failure] = []
        self._past, self._outputs, self._truth, self._listed = past, outputs, truth, listed
        self._lost = lost

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
        truth = self._truth_beside(site)
        key = _key(site.paths(site.files), site.mask_names(site.files), _masks(site, site.files, truth))
        done = self._remembered(site, key)
        yield from self._opened_dicom(site, key, truth) if done is None else done

    def _remembered(self, site: Site, key: str) -> list[PartResult] | None:
        """The results of all scans of a folder, if every one was done and no file has changed; else None."""
        listing = self._past.listing(site.name, key)
        if listing is None:
            return None
        results = [self._past.result(f"{scan}:0", part) for scan, part in listing.scans]
        results += [
            self._done_volume(scan, site.paths(files), self._volume_masks(scan)) for scan, files in listing.volumes
        ]
        done = [result for result in results if result is not None]
        others = {failure.file for failure in listing.skipped}
        others |= {file for _, files in listing.volumes for file in site.below(files)}
        slices = [file for file in site.files if site.within + file not in others]
        if len(done) < len(results) or not self._outputs.are_there(site.mask_names(slices)):
            return None
        self.skipped += listing.skipped
        return done

    def _opened_dicom(self, site: Site, key: str, truth: TruthFolder | None) -> Iterator[Step]:
        found = reading.open_series(site.paths(site.files))
        skipped = tuple(_failure(site, file, reason) for file, reason in found.skipped)
        failed = tuple(_failure(site, error.file, error.reason) for error in found.failed)
        self.skipped += skipped
        plain = [one for one in found.series if one.home is None]
        series = [
            _slices(site.name if len(plain) == 1 else f"{site.name}#{_short(one.uid)}", 0, one, site, truth)
            for one in plain
        ]
        stacks = [
            _stack(scan, one, site.below(file.name for file in one.files), self._volume_masks(scan))
            for scan, one in _named_by_file(site, found.series)
        ]
        self._lost(site.mask_names(set(site.files).difference(file.name for one in plain for file in one.files)))
        self._lose(site, {todo.scan: len(todo.names) for todo in stacks})
        if not failed:
            files = [tuple(sorted({file.name for file in todo.slices.files})) for todo in stacks]
            volumes = tuple((todo.scan, names) for todo, names in zip(stacks, files, strict=True))
            self._listed(site.name, key, Listing(tuple((todo.scan, todo.key) for todo in series), skipped, volumes))
        elif len(series) > 1:
            self.errors += failed  # which of the series they belong to can't be told
        else:
            yield PartResult(site.name, slices=len(failed), failed_slices=len(failed), failures=failed)
        for todo in (*series, *stacks):
            yield self._unless_done(todo)

    def _done_volume(self, scan: str, files: Sequence[Path], masks: Masks | None) -> PartResult | None:
        """What came of a scan that is called by its file, if all of it was done from just these inputs."""
        done = self._past.result(f"{scan}:0", _key(files, [scan], masks))
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
    key = _key(dict.fromkeys(sorted(slices.files)), [scan], masks)
    return Todo(f"{scan}:0", key, scan, slices, volume_names(scan, len(slices)), sources, masks)


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
