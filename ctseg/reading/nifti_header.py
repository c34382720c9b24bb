"""The header of a NIfTI volume."""

# nibabel has annotations here and there only.
# mypy: disable-error-code="no-untyped-call"

import gzip
import logging
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ctseg import flags
from ctseg.errors import UnreadableFile
from ctseg.reading.files import ContentError, read_start
from ctseg.reading.signatures import is_gzip, nifti_version
from ctseg.reading.stored import Stored
from ctseg.reading.volume_header import VolumeHeader, header_from_affine, volume_shape

# Codes of xyzt_units: metre and micrometre; all else is mm.
_SPATIAL_UNITS = {1: 1000.0, 3: 0.001}
# The relative difference up to which the steps of the affine and those of pixdim count as the same.
_SAME_STEP = 0.01
# About the cosine of 45 degrees: axes farther apart run in different directions of the patient.
_SAME_WAY = 0.7
_LABELS = 1002  # of intent_code, NIFTI_INTENT_LABEL
_HEADER_BYTES = 540  # of NIfTI-2, the longer one
# The fields that place the voxels; no others are copied, since they may name a patient.
_PLACEMENT = (
    "dim", "pixdim", "xyzt_units", "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d",
    "qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z",
)  # fmt: skip


def read_nifti_header(file: Path) -> VolumeHeader:
    """Read and check the header of a NIfTI-1 or -2 file; raises UnreadableFile, ContentError, and errors of nibabel."""
    is_compressed, start = _header_bytes(file)
    if nifti_version(start) is None:
        raise UnreadableFile(file, "is not a NIfTI volume in a single file" if start else "is empty")
    return _understood(_parsed(start), file, is_compressed=is_compressed)


def _header_bytes(file: Path) -> tuple[bool, bytes]:
    """Whether the file is compressed, and its first bytes after decompression."""
    start = read_start(file, _HEADER_BYTES)
    if not is_gzip(start):
        return False, start
    try:
        with gzip.open(file, "rb") as stream:
            return True, stream.read(_HEADER_BYTES)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UnreadableFile(file, "is cut off or damaged: it can't be unpacked") from error


def _parsed(start: bytes) -> Any:
    """nibabel's header, small faults corrected silently; raises HeaderDataError or ContentError for serious ones."""
    from nibabel.nifti1 import Nifti1Header
    from nibabel.nifti2 import Nifti2Header

    form = Nifti1Header if nifti_version(start) == 1 else Nifti2Header
    header = form(start[: form.template_dtype.itemsize], check=False)
    steps = header["pixdim"][1 : 1 + min(int(header["dim"][0]), 3)]
    if not (steps.all() or header["sform_code"] > 0):  # nibabel would make it 1 mm
        raise ContentError(f"its voxels are {' x '.join(f'{step:.3g}' for step in steps)} mm apart: correct its pixdim")
    silent = logging.Logger("silent")
    silent.disabled = True
    header.check_fix(logger=silent)
    return header


def _understood(header: Any, file: Path, *, is_compressed: bool) -> VolumeHeader:
    from nibabel.affines import voxel_sizes

    dtype = header.get_data_dtype()
    if dtype.kind not in "iuf":
        raise ContentError(f"its voxels are {header.get_value_label('datatype')}, not plain numbers")
    if header.get_data_offset() < header.single_vox_offset:
        raise ContentError(
            f"its voxels would begin within its header, at byte {header.get_data_offset()}: save it again"
        )
    slope, intercept = header.get_slope_inter()
    affine = header.get_best_affine()
    has_two_spacings = not np.allclose(voxel_sizes(affine), header["pixdim"][1:4], rtol=_SAME_STEP, atol=0)
    affine[:3] *= _SPATIAL_UNITS.get(int(header["xyzt_units"]) % 8, 1.0)
    found = header_from_affine(
        Stored(
            file, volume_shape(header.get_data_shape()), dtype, skip=header.get_data_offset(), is_deflated=is_compressed
        ),
        affine,
        voxel_sizes(affine),
        _placement(header),
        is_placed=bool(header["sform_code"] > 0 or header["qform_code"] > 0),
        slope=1.0 if slope is None else float(slope),
        intercept=0.0 if intercept is None else float(intercept),
    )
    doubts = {
        flags.DEFAULT_SPACING: header["dim"][0] < 3,  # then the thickness is what a program filled in
        flags.TWO_SPACINGS: has_two_spacings,
        flags.TWO_ORIENTATIONS: _has_two_orientations(header),
        flags.LABEL_MAP: header["intent_code"] == _LABELS,
    }
    told = [flag for flag, is_so in doubts.items() if is_so]
    return replace(found, flags=tuple(dict.fromkeys((*found.flags, *told))))


def _has_two_orientations(header: Any) -> bool:
    """Whether sform and qform are both valid, and disagree in the direction of an axis."""
    if not (header["sform_code"] > 0 and header["qform_code"] > 0):
        return False
    try:
        qform, sform = header.get_qform(), header.get_sform()
    except ValueError:  # an invalid rotation, which no other program uses either
        return False
    ways = (sform[:3, :3] * qform[:3, :3]).sum(axis=0)
    lengths = np.linalg.norm(sform[:3, :3], axis=0) * np.linalg.norm(qform[:3, :3], axis=0)
    return bool((ways < _SAME_WAY * lengths).any())


def _placement(header: Any) -> Any:
    """A header of the same version with the placement of the voxels alone."""
    placed = type(header)(endianness="<")
    for field in _PLACEMENT:
        placed[field] = header[field]
    return placed
