"""Which header reader a volume belongs to, by its first bytes, and which files it is made of."""

from pathlib import Path

from ctseg.errors import UnreadableFile
from ctseg.reading.files import ContentError, read_start
from ctseg.reading.metaimage_header import metaimage_data_file, read_metaimage_header
from ctseg.reading.nifti_header import read_nifti_header
from ctseg.reading.nrrd_header import nrrd_data_file, read_nrrd_header
from ctseg.reading.signatures import SNIFFED, is_metaimage, is_nrrd
from ctseg.reading.volume_header import VolumeHeader

_METAIMAGE_ENDINGS = (".mha", ".mhd")
_DETACHED_ENDINGS = (".mhd", ".nhdr", ".mha", ".nrrd")  # whatever they mean, both forms come under either


def read_volume_header(file: Path) -> VolumeHeader:
    """Read and check the header of a NIfTI, MetaImage or NRRD volume; raises UnreadableFile.

    The voxels are not read, but the file that holds them is long enough for them.
    """
    start = read_start(file, SNIFFED)
    if is_nrrd(start):
        header = read_nrrd_header(file)
    elif _is_metaimage(file, start):
        header = read_metaimage_header(file)
    else:
        header = read_nifti_header(file)
    header.stored.check_size()
    return header


def volume_files(file: Path) -> tuple[Path, ...]:
    """The file, and where its voxels lie beside it in another one, that too."""
    if file.suffix.lower() not in _DETACHED_ENDINGS:
        return (file,)
    try:
        start = read_start(file, SNIFFED)
        data = nrrd_data_file(file) if is_nrrd(start) else metaimage_data_file(file)
    except (UnreadableFile, ContentError):
        return (file,)  # it fails when it is opened
    return (file,) if data is None else (file, data)


def _is_metaimage(file: Path, start: bytes) -> bool:
    return is_metaimage(start) or file.suffix.lower() in _METAIMAGE_ENDINGS
