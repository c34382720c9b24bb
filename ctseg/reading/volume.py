"""A volume file as a scan, oriented as radiologists view it."""

from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ctseg import flags
from ctseg.grid import Grid
from ctseg.reading.files import refusing
from ctseg.reading.scan_lock import ScanLock
from ctseg.reading.stored import Voxels
from ctseg.reading.values import finite_range, glance_at, grey_range, hounsfield, is_hounsfield, rescaled, stretched
from ctseg.reading.volume_formats import read_volume_header
from ctseg.reading.volume_header import NEAR, VolumeHeader
from ctseg.scan import Domain, Slice
from ctseg.spacing import Spacing, pixel_aspect
from ctseg.stages import stage
from ctseg.turn import Side


class Volume:
    """A NIfTI, MetaImage or NRRD volume with its header read; the voxels are loaded by the first `read`.

    Slices are counted from the feet up, rows from front to back, columns from the patient's right to left.
    """

    is_stack = True

    def __init__(self, file: Path) -> None:
        """Read the header of `file`; raises UnreadableFile."""
        self._file = file
        self._header = read_volume_header(file)
        self._lock = ScanLock()
        self._loaded: _Loaded | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """The one file."""
        return (self._file,)

    @property
    def lengths_mm(self) -> Spacing:
        """From the affine, in the order slices, rows, columns: always known."""
        return self._header.spacing_mm

    @property
    def weights(self) -> None:
        """All slices are alike."""
        return None

    @property
    def flags(self) -> tuple[str, ...]:
        """Such as `orientation unknown`, `oblique`, `two spacings`."""
        return self._header.flags

    @property
    def patients_right(self) -> Side | None:
        """Always left, as the slices are turned; None if the file gives no orientation, or two."""
        return None if {flags.UNKNOWN_ORIENTATION, flags.TWO_ORIENTATIONS}.intersection(self.flags) else "left"

    def __len__(self) -> int:
        return self._header.shown_shape[0]

    def is_aligned_with(self, other: VolumeHeader) -> bool:
        """Whether the voxels of another file, if it has as many, lie where this one's do, once both are turned."""
        own = self._header
        is_turned_alike = np.array_equal(own.orientation, other.orientation)
        if own.shown_shape != other.shown_shape or (is_turned_alike and not (own.has_place and other.has_place)):
            return True  # another size is reported later; of two orientations that agree, one has no position
        first, last = np.abs(own.ends() - other.ends())
        return bool((first <= np.multiply(own.spacing_mm[::-1], NEAR)).all() and last.max() <= max(own.spacing_mm))

    def read(self, index: int) -> Slice:
        """The slice at `index`: HU if the volume goes below -200, else grey by the volume's own range.

        8 bits are grey as they are. Raises UnreadableFile, also for values that are not finite.
        """
        with self._lock:
            if self._loaded is None:
                self._loaded = _load(self._file, self._header)
            loaded = self._loaded
        return Slice(
            loaded.voxels[index],
            loaded.domain,
            is_domain_guessed=True,
            is_stretched=loaded.is_stretched,
            aspect=pixel_aspect(self.lengths_mm),
        )

    def close(self) -> None:
        """Free the voxels."""
        with self._lock:
            self._loaded = None

    def grid(self, _: Spacing | None = None, /) -> Grid:
        """The file's own voxels."""
        return self._header.grid()


def open_volume(file: Path) -> Volume:
    """A NIfTI, MetaImage or NRRD file as a scan; reads the header, and the voxels with the first slice.

    Raises UnreadableFile.
    """
    return Volume(file)


class _Loaded(NamedTuple):
    """The voxels (slices, H, W), and what their values are, as in Slice."""

    voxels: Voxels
    domain: Domain
    is_stretched: bool = False


def _load(file: Path, header: VolumeHeader) -> _Loaded:
    with stage("read"):
        stored = header.to_slices(header.stored.read())
    with refusing(file), stage("decode"):
        return _converted(stored, header)


def _converted(stored: Voxels, header: VolumeHeader) -> _Loaded:
    if stored.dtype == np.uint8 and (header.slope, header.intercept) == (1, 0):
        return _Loaded(_slice_by_slice(stored, header, lambda values: values), "grey8")

    def value(number: float) -> float:
        return number * header.slope + header.intercept

    if is_hounsfield(min(map(value, finite_range(stored)))):
        return _Loaded(_slice_by_slice(stored, header, hounsfield), "hu")
    lowest, highest = sorted(map(value, grey_range([glance_at(plane) for plane in stored])))
    grey = _slice_by_slice(stored, header, lambda values: stretched(values, lowest, highest))
    return _Loaded(grey, "grey8", is_stretched=True)


def _slice_by_slice(stored: Voxels, header: VolumeHeader, convert: Callable[[Voxels], Voxels]) -> Voxels:
    """The voxels, rescaled and converted slice by slice, since all of a scan in floats would be large."""
    planes = (convert(rescaled(plane, header.slope, header.intercept)) for plane in stored)
    first = next(planes)
    voxels = np.empty(stored.shape, first.dtype)
    for place, plane in zip(voxels, chain([first], planes), strict=True):
        place[...] = plane
    voxels.flags.writeable = False
    return voxels
