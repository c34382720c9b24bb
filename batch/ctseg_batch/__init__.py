"""Segmentation of chest CT: in a program with `Segmenter`, over folders with `ctseg batch`.

    import ctseg_batch

    segment = ctseg_batch.Segmenter()
    result = segment("ct.nii.gz")
    print(result.volumes_ml, result.involvement_percent)

The data of a run pass `inputs` -> `parts` (through `network` to `outputs`, recorded in the `journal`) -> `figures` ->
`terminal`. `job`, `run` and `work` connect these; `commands` are the interface of the shell, `api` that of programs.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ctseg.errors import CallError, CtsegError, DeviceError, ModelError, UnreadableFile
    from ctseg_batch.api.scans import NamedScan
    from ctseg_batch.api.segmentation import ConfidentSegmentation, Segmentation
    from ctseg_batch.api.segmenter import Segmenter

__all__ = [
    "CallError",
    "ConfidentSegmentation",
    "CtsegError",
    "DeviceError",
    "ModelError",
    "NamedScan",
    "Segmentation",
    "Segmenter",
    "UnreadableFile",
]

_MODULES = {
    "ConfidentSegmentation": "ctseg_batch.api.segmentation",
    "NamedScan": "ctseg_batch.api.scans",
    "Segmentation": "ctseg_batch.api.segmentation",
    "Segmenter": "ctseg_batch.api.segmenter",
}


def __getattr__(name: str) -> Any:
    """Load a name when it is used: the command's help does not wait for the network."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES.get(name, "ctseg.errors")), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
