"""The header of an NRRD volume (.nrrd, .nhdr), parsed by pynrrd; the voxels are read by `stored`."""

import io
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ctseg.errors import UnreadableFile
from ctseg.grid import LPS_TO_RAS
from ctseg.reading.files import ContentError, beside, read_start
from ctseg.reading.signatures import LONGEST_HEADER
from ctseg.reading.stored import Stored
from ctseg.reading.volume_header import VolumeHeader, check_dimensions, header_from_axes, spatial, volume_shape

_ENDS = (b"\n\n", b"\n\r\n")
_TYPES = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": ("longlong", "long long", "long long int", "signed long long", "signed long long int", "int64", "int64_t"),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "f4": ("float",),
    "f8": ("double",),
}
_KIND_OF_TYPE = {name: kind for kind, names in _TYPES.items() for name in names}
_RAS, _LAS = np.eye(4), np.diag([-1.0, 1.0, 1.0, 1.0])
_TO_RAS = {
    "left-posterior-superior": LPS_TO_RAS, "lps": LPS_TO_RAS,
    "right-anterior-superior": _RAS, "ras": _RAS,
    "left-anterior-superior": _LAS, "las": _LAS,
    "left-posterior-superior-time": LPS_TO_RAS, "lpst": LPS_TO_RAS,
    "right-anterior-superior-time": _RAS, "rast": _RAS,
    "left-anterior-superior-time": _LAS, "last": _LAS,
}  # fmt: skip
_MM = {"mm": 1.0, "millimeter": 1.0, "millimeters": 1.0, "cm": 10.0, "m": 1000.0, "um": 0.001, "µm": 0.001}

_Fields = Mapping[str, Any]


def read_nrrd_header(file: Path) -> VolumeHeader:
    """Read and check the header of an NRRD file; raises UnreadableFile, and ValueError for invalid values."""
    fields, end = _fields(file)
    missing = [name for name in ("type", "dimension", "sizes", "encoding") if name not in fields]
    if missing:
        raise ContentError(f"it lacks {', '.join(missing)}")
    check_dimensions(spatial(fields["sizes"]))
    if fields["dimension"] != len(fields["sizes"]):
        raise ContentError(f"its dimension is {fields['dimension']}, but it has {len(fields['sizes'])} sizes")
    space = str(fields.get("space", "")).lower()
    to_ras = _TO_RAS.get(space, LPS_TO_RAS)
    axes = _axes(fields)
    affine = np.eye(4)
    affine[:3, :3] = axes.T
    affine[:3, 3] = _origin(fields)
    is_placed = space in _TO_RAS and "spacedirections" in fields
    return header_from_axes(_stored(file, fields, end), axes, to_ras @ affine, is_placed=is_placed)


def nrrd_data_file(file: Path) -> Path | None:
    """The file beside a header that holds its voxels, None if they are in the same file.

    Raises UnreadableFile, and ContentError for a name that leads elsewhere.
    """
    name = _fields(file)[0].get("datafile")
    return None if name is None else beside(file, name)


def _fields(file: Path) -> tuple[_Fields, int]:
    """The header's fields by their names without spaces, and where in the file it ends."""
    import nrrd

    start = io.BytesIO(read_start(file, LONGEST_HEADER))
    try:
        with np.errstate(all="ignore"):
            found = nrrd.read_header(start)
    except Exception as error:  # pynrrd raises whatever its parsing meets
        raise UnreadableFile(file, "has an NRRD header that is damaged") from error
    fields = {name.replace(" ", ""): value for name, value in found.items()}
    if "datafile" not in fields and not start.getvalue()[: start.tell()].endswith(_ENDS):
        raise UnreadableFile(file, "is cut off within its header")
    return fields, start.tell()


def _axes(fields: _Fields) -> npt.NDArray[np.float64]:
    """The step from voxel to voxel along each axis of the file, (3, 3), in mm."""
    if "spacedirections" in fields:
        axes, units = np.array(fields["spacedirections"], float)[:3], "spaceunits"
    elif "spacings" in fields:
        axes = np.diag(np.array(fields["spacings"], float)[:3])
        units = "units" if "units" in fields else "spaceunits"
    else:
        raise ContentError("it does not say how far apart its voxels are (space directions): save it with a spacing")
    axes = axes[:, :3] if not axes[:, 3:].any() else axes  # of a fourth dimension of space, the volume has no length
    if axes.shape != (3, 3):
        raise ContentError("it does not have three axes in space")
    return axes * _unit(fields, units)


def _origin(fields: _Fields) -> npt.NDArray[np.float64]:
    origin = np.array(fields.get("spaceorigin", (0.0, 0.0, 0.0)), float)[:3]
    if origin.shape != (3,):
        raise ContentError("its origin does not have three coordinates")
    return origin * _unit(fields, "spaceunits")


def _unit(fields: _Fields, name: str) -> float:
    """The length of a unit in mm; raises ContentError for several units, or an unknown one."""
    units = set(fields.get(name, ["mm"])[:3]) - {"", "none", "???"} or {"mm"}
    if len(units) > 1 or not units <= _MM.keys():
        raise ContentError(f"its lengths are in {', '.join(sorted(units))}: save it in mm")
    return _MM[units.pop()]


def _stored(file: Path, fields: _Fields, end: int) -> Stored:
    kind, encoding = _KIND_OF_TYPE.get(fields["type"]), fields["encoding"].lower()
    if kind is None:
        raise ContentError(f"its voxels are {fields['type']}, not plain numbers")
    if encoding not in ("raw", "gzip", "gz"):
        raise ContentError(f"its voxels are encoded as {encoding}: save it as raw or gzip")
    if kind[1] != "1" and fields.get("endian") not in ("little", "big"):
        raise ContentError("it does not say which byte of a number comes first (endian)")
    name = fields.get("datafile")
    stored = Stored(
        file if name is None else beside(file, name),
        volume_shape(fields["sizes"]),
        np.dtype(f"{'>' if fields.get('endian') == 'big' else '<'}{kind}"),
        start=end if name is None else 0,
        is_deflated=encoding != "raw",
    )
    return _after_skip(stored, fields)


def _after_skip(stored: Stored, fields: _Fields) -> Stored:
    """The voxels without the bytes that the header says to skip."""
    skip = fields.get("byteskip", 0)
    if fields.get("lineskip", 0) or skip < -1 or (skip == -1 and stored.is_deflated):
        raise ContentError("it skips lines (lineskip), or a number of bytes that can't be known (byteskip)")
    if skip == -1:
        return stored.at_end()
    return replace(stored, skip=skip)
