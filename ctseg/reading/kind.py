"""What a file is to us: by its ending, and where it has none by its first bytes."""

from pathlib import Path
from typing import Literal

from ctseg.reading.files import check_regular, read_start
from ctseg.reading.signatures import SNIFFED, is_dicom, is_metaimage, is_nifti, is_nrrd, picture_format

Kind = Literal["dicom", "volume", "image"]

_ENDINGS: dict[str, Kind] = {
    **dict.fromkeys((".dcm", ".dicom", ".ima"), "dicom"),
    **dict.fromkeys((".nii", ".nii.gz", ".mha", ".mhd", ".nrrd", ".nhdr"), "volume"),
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".npy"), "image"),
}


def kind_of(path: Path) -> Kind | None:
    """Which reader a file belongs to; None for one that is none of ours.

    The ending decides, in any letter case. A file without one is sniffed, and so is one whose ending is a
    number: DICOM files are often named by their UID. Raises UnreadableFile for a file that is ours or has to be
    sniffed but is lost, locked or not a regular file; never blocks.
    """
    ending = _ending(path)
    if path.name.upper() == "DICOMDIR" or (ending and ending not in _ENDINGS):
        return None
    if ending:
        check_regular(path)
        return _ENDINGS[ending]
    return _sniffed(read_start(path, SNIFFED))


def _ending(path: Path) -> str:
    name = path.name.lower()
    ending = ".nii.gz" if name.endswith(".nii.gz") else path.suffix.lower()
    return "" if ending[1:].isdecimal() else ending


def _sniffed(start: bytes) -> Kind | None:
    if is_dicom(start):
        return "dicom"
    if is_nifti(start) or is_nrrd(start) or is_metaimage(start):
        return "volume"
    return "image" if picture_format(start) else None
