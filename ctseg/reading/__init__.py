"""Reading what hospitals and data sets have: DICOM series, volumes, folders of image slices, masks.

The readers load when they are called: pydicom, nibabel, pynrrd and imagecodecs are no part of starting up.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ctseg.reading.kind import Kind, kind_of
from ctseg.scan import Labels, Scan

if TYPE_CHECKING:
    from ctseg.reading.dicom_series import SeriesFound
    from ctseg.reading.images import ImageFolder
    from ctseg.reading.volume import Volume

__all__ = [
    "Kind",
    "kind_of",
    "open_images",
    "open_series",
    "open_volume",
    "read_mask",
    "read_mask_volume",
    "volume_files",
]


def open_images(files: Sequence[Path], scaled_by: Sequence[Path] = ()) -> "ImageFolder":
    """Image slices as a scan, in the order given; nothing is opened before `read`.

    `scaled_by`: of a folder that is opened in parts, the files that tell for all whether they are HU or grey.
    """
    from ctseg.reading.images import ImageFolder

    return ImageFolder(tuple(files), tuple(scaled_by))


def open_volume(file: Path) -> "Volume":
    """A NIfTI, MetaImage or NRRD file as a scan; reads the header, the voxels come with the first `read`.

    Raises UnreadableFile.
    """
    from ctseg.reading.volume import Volume

    return Volume(file)


def open_series(files: Sequence[Path]) -> "SeriesFound":
    """The DICOM series among `files`, and the stacks of enhanced objects, each a scan; what is none, what failed."""
    from ctseg.reading.dicom_series import find_series

    return find_series(files)


def read_mask(file: Path) -> Labels:
    """A label image (H, W), read exactly; raises UnreadableFile."""
    from ctseg.reading import masks

    return masks.read_mask(file)


def read_mask_volume(file: Path, scan: Scan | None = None) -> Labels:
    """A volume file of labels, (slices, H, W), turned as `open_volume` turns a scan; raises UnreadableFile.

    With the `scan` that they are of, turned as its slices are; raises UnreadableFile also where the two don't lie one
    on the other.
    """
    from ctseg.reading import mask_volumes

    return mask_volumes.read_mask_volume(file, scan)


def volume_files(file: Path) -> tuple[Path, ...]:
    """The files that a volume is made of: itself, and the one beside it that its header says holds the voxels."""
    from ctseg.reading import volume_formats

    return volume_formats.volume_files(file)
