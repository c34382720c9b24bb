"""Read the header of a volume of any format, which its first bytes tell; and the files that a volume is made of."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from ctseg.errors import UnreadableFile
from ctseg.reading.files import ContentError, check_regular, read_start, refusing
from ctseg.reading.kind import DETACHED_ENDINGS
from ctseg.reading.metaimage_header import metaimage_data_file, read_metaimage_header
from ctseg.reading.nifti_header import read_nifti_header
from ctseg.reading.nrrd_header import nrrd_data_file, read_nrrd_header
from ctseg.reading.signatures import SNIFFED, is_metaimage, is_nrrd
from ctseg.reading.volume_header import VolumeHeader

_METAIMAGE_ENDINGS = (".mha", ".mhd")


def read_volume_header(file: Path) -> VolumeHeader:
    """Read and check the header of a NIfTI, MetaImage or NRRD volume; raises UnreadableFile.

    The voxels are not read, but their file is checked to be long enough.
    """
    stamp, start = check_regular(file), read_start(file, SNIFFED)
    if is_nrrd(start):
        form, read = "an NRRD", read_nrrd_header
    elif _is_metaimage(file, start):
        form, read = "a MetaImage", read_metaimage_header
    else:
        form, read = "a NIfTI", read_nifti_header
    damaged = f"has {form} header that is damaged"
    try:
        with refusing(file, damaged=damaged), np.errstate(all="ignore"):  # overflows are refused later
            header = read(file)
    except MemoryError as error:  # for the size that it claims
        raise UnreadableFile(file, damaged) from error
    apart = header.stored.file
    stored = replace(header.stored, stamp=stamp if apart == file else check_regular(apart))
    stored.check_size()
    return replace(header, stored=stored)


def volume_files(file: Path) -> tuple[Path, ...]:
    """The file, and the one beside it that holds its voxels, if they are apart."""
    if file.suffix.lower() not in DETACHED_ENDINGS:
        return (file,)
    try:
        start = read_start(file, SNIFFED)
        data = nrrd_data_file(file) if is_nrrd(start) else metaimage_data_file(file)
    except (UnreadableFile, ContentError):
        return (file,)  # it will fail when it is opened
    return (file,) if data is None else (file, data)


def _is_metaimage(file: Path, start: bytes) -> bool:
    return is_metaimage(start) or file.suffix.lower() in _METAIMAGE_ENDINGS
