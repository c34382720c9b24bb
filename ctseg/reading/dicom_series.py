"""The DICOM series in a folder, each a scan."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ctseg.errors import UnreadableFile
from ctseg.reading.dicom_frame import PixelHeader
from ctseg.reading.dicom_geometry import stack
from ctseg.reading.dicom_header import Skipped, SliceHeader, read_header, right_of
from ctseg.reading.dicom_pixels import read_slice
from ctseg.scan import Side, Slice, Spacing


@dataclass(frozen=True, slots=True)
class DicomSeries:
    """The slices of one SeriesInstanceUID from the feet up; `number` and `description` name it for people."""

    uid: str
    number: int | None
    description: str
    files: tuple[Path, ...]
    spacing_mm: Spacing | None
    flags: tuple[str, ...]
    pixels: tuple[PixelHeader, ...]
    patients_right: Side | None = None

    @property
    def is_volume(self) -> bool:
        """The slices of a series lie one on the other."""
        return True

    def __len__(self) -> int:
        return len(self.files)

    def read(self, index: int) -> Slice:
        """The slice at `index` in HU, padding turned to air; raises UnreadableFile."""
        return read_slice(self.files[index], self.pixels[index])

    def close(self) -> None:
        """Nothing is held."""


@dataclass(frozen=True, slots=True)
class SeriesFound:
    """What a folder of DICOM files holds: series by number, files that are no slices and why, unreadable files."""

    series: tuple[DicomSeries, ...]
    skipped: tuple[tuple[Path, str], ...]
    failed: tuple[UnreadableFile, ...]


def find_series(files: Sequence[Path]) -> SeriesFound:
    """Read the header of each file once, and put the slices of each series in order."""
    slices: dict[str, list[SliceHeader]] = {}
    skipped: list[tuple[Path, str]] = []
    failed: list[UnreadableFile] = []
    for file in files:
        try:
            header = read_header(file)
        except UnreadableFile as error:
            failed.append(error)
            continue
        if isinstance(header, Skipped):
            skipped.append((file, header.reason))
        else:
            slices.setdefault(header.series, []).append(header)
    series = sorted(map(_series, slices.values()), key=lambda s: (s.number is None, s.number or 0, s.uid))
    return SeriesFound(tuple(series), tuple(skipped), tuple(failed))


def _series(slices: Sequence[SliceHeader]) -> DicomSeries:
    found = stack(slices)
    first = found.slices[0]
    return DicomSeries(
        uid=first.series,
        number=first.series_number,
        description=first.description,
        files=tuple(s.file for s in found.slices),
        spacing_mm=found.spacing_mm,
        flags=found.flags,
        pixels=tuple(s.pixels for s in found.slices),
        patients_right=next((right_of(s.orientation) for s in found.slices if s.orientation is not None), None),
    )
