"""What a file is to us: by its ending, and where it has none by its first bytes."""

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

_HEADERS, _OFTEN_WHOLE = (".mhd", ".nhdr"), (".mha", ".nrrd")

APPLE_DOUBLE = "._"
"""What macOS leaves beside each file on a foreign share: the file's name and ending, but no image."""

DETACHED_ENDINGS = (*_HEADERS, *_OFTEN_WHOLE)
"""Of volumes whose voxels may lie in a file beside their header: whatever they mean, both forms come under either."""


def kind_of(path: Path) -> Kind | None:
    """Which reader a file belongs to; None for one that is none of ours.

    The ending decides, in any letter case. A file without one is sniffed, and so is one whose ending is a
    number: DICOM files are often named by their UID. Raises UnreadableFile for a file that is ours or has to be
    sniffed but is lost, locked or not a regular file; never blocks.
    """
    kind = kind_by_name(path.name)
    if kind == "untold":
        return kind_by_start(read_start(path, SNIFFED))
    if kind is not None:
        check_regular(path)
    return kind


def kind_by_name(name: str) -> Kind | Literal["untold"] | None:
    """The same by the name alone, which may not tell."""
    ending = ending_of(name)
    if name.upper() == "DICOMDIR" or name.startswith(APPLE_DOUBLE):
        return None
    return _ENDINGS.get(ending) if ending else "untold"


def stem_of(name: str) -> str:
    """A file name without its ending, if that is one of ours; a number at the end belongs to the name, as in a UID."""
    ending = ending_of(name)
    return name[: -len(ending)] if ending in _ENDINGS else name


def ending_of(name: str) -> str:
    """The ending of a file name in small letters, with its point; empty for none, and for a number."""
    ending = ".nii.gz" if name.lower().endswith(".nii.gz") else Path(name).suffix.lower()
    return "" if ending[1:].isdecimal() else ending


def kind_by_start(start: bytes) -> Kind | None:
    """The same by the first SNIFFED bytes of a file."""
    if is_dicom(start) or is_bare_dicom(start):
        return "dicom"
    if is_nifti(start) or is_nrrd(start) or is_metaimage(start):
        return "volume"
    return "image" if picture_format(start) else None


def may_be_detached(name: str, size: int) -> bool:
    """Whether a volume of this name and size may be a header alone; a longer one under an ending of both is whole."""
    name = name.lower()
    return name.endswith(_HEADERS) or (name.endswith(_OFTEN_WHOLE) and size <= LONGEST_HEADER)
