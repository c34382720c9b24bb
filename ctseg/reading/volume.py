"""A NIfTI volume as a scan, turned the way radiologists look at it."""

import gzip
import os
import threading
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from ctseg.errors import UnreadableFile
from ctseg.reading.files import ContentError, read_start, unopened
from ctseg.reading.masks import as_labels
from ctseg.reading.signatures import is_gzip
from ctseg.reading.values import finite_range, hounsfield, is_hounsfield, rescaled, stretched
from ctseg.reading.volume_header import VolumeHeader, read_volume_header, stamp_of
from ctseg.scan import Domain, Labels, Slice, Spacing
from ctseg.stages import stage

Voxels = npt.NDArray[Any]

_PIECE = 2**24


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
    stored = _stored(file, header)
    try:
        values = rescaled(stored, header.slope, header.intercept)
    except ContentError as error:
        raise UnreadableFile(file, f"is no mask: {error}") from error
    return np.ascontiguousarray(header.to_slices(as_labels(values, file)))


def _load(file: Path, header: VolumeHeader) -> tuple[Voxels, Domain]:
    """The voxels (slices, H, W), converted slice by slice: a scan of floats is large."""
    with stage("read"):
        stored = header.to_slices(_stored(file, header))
    with stage("decode"):
        try:
            return _converted(stored, header)
        except ContentError as error:
            raise UnreadableFile(file, f"can't be used: {error}") from error


def _converted(stored: Voxels, header: VolumeHeader) -> tuple[Voxels, Domain]:
    ends = finite_range(stored)
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
            if stamp_of(os.fstat(stream.fileno())) != header.stamp:
                raise UnreadableFile(file, "has changed since its header was read: call again")
            stream.seek(header.offset)
            data = _up_to(header.size, stream)
            stream.read(1)  # at the end of a gzip file this compares its checksum
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UnreadableFile(file, "is cut off or damaged: it can't be unpacked") from error
    except OSError as error:
        raise unopened(file, error) from error
    if len(data) < header.size:
        raise UnreadableFile(file, f"is cut off: it holds {len(data)} of the {header.size} bytes of its voxels")
    return np.frombuffer(data, header.dtype).reshape(header.shape, order="F")


def _up_to(size: int, stream: IO[bytes] | gzip.GzipFile) -> bytearray:
    """The next `size` bytes, or those that there are: a header may promise anything, memory is taken for what comes."""
    data = bytearray()
    while len(data) < size and (piece := stream.read(min(_PIECE, size - len(data)))):
        data += piece
    return data


def _opened(file: Path) -> IO[bytes] | gzip.GzipFile:
    if is_gzip(read_start(file, 3)):
        return gzip.open(file, "rb")
    return file.open("rb")
