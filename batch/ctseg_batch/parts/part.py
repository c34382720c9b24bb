"""A part of a run: what is done and recorded at once, where it is recorded, and a key for the state of its inputs."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

from ctseg.scan import Scan
from ctseg_batch.inputs.site import FileState, Site, mask_names_by_file, stamp
from ctseg_batch.inputs.truth import Truth
from ctseg_batch.inputs.truth_masks import TruthMasks
from ctseg_batch.journal.entries import part_id_of
from ctseg_batch.result import PartResult
from ctseg_batch.slice_figures import without_figures


@dataclass(frozen=True)
class Part:
    """A part to be done: a series, a volume, or some images of a folder.

    `id` is what the journal calls it, and `key` stands for the state of its inputs. Its slices are those of
    `scan`, or the first of them. `mask_names` are the paths of their masks below the folder of masks, `sources` those
    of their files below the root; `scan_output` is the path of outputs of the whole scan, without an ending.
    `is_whole`: all slices of the scan are in this part, so it may be a stack. `series` is as in PartResult. `scale`: a
    key for the files that decide whether all images of the folder are HU or grey.
    """

    id: str
    key: str
    scan_name: str
    scan: Scan
    mask_names: tuple[str, ...]
    sources: tuple[str, ...]
    truth: TruthMasks | None
    scan_output: str
    is_whole: bool
    series: str = ""
    scale: str = ""

    @property
    def outline(self) -> PartResult:
        """Its result before it is done: the slices and their masks, without figures."""
        rows = without_figures(zip(self.sources, self.mask_names, strict=True))
        return PartResult(self.scan_name, len(self.mask_names), by_slice=rows, scan_output=self.scan_output)

    def first(self, count: int) -> "Part":
        """The part cut down to its first `count` slices."""
        return replace(self, mask_names=self.mask_names[:count], sources=self.sources[:count], is_whole=False)


Step = Part | PartResult


def part_of_files(scan_name: str, number: int, scan: Scan, site: Site, truth: Truth | None, *, is_whole: bool) -> Part:
    """A part whose slices are files of one folder."""
    files = [file.name for file in scan.files]
    names, true = site.mask_names(files), truth_of_slices(site, files, truth)
    part_id, key, sources = part_id_of(scan_name, number), slices_key(site, files, true), site.below(files)
    scale = _key(site.stamped(site.scaled_by), (), None) if site.scaled_by else ""
    output = site.scan_output(scan_name)
    return Part(part_id, key, scan_name, scan, names, sources, true, output, is_whole, scale=scale)


def part_by_file(
    scan_name: str, scan: Scan, site: Site, truth: Truth | None, files: Iterable[str], sources: tuple[str, ...]
) -> Part:
    """A part that is named after the one file of its slices; `files` are all that it is read from."""
    true, names = truth_by_file(scan_name, truth), mask_names_by_file(scan_name, len(scan))
    part_id, key = part_id_of(scan_name), key_by_file(site, files, scan_name, true)
    output = site.scan_output_by_file(scan_name)
    return Part(part_id, key, scan_name, scan, names, sources, true, output, is_whole=True)


def truth_of_slices(site: Site, files: Sequence[str], truth: Truth | None) -> TruthMasks | None:
    """The reference masks of slices that are files of one folder."""
    return truth.beside(site.within).of_slices(files, site.mask_names(files)) if truth else None


def truth_by_file(scan_name: str, truth: Truth | None) -> TruthMasks | None:
    """The reference masks of a scan that is named after its file."""
    within, _, name = scan_name.rpartition("/")
    return truth.beside(within).of_volume(name) if truth else None


def slices_key(site: Site, files: Sequence[str], truth: TruthMasks | None) -> str:
    """The key of slices that are files of one folder."""
    return _key(site.stamped(files), site.mask_names(files), truth)


def key_by_file(site: Site, files: Iterable[str], scan_name: str, truth: TruthMasks | None) -> str:
    """The key of a scan that is named after its file."""
    return _key(site.stamped(files), [scan_name], truth)


def _key(files: Iterable[FileState], names: Iterable[str], truth: TruthMasks | None) -> str:
    """A digest that changes with the state of the files, the names of the outputs and the state of the truth."""
    state = [list(files), list(names), [stamp(file) for file in truth.files] if truth else None]
    return blake2b(json.dumps(state).encode(), digest_size=16).hexdigest()
