"""The DICOM series and enhanced objects in a folder, as scans."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ctseg import flags
from ctseg.errors import UnreadableFile
from ctseg.grid import Grid
from ctseg.reading.dicom_copies import find_copies
from ctseg.reading.dicom_geometry import most_at_one_place, orientation_of, stack
from ctseg.reading.dicom_grid import series_grid
from ctseg.reading.dicom_header import Skipped, SliceHeader, read_headers, turn_of
from ctseg.reading.dicom_pixel_data import release_frames
from ctseg.reading.dicom_pixels import is_scale_unknown, read_numbers, read_slice
from ctseg.reading.scan_scale import ScanScale
from ctseg.reading.values import Values
from ctseg.scan import Slice
from ctseg.spacing import Lengths, Spacing, completed, pixel_aspect
from ctseg.turn import Side

_COPY = "copy of another slice: its SOPInstanceUID, header and pixels are those of another file"


@dataclass(frozen=True, slots=True)
class DicomSeries:
    """The slices of one SeriesInstanceUID in one study from the feet up; `number` and `description` name it for people.

    `study` is its StudyInstanceUID. Or a stack of the frames of an enhanced object: then `enhanced_file` is its file,
    the first if it is spread over several.
    """

    uid: str
    number: int | None
    description: str
    study: str
    enhanced_file: Path | None
    files: tuple[Path, ...]
    lengths_mm: Lengths
    weights: tuple[float, ...] | None
    flags: tuple[str, ...]
    slices: tuple[SliceHeader, ...]
    patients_right: Side | None = None
    _scale: ScanScale = field(default_factory=ScanScale, init=False, repr=False, compare=False)

    @property
    def spacing_mm(self) -> Spacing | None:
        """From positions and PixelSpacing; None if either is missing."""
        return completed(self.lengths_mm, None)

    @property
    def is_stack(self) -> bool:
        """The slices of a series lie one on the other."""
        return True

    def __len__(self) -> int:
        return len(self.files)

    def read(self, index: int) -> Slice:
        """The slice at `index` in HU, padding turned to air; raises UnreadableFile.

        Without a rescale, the numbers of the whole series decide whether it is HU or grey.
        """
        header = self.slices[index].pixels
        scale = self._scale.decided(len(self), self._numbers) if is_scale_unknown(header) else None
        found = read_slice(self.files[index], header, scale)
        turn = turn_of(self.slices[index].orientation or orientation_of(self.slices))
        return replace(found, aspect=pixel_aspect(self.lengths_mm), turn=turn)

    def _numbers(self, index: int) -> Values | None:
        header = self.slices[index].pixels
        return read_numbers(self.files[index], header) if is_scale_unknown(header) else None

    def grid(self, spacing: Spacing | None = None, /) -> Grid:
        """The slices as one block; raises NoGrid if they do not form one."""
        return series_grid(self.slices, spacing or self.spacing_mm)

    def close(self) -> None:
        """Free what is held of a deflated object."""
        if self.enhanced_file:
            release_frames()


@dataclass(frozen=True, slots=True)
class SeriesFound:
    """What a folder of DICOM files holds: series by number, skipped files with the reason, and unreadable files.

    A file that has slices and other frames is in `series` and in `skipped`.
    """

    series: tuple[DicomSeries, ...]
    skipped: tuple[tuple[Path, str], ...]
    failed: tuple[UnreadableFile, ...]


def open_series(files: Sequence[Path]) -> SeriesFound:
    """The DICOM series among `files` and the stacks of enhanced objects, what is skipped, and what failed.

    The header of each file is read once.
    """
    slices: list[SliceHeader] = []
    skipped: list[tuple[Path, str]] = []
    failed: list[UnreadableFile] = []
    for file in files:
        try:
            headers = read_headers(file)
        except UnreadableFile as error:
            failed.append(error)
            continue
        slices += [header for header in headers if isinstance(header, SliceHeader)]
        skipped += [(file, reason) for reason in _reasons(headers)]
    copies = find_copies(slices)
    slices = [header for header in slices if header.file not in copies]
    skipped = [(file, reason) for file, reason in skipped if file not in copies]
    skipped += [(file, _COPY) for file in files if file in copies]
    scans = [scan for members in _grouped(_with_studies(slices), _whole) for scan in _scans(members)]
    scans.sort(key=lambda s: (s.number is None, s.number or 0, s.uid, s.study, str(s.enhanced_file or "")))
    return SeriesFound(tuple(scans), tuple(skipped), tuple(failed))


def _reasons(headers: Sequence[SliceHeader | Skipped]) -> Iterable[str]:
    """Why a file, or some of its frames, are skipped."""
    for reason, count in Counter(header.reason for header in headers if isinstance(header, Skipped)).items():
        yield reason if count == len(headers) else f"{count} of {len(headers)} frames: {reason}"


def _grouped(slices: Sequence[SliceHeader], key: Callable[[SliceHeader], Hashable]) -> Iterable[list[SliceHeader]]:
    groups: dict[Hashable, list[SliceHeader]] = {}
    for header in slices:
        groups.setdefault(key(header), []).append(header)
    return groups.values()


def _with_studies(slices: Sequence[SliceHeader]) -> Sequence[SliceHeader]:
    """The slices with a missing study filled in, if their series has only one."""
    if all(s.study for s in slices):
        return slices
    studies = {
        members[0].series: {s.study for s in members if s.study} for members in _grouped(slices, lambda s: s.series)
    }
    return [s if s.study or len(studies[s.series]) != 1 else replace(s, study=min(studies[s.series])) for s in slices]


def _whole(header: SliceHeader) -> Hashable:
    """What all slices of a series, or all frames of an object, share; some exports give two patients one series UID."""
    return header.study, header.series, header.frame and (header.frame.concatenation or header.file)


def _scans(slices: Sequence[SliceHeader]) -> Iterable[DicomSeries]:
    """The scans of a series or object: one for a series, for an object one per stack and phase."""
    first = min(slices, key=lambda s: (s.frame.part if s.frame else 0, s.file))
    missing = first.frame and first.frame.parts > len({s.frame.part for s in slices if s.frame})
    for stacked in _grouped(slices, lambda s: s.frame and s.frame.stack):
        for phase in _phases(stacked):
            found = stack(phase)
            sides = {turn_of(s.orientation).patients_right for s in found.slices if s.orientation is not None}
            yield DicomSeries(
                uid=first.series,
                number=first.series_number,
                description=first.description,
                study=first.study,
                enhanced_file=first.file if first.frame else None,
                files=tuple(s.file for s in found.slices),
                lengths_mm=found.lengths_mm,
                weights=found.weights,
                flags=(*found.flags, flags.PARTS_MISSING) if missing else found.flags,
                slices=found.slices,
                patients_right=sides.pop() if len(sides) == 1 else None,
            )


def _phases(slices: list[SliceHeader]) -> Iterable[list[SliceHeader]]:
    """The slices by phase, if there are as many phases as slices at the fullest place; else all as one phase."""
    phases = sorted(_grouped(slices, _phase), key=lambda members: _phase(members[0]))
    return phases if len(phases) == most_at_one_place(slices) else [slices]


def _phase(header: SliceHeader) -> tuple[int, ...]:
    return header.frame.phase if header.frame else ()
