"""Open the DICOM files of a folder: which scans they make up, and each as a part to be done."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import count
from typing import TYPE_CHECKING

from ctseg import reading
from ctseg.errors import UnreadableFile
from ctseg_batch.inputs.listing import ListedSeries, Listing, facts_of, series_digest, stretches_of
from ctseg_batch.inputs.site import Site
from ctseg_batch.inputs.truth import Truth
from ctseg_batch.parts.part import Part, part_by_file, part_of_files
from ctseg_batch.result import Failure

if TYPE_CHECKING:
    from ctseg.reading.dicom_series import DicomSeries


@dataclass(frozen=True, slots=True)
class OpenedFolder:
    """What the headers of a folder's DICOM files say: its series of files and stacks of frames, each as a part."""

    listing: Listing
    series: Sequence[Part]
    stacks: Sequence[Part]
    failed: Sequence[UnreadableFile]


def open_folder(site: Site, truth: Truth | None) -> OpenedFolder:
    """Read the headers of a folder's DICOM files."""
    found = reading.open_series(site.paths(site.files))
    plain = [one for one in found.series if one.enhanced_file is None]
    names = [site.name if len(plain) == 1 else site.named(short) for short in _shorts(plain)]
    series = [
        replace(part_of_files(name, 0, one, site, truth, is_whole=True), series=series_digest(one))
        for name, one in zip(names, plain, strict=True)
    ]
    named = [(site.within + name, one) for name, one in named_by_file(found.series)]
    stacks = [_stack(name, one, site, truth) for name, one in named]
    keyed: list[tuple[str, str | None, DicomSeries]]
    keyed = [(part.scan_name, part.key, one) for part, one in zip(series, plain, strict=True)]
    keyed += [(name, None, one) for name, one in named]
    index_of = {file: index for index, file in enumerate(site.files)}
    listed = [
        ListedSeries(name, key, facts_of(one), stretches_of(index_of[file.name] for file in one.files))
        for name, key, one in keyed
    ]
    skipped = tuple(Failure(site.within + file.name, reason) for file, reason in found.skipped)
    return OpenedFolder(Listing(tuple(listed), skipped), series, stacks, found.failed)


def _stack(scan_name: str, frames: "DicomSeries", site: Site, truth: Truth | None) -> Part:
    files = [file.name for file in frames.files]
    return part_by_file(scan_name, frames, site, truth, sorted(set(files)), site.below(files))


def named_by_file(found: Iterable["DicomSeries"]) -> Iterator[tuple[str, "DicomSeries"]]:
    """The stacks of frames: each named after its file, with a number if the file holds several.

    The number follows a `/`, as if the file were a folder, so the name can't be that of anything else.
    """
    stacks = [(one, one.enhanced_file.name) for one in found if one.enhanced_file]
    of_file = Counter(file for _, file in stacks)
    numbers = {file: count(1) for file in of_file}
    for one, file in stacks:
        yield (file if of_file[file] == 1 else f"{file}/{next(numbers[file])}"), one


def _shorts(found: "Sequence[DicomSeries]") -> Iterator[str]:
    """A short digest for each series of a folder: of its UID, and of its study's if several have that UID."""
    of_uid = Counter(one.uid for one in found)
    for one in found:
        told = one.uid if of_uid[one.uid] == 1 else f"{one.study} {one.uid}"
        yield blake2b(told.encode(), digest_size=4).hexdigest()
