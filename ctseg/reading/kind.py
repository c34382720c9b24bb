"""Which reader a file belongs to: by its ending or, without one, by its first bytes."""

import re
from pathlib import Path
from typing import Literal

from ctseg.reading.files import check_regular, read_start
from ctseg.reading.signatures import (
    LONGEST_HEADER,
    SNIFFED,
    is_bare_dicom,
    is_dicom,
    is_metaimage,
    is_nifti,
    is_nrrd,
    picture_format,
)

Kind = Literal["dicom", "volume", "image"]

_ENDINGS: dict[str, Kind] = {
    **dict.fromkeys((".dcm", ".dicom", ".ima"), "dicom"),
    **dict.fromkeys((".nii", ".nii.gz", ".mha", ".mhd", ".nrrd", ".nhdr"), "volume"),
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".npy"), "image"),
}

READABLE = ", ".join(("DICOM", *(ending for ending, kind in _ENDINGS.items() if kind == "volume"), ".npy or images"))
"""What is read, for people."""

_LIKE_A_FORMAT = re.compile(r"\.([a-z]{1,8}|[a-z]{1,3}[0-9]|7z|nii\.gz)")
_LEFT_BY_PROGRAMS = re.compile(r"\..*|.*~")

_HEADERS, _OFTEN_WHOLE = (".mhd", ".nhdr"), (".mha", ".nrrd")

DICOMDIR = "DICOMDIR"
"""The name of the file on a disk that lists its DICOM files."""

APPLE_DOUBLE = "._"
"""The prefix of files that macOS leaves beside others on a network share: same name and ending, but no image."""

DETACHED_ENDINGS = (*_HEADERS, *_OFTEN_WHOLE)
"""Endings of volumes whose voxels may be in a file beside the header; each of them occurs for both forms."""


def kind_of(path: Path) -> Kind | None:
    """Which reader a file belongs to; None for a file of another kind.

    The ending decides, in any case. The first bytes decide for a file without one, or whose ending is a number, as
    DICOM files are often named by their UID; and whether a file is DICOM whose ending is like no format's, as of
    `Doe.J_CT_0001`. Raises UnreadableFile if a file that may be read is missing, locked or not a regular file; never
    blocks.
    """
    kind = kind_by_name(path.name)
    if kind == "unknown":
        return kind_by_start(path.name, read_start(path, SNIFFED))
    if kind is not None:
        check_regular(path)
    return kind


def kind_by_name(name: str) -> Kind | Literal["unknown"] | None:
    """The same by the name alone; `unknown` if that is not enough."""
    ending = ending_of(name)
    if name.upper() == DICOMDIR or name.startswith(APPLE_DOUBLE):
        return None
    if ending in _ENDINGS:
        return _ENDINGS[ending]
    return None if format_ending(name) or (ending and _LEFT_BY_PROGRAMS.fullmatch(name)) else "unknown"


def stem_of(name: str) -> str:
    """A file name without its ending, if that is a known one; a number at the end belongs to the name, as in a UID."""
    ending = ending_of(name)
    return name[: -len(ending)] if ending in _ENDINGS else name


def ending_of(name: str) -> str:
    """The ending of a file name in lower case, with its dot; empty for none, and for a number."""
    ending = ".nii.gz" if name.lower().endswith(".nii.gz") else Path(name).suffix.lower()
    return "" if ending[1:].isdecimal() else ending


def format_ending(name: str) -> str:
    """The ending of a file name, if it looks like that of a format; else empty."""
    ending = ending_of(name)
    return ending if _LIKE_A_FORMAT.fullmatch(ending) else ""


def kind_by_start(name: str, start: bytes) -> Kind | None:
    """The same as `kind_of`, for an `unknown` name and by the first SNIFFED bytes of the file."""
    if is_dicom(start) or is_bare_dicom(start):
        return "dicom"
    if ending_of(name):
        return None
    if is_nifti(start) or is_nrrd(start) or is_metaimage(start):
        return "volume"
    return "image" if picture_format(start) else None


def may_be_detached(name: str, size: int) -> bool:
    """Whether a volume of this name and size may be only a header; a longer `.mha` or `.nrrd` holds its voxels."""
    name = name.lower()
    return name.endswith(_HEADERS) or (name.endswith(_OFTEN_WHOLE) and size <= LONGEST_HEADER)
