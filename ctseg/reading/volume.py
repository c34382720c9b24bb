"""A NIfTI volume as a scan, turned the way radiologists look at it."""

import gzip
import threading
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from ctseg.errors import UnreadableFile
from ctseg.reading.files import read_start, unopened
from ctseg.reading.masks import as_labels
from ctseg.reading.signatures import is_gzip
from ctseg.reading.values import finite_range, hounsfield, is_hounsfield, rescaled, stretched
from ctseg.reading.volume_header import UNKNOWN_ORIENTATION, VolumeHeader, read_volume_header
from ctseg.scan import Domain, Labels, Side, Slice, Spacing
from ctseg.stages import stage

Voxels = npt.NDArray[Any]


class Volume:
    """A NIfTI file (.nii, .nii.gz) with its header read; the voxels are loaded by the first `read`.

    Slices are counted from the feet up, rows from front to back, columns from the patient's right to left.
    """

    is_volume = True

    def __init__(self, file: Path) -> None:
        """Read the header of `file`; raises UnreadableFile."""
        self._file = file
        self._header = read_volume_header(file)
        self._lock = threading.Lock()
        self._loaded: tuple[Voxels, Domain] | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """The one file."""
        return (self._file,)

    @property
    def spacing_mm(self) -> Spacing:
        """From the affine, in the order slices, rows, columns."""
        return self._header.spacing_mm

    @property
    def flags(self) -> tuple[str, ...]:
        """`orientation unknown`, `oblique`."""
        return self._header.flags

    @property
    def patients_right(self) -> Side | None:
        """Where the slices are turned to, if the file says how its voxels lie."""
        return None if UNKNOWN_ORIENTATION in self.flags else "left"

    def __len__(self) -> int:
        return self._header.slices

    def read(self, index: int) -> Slice:
        """The slice at `index`: HU where the volume goes below -200, else grey by the volume's own range.

        Raises UnreadableFile, also for values that are not finite.
        """
        with self._lock:
            if self._loaded is None:
                self._loaded = _load(self._file, self._header)
            voxels, domain = self._loaded
        return Slice(voxels[index], domain)

    def close(self) -> None:
        """Let go of the voxels."""
        with self._lock:
            self._loaded = None

    def to_native(self, labels: Labels) -> Labels:
        """A mask of this scan, (slices, H, W), in the file's own order of axes."""
        return self._header.to_native(labels)


def read_mask_volume(file: Path) -> Labels:
    """The labels (slices, H, W) of a NIfTI file, turned as a Volume is; raises UnreadableFile."""
    header = read_volume_header(file)
    values = rescaled(_stored(file, header), header.slope, header.intercept)
    return np.ascontiguousarray(header.to_slices(as_labels(values, file)))


def _load(file: Path, header: VolumeHeader) -> tuple[Voxels, Domain]:
    """The voxels (slices, H, W), converted slice by slice: a scan of floats is large."""
    with stage("read"):
        stored = header.to_slices(_stored(file, header))
    with stage("decode"):
        return _converted(stored, file, header)


def _converted(stored: Voxels, file: Path, header: VolumeHeader) -> tuple[Voxels, Domain]:
    try:
        ends = finite_range(stored)
    except ValueError as error:
        raise UnreadableFile(file, f"can't be used: {error}") from error
    lowest, highest = sorted(end * header.slope + header.intercept for end in ends)
    domain: Domain = "hu" if is_hounsfield(lowest) else "grey8"

    def convert(plane: Voxels) -> Voxels:
        values = rescaled(plane, header.slope, header.intercept)
        return hounsfield(values) if domain == "hu" else stretched(values, lowest, highest)

    voxels = np.empty(stored.shape, convert(stored[0]).dtype)
    for plane, place in zip(stored, voxels, strict=True):
        place[...] = convert(plane)
    voxels.flags.writeable = False
    return voxels, domain


def _stored(file: Path, header: VolumeHeader) -> Voxels:
    """The numbers as stored, in the file's own order of axes; raises UnreadableFile where some are missing."""
    try:
        with _opened(file) as stream:
            stream.seek(header.offset)
            data = stream.read(header.size)
            stream.read(1)  # at the end of a gzip file this compares its checksum
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UnreadableFile(file, f"is cut off or damaged ({error})") from error
    except OSError as error:
        raise unopened(file, error) from error
    if len(data) < header.size:
        raise UnreadableFile(file, f"is cut off: it holds {len(data)} of the {header.size} bytes of its voxels")
    return np.frombuffer(data, header.dtype).reshape(header.shape, order="F")


def _opened(file: Path) -> IO[bytes] | gzip.GzipFile:
    if is_gzip(read_start(file, 3)):
        return gzip.open(file, "rb")
    return file.open("rb")
