"""What a NIfTI header says: how the voxels are stored, how far apart they lie, and which way they are turned."""

# nibabel has annotations here and there only.
# mypy: disable-error-code="no-untyped-call"

import gzip
import logging
import math
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ctseg.errors import UnreadableFile
from ctseg.reading.files import read_start, unopened
from ctseg.reading.signatures import is_gzip, nifti_version
from ctseg.scan import Labels, Spacing

Voxels = npt.NDArray[Any]

UNKNOWN_ORIENTATION = "orientation unknown"

_MOST_VOXELS = 2**30
# Codes of xyzt_units: metre and micrometre; all else is mm.
_SPATIAL_UNITS = {1: 1000.0, 3: 0.001}
# No deflate stream is smaller (RFC 1951: 258 bytes from two bits), so what promises more is a lie.
_GZIP_RATIO = 1032
_OBLIQUE = math.radians(1)
_HEADWARD = 2
_HEADER_BYTES = 540  # of NIfTI-2, the longer one


@dataclass(frozen=True, eq=False)
class VolumeHeader:
    """How the voxels lie in the file and in the patient.

    `shape`, `dtype`, `offset`: of the array in the file, first axis fastest. `slope`, `intercept`: from stored
    numbers to values. `orientation`: for each axis of the file the one of (left, back, head) that it is closest
    to, and its direction, as nibabel.orientations has it.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    offset: int
    slope: float
    intercept: float
    orientation: npt.NDArray[np.float64]
    spacing_mm: Spacing
    flags: tuple[str, ...]

    @property
    def size(self) -> int:
        """Bytes of all voxels."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def slices(self) -> int:
        """How many slices there are from feet to head."""
        return self.shape[int(np.argmax(self.orientation[:, 0] == _HEADWARD))]

    def to_slices(self, voxels: Voxels) -> Voxels:
        """From the file's axes to (slices, rows, columns): feet to head, front to back, right to left; a view."""
        from nibabel.orientations import apply_orientation

        turned: Voxels = apply_orientation(voxels, self.orientation)
        return turned.transpose(2, 1, 0)

    def to_native(self, labels: Labels) -> Labels:
        """From (slices, rows, columns) to the file's axes; a view."""
        from nibabel.orientations import apply_orientation, ornt_transform

        identity = np.array([[0, 1], [1, 1], [2, 1]])
        back = ornt_transform(identity, self.orientation)
        native: Labels = apply_orientation(labels.transpose(2, 1, 0), back)
        return native


def read_volume_header(file: Path) -> VolumeHeader:
    """Read and check the header of a NIfTI-1 or NIfTI-2 file; raises UnreadableFile."""
    is_compressed, start = _header_bytes(file)
    if nifti_version(start) is None:
        raise UnreadableFile(file, "is no NIfTI volume in a single file")
    try:
        header = _understood(_parsed(start))
    except Exception as error:  # nibabel raises whatever its arithmetic meets
        raise UnreadableFile(file, f"has a NIfTI header that can't be used: {error}") from error
    held = file.stat().st_size * (_GZIP_RATIO if is_compressed else 1)
    if header.offset + header.size > held:
        raise UnreadableFile(
            file, f"is cut off: its header promises {header.size} bytes of voxels, the file is too short for them"
        )
    return header


def _header_bytes(file: Path) -> tuple[bool, bytes]:
    """Whether the file is compressed, and its first bytes once it is not."""
    start = read_start(file, _HEADER_BYTES)
    if not is_gzip(start):
        return False, start
    try:
        with gzip.open(file, "rb") as stream:
            return True, stream.read(_HEADER_BYTES)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UnreadableFile(file, f"is cut off or damaged ({error})") from error
    except OSError as error:
        raise unopened(file, error) from error


def _parsed(start: bytes) -> Any:
    """nibabel's header, its small faults mended in silence; raises HeaderDataError for grave ones."""
    from nibabel.nifti1 import Nifti1Header
    from nibabel.nifti2 import Nifti2Header

    form = Nifti1Header if nifti_version(start) == 1 else Nifti2Header
    header = form(start[: form.template_dtype.itemsize], check=False)
    silent = logging.Logger("silent")
    silent.disabled = True
    header.check_fix(logger=silent)
    return header


def _understood(header: Any) -> VolumeHeader:
    from nibabel.affines import obliquity
    from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

    dtype = header.get_data_dtype()
    if dtype.kind not in "iuf":
        raise ValueError(f"its voxels are {header.get_value_label('datatype')}, not plain numbers")
    slope, intercept = header.get_slope_inter()
    affine = header.get_best_affine()
    spacing = _spacing(affine, header)
    is_placed = header["sform_code"] > 0 or header["qform_code"] > 0
    flags = {UNKNOWN_ORIENTATION: not is_placed, "oblique": obliquity(affine).max() > _OBLIQUE}
    orientation = ornt_transform(io_orientation(affine), axcodes2ornt("LPS"))
    to_file = np.argsort(orientation[:, 0])
    return VolumeHeader(
        shape=_shape(header.get_data_shape()),
        dtype=dtype,
        offset=header.get_data_offset(),
        slope=1.0 if slope is None else float(slope),
        intercept=0.0 if intercept is None else float(intercept),
        orientation=orientation,
        spacing_mm=(spacing[to_file[2]], spacing[to_file[1]], spacing[to_file[0]]),
        flags=tuple(flag for flag, holds in flags.items() if holds),
    )


def _shape(found: tuple[int, ...]) -> tuple[int, int, int]:
    shape = tuple(int(length) for length in found)
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) == 2:
        shape = (*shape, 1)
    if len(shape) != 3:
        raise ValueError(f"its shape is {shape}: one volume a file, please")
    if min(shape) < 1 or math.prod(shape) > _MOST_VOXELS:
        raise ValueError(f"its shape is {shape}")
    return shape


def _spacing(affine: npt.NDArray[np.float64], header: Any) -> tuple[float, ...]:
    """Distance between voxels along each axis of the file, in mm."""
    from nibabel.affines import voxel_sizes

    unit = _SPATIAL_UNITS.get(int(header["xyzt_units"]) % 8, 1.0)
    spacing = voxel_sizes(affine) * unit
    if not (np.isfinite(affine).all() and (spacing > 0).all()):
        raise ValueError(f"its voxels are {' x '.join(f'{s:g}' for s in spacing)} mm apart")
    return tuple(round(float(s), 6) for s in spacing)
