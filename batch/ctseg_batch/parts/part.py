"""A part of a run: what is to be done at once, where it is noted, and from which state of its inputs it is made."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

from ctseg.scan import Scan
from ctseg_batch.inputs.site import FileState, Site, mask_paths_of_volume, stamp
from ctseg_batch.inputs.truth import Masks, SliceMasks, Truth, TruthFolder
from ctseg_batch.journal.past import place_of
from ctseg_batch.result import PartResult
from ctseg_batch.slice_figures import SliceFigures, pack


@dataclass(frozen=True)
class Part:
    """A part to be done: a series, a volume, or some images of a folder.

    `place` and `key` say where it is noted and from which inputs it is made. `names` are those of its slices' masks and
    `sources` its slices' files, both below the root; `scan_output` is that of what is written of the scan as a whole,
    without an ending. `is_whole`: all slices of the scan are here, and may lie one on the other. `series` is as
    PartResult has it. `scale` is the state of the files by which all parts of a folder are HU or grey.
    """

    place: str
    key: str
    scan: str
    slices: Scan
    names: tuple[str, ...]
    sources: tuple[str, ...]
    masks: Masks | None
    scan_output: str
    is_whole: bool
    series: str = ""
    scale: str = ""

    @property
    def outline(self) -> PartResult:
        """What it comes to, as far as it is known beforehand."""
        rows = pack(SliceFigures(*one, None) for one in zip(self.sources, self.names, strict=True))
        return PartResult(self.scan, len(self.names), by_slice=rows)

    def first(self, count: int) -> "Part":
        """The same with its first `count` slices alone."""
        return replace(self, names=self.names[:count], sources=self.sources[:count], is_whole=False)


Step = Part | PartResult


def part_of_files(
    scan: str, number: int, slices: Scan, site: Site, truth: TruthFolder | None, *, is_whole: bool
) -> Part:
    """A part whose slices are files of one folder."""
    files = [file.name for file in slices.files]
    names, masks = site.mask_names(files), slice_masks(site, files, truth)
    place, key, sources = place_of(scan, number), key_of(site.stamped(files), names, masks), site.below(files)
    scale = key_of(site.stamped(site.scaled_by), (), None) if site.scaled_by else ""
    return Part(place, key, scan, slices, names, sources, masks, site.scan_output(scan), is_whole, scale=scale)


def part_of_volume(
    scan: str, slices: Scan, site: Site, truth: Truth | None, files: Iterable[str], sources: tuple[str, ...]
) -> Part:
    """A part that is called by the file of its slices; `files` are all that it is made of."""
    masks, names = volume_masks(scan, truth), mask_paths_of_volume(scan, len(slices))
    key = key_of(site.stamped(files), [scan], masks)
    return Part(place_of(scan), key, scan, slices, names, sources, masks, site.scan_output_by_file(scan), is_whole=True)


def truth_beside(site: Site, truth: Truth | None) -> TruthFolder | None:
    """The masks of a site's folder."""
    return truth.beside(site.within) if truth else None


def slice_masks(site: Site, files: Sequence[str], truth: TruthFolder | None) -> SliceMasks | None:
    """The truth of slices that are files of one folder."""
    return truth.of_slices(files, site.mask_names(files)) if truth else None


def volume_masks(scan: str, truth: Truth | None) -> Masks | None:
    """The truth of a scan that is called by its file."""
    within, _, name = scan.rpartition("/")
    return truth.beside(within).of_volume(name) if truth else None


def key_of(files: Iterable[FileState], names: Iterable[str], masks: Masks | None) -> str:
    """Tells one state of the inputs from another: the files' own, and where the masks go."""
    state = [list(files), list(names), [stamp(file) for file in masks.files] if masks else None]
    return blake2b(json.dumps(state).encode(), digest_size=16).hexdigest()
