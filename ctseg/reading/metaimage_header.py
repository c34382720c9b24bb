"""The header of a MetaImage volume (.mha, .mhd): lines of `Key = value`, the last of which locates the voxels."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ctseg.errors import UnreadableFile
from ctseg.grid import LPS_TO_RAS
from ctseg.reading.files import ContentError, beside, read_start
from ctseg.reading.signatures import LONGEST_HEADER
from ctseg.reading.stored import Stored
from ctseg.reading.volume_header import VolumeHeader, check_dimensions, header_from_axes, spatial, volume_shape

_LAST = "ElementDataFile"
_IN_THE_SAME_FILE = ("LOCAL", "Local", "local")
_TYPES = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4", "MET_UINT": "u4",
    "MET_LONG": "i4", "MET_ULONG": "u4", "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4", "MET_DOUBLE": "f8",
}  # fmt: skip
_UNITS = "DistanceUnits"
_MM = {"mm": 1.0, "cm": 10.0, "um": 0.001, "?": 1.0}
_SLOPE, _INTERCEPT = "ElementToIntensityFunctionSlope", "ElementToIntensityFunctionOffset"

_Fields = Mapping[str, str]


def read_metaimage_header(file: Path) -> VolumeHeader:
    """Read and check the header of a MetaImage file; raises UnreadableFile, and ValueError for invalid values."""
    fields, end = _fields(file)
    if fields.get("ElementNumberOfChannels", "1") != "1":
        raise ContentError("it has several values per voxel")
    if fields.get("BinaryData", "True")[:1] in "Ff0":
        raise ContentError("its voxels are written as text: save it as binary")
    sizes = _sizes(fields)
    check_dimensions(spatial(sizes))
    dimensions = len(sizes)
    axes = _numbers(fields, ("TransformMatrix", "Rotation", "Orientation"), dimensions**2)
    steps = _numbers(fields, ("ElementSpacing", "ElementSize"), dimensions)
    if steps is None:
        raise ContentError("it does not say how far apart its voxels are (ElementSpacing): save it with a spacing")
    affine = np.eye(4)
    directions = np.eye(3) if axes is None else axes.reshape(dimensions, dimensions)[:3, :3]
    affine[:3, :3] = directions.T * steps[:3]
    origin = _numbers(fields, ("Offset", "Position", "Origin"), dimensions)
    affine[:3, 3] = 0 if origin is None else origin[:3]
    affine[:3] *= _unit(fields)
    slope, intercept = (_number(fields, key, default) for key, default in ((_SLOPE, 1.0), (_INTERCEPT, 0.0)))
    if not (slope and np.isfinite((slope, intercept)).all()):
        raise ContentError(f"its voxels have no valid scale ({_SLOPE} {slope:g}, {_INTERCEPT} {intercept:g})")
    return header_from_axes(
        _stored(file, fields, end),
        affine[:3, :3].T,
        LPS_TO_RAS @ affine,
        is_placed=axes is not None,
        slope=slope,
        intercept=intercept,
    )


def metaimage_data_file(file: Path) -> Path | None:
    """The file beside a header that holds its voxels, None if they are in the same file.

    Raises UnreadableFile, and ContentError for a name that leads elsewhere.
    """
    name = _fields(file)[0][_LAST]
    return None if name in _IN_THE_SAME_FILE else beside(file, name)


def _fields(file: Path) -> tuple[_Fields, int]:
    """The header's keys and values, and where in the file it ends."""
    fields: dict[str, str] = {}
    end = 0
    for line in read_start(file, LONGEST_HEADER).splitlines(keepends=True):
        end += len(line)
        key, equals, value = line.decode("utf-8", "replace").partition("=")
        if not equals:
            break
        fields[key.strip()] = value.strip()
        if key.strip() == _LAST:
            return fields, end
    raise UnreadableFile(file, "is not a MetaImage volume, or is cut off within its header")


def _stored(file: Path, fields: _Fields, end: int) -> Stored:
    kind = _TYPES.get(fields.get("ElementType", ""))
    if kind is None:
        raise ContentError(f"its voxels are {fields.get('ElementType', 'of no type')}, not plain numbers")
    is_big = fields.get("BinaryDataByteOrderMSB", fields.get("ElementByteOrderMSB", "False"))[:1] in "Tt1"
    shape = volume_shape(_sizes(fields))
    name = fields[_LAST]
    is_local = name in _IN_THE_SAME_FILE
    stored = Stored(
        file if is_local else beside(file, name),
        shape,
        np.dtype(f"{'>' if is_big else '<'}{kind}"),
        start=end if is_local else 0,
        is_deflated=fields.get("CompressedData", "False")[:1] in "Tt1",
    )
    header_size = int(fields.get("HeaderSize", "0"))
    if header_size == 0 or (header_size == -1 and not stored.is_deflated):
        return stored if header_size == 0 else stored.at_end()
    if is_local or stored.is_deflated or header_size < 0:
        raise ContentError(f"its HeaderSize of {header_size} has no meaning here")
    return replace(stored, start=header_size)


def _sizes(fields: _Fields) -> list[int]:
    return [int(length) for length in fields.get("DimSize", "").split()]


def _unit(fields: _Fields) -> float:
    """The length of its unit in mm."""
    unit = fields.get(_UNITS, "mm")
    if unit not in _MM:
        raise ContentError(f"its {_UNITS} are {unit}: save it in mm")
    return _MM[unit]


def _number(fields: _Fields, key: str, default: float) -> float:
    found = _numbers(fields, (key,), 1)
    return default if found is None else float(found[0])


def _numbers(fields: _Fields, keys: tuple[str, ...], count: int) -> npt.NDArray[np.float64] | None:
    """The `count` numbers of the first key that is there; None if none is."""
    text = next((fields[key] for key in keys if key in fields), None)
    if text is None:
        return None
    found = np.array([float(part) for part in text.split()])
    if len(found) != count:
        raise ContentError(f"{keys[0]} needs {count} numbers, not {text}")
    return found
