"""A NumPy array as a scan: a slice, or a stack of slices."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ctseg.errors import CallError, unforeseen
from ctseg.reading.values import Scale, as_slice, glance_at, scale_of
from ctseg.scan import Slice, WithoutGeometry

_COLOURS = (3, 4)


@dataclass(frozen=True, slots=True)
class ArrayScan(WithoutGeometry):
    """An array (slices, H, W); `is_stack`: its slices lie one on the other.

    As for files, uint8 is grey as it is, and anything else goes by the `scale` of the whole array.
    """

    values: npt.NDArray[Any]
    is_stack: bool
    scale: Scale

    @property
    def files(self) -> tuple[Path, ...]:
        """Empty: an array comes from no file."""
        return ()

    def __len__(self) -> int:
        return len(self.values)

    def read(self, index: int) -> Slice:
        """The slice at `index`."""
        return as_slice(self.values[index], self.scale)


def scan_of(array: npt.ArrayLike) -> ArrayScan:
    """An array (H, W) or (slices, H, W) as a scan; raises CallError for anything else."""
    try:
        values = np.asarray(array)
    except Exception as error:  # ragged lists, tensors on a GPU: each library has errors of its own
        raise CallError(
            f"a {type(array).__name__} that is not an array ({unforeseen(error)}): give one of numbers"
        ) from error
    if np.ma.is_masked(array):
        raise CallError(
            "a masked array has pixels without a value: fill it first, for example with array.filled(-1000)"
        )
    if values.dtype.kind == "O":
        raise CallError(f"a {type(array).__name__} that is not an array of numbers: give its path, or an array")
    if values.dtype.kind not in "buif":
        raise CallError(f"an array of {values.dtype} holds no pixels: give numbers, Hounsfield units or grey values")
    if values.ndim not in (2, 3):
        cure = ": give SimpleITK.GetArrayFromImage(image)" if type(array).__module__.startswith("SimpleITK") else ""
        raise CallError(
            f"an array of shape {values.shape} is neither one slice (H, W) nor a stack (slices, H, W){cure}"
        )
    if not values.size:
        raise CallError(f"an array of shape {values.shape} is empty")
    if values.ndim == 3 and values.shape[2] in _COLOURS:
        raise CallError(f"an array of shape {values.shape} looks like a colour picture: convert it to grey first")
    if values.ndim == 3 and values.shape[2] == 1 < values.shape[1]:
        raise CallError(f"an array of shape {values.shape} has its channels last: give array[..., 0]")
    stack = values[np.newaxis] if values.ndim == 2 else values
    try:
        return ArrayScan(stack, values.ndim == 3, scale_of(list(map(glance_at, stack))))
    except ValueError as error:
        raise CallError(f"the array can't be used: {error}") from error
