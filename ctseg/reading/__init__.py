"""Readers for DICOM series, volumes, folders of image slices, and masks.

Each reader is loaded when it is first used, so that pydicom, nibabel and pynrrd do not slow the start.
"""

import importlib
from typing import TYPE_CHECKING, Any

from ctseg.reading.kind import Kind, kind_of

if TYPE_CHECKING:
    from ctseg.reading.dicom_series import open_series
    from ctseg.reading.images import open_images
    from ctseg.reading.mask_volumes import read_mask_volume
    from ctseg.reading.masks import read_mask
    from ctseg.reading.volume import open_volume
    from ctseg.reading.volume_formats import volume_files

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

_MODULES = {
    "open_images": "images",
    "open_series": "dicom_series",
    "open_volume": "volume",
    "read_mask": "masks",
    "read_mask_volume": "mask_volumes",
    "volume_files": "volume_formats",
}


def __getattr__(name: str) -> Any:
    """Load a reader."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *_MODULES]
