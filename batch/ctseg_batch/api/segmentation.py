"""The result of a Segmenter."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ctseg.classes import LESION, LUNG, Labels
from ctseg.confidence import Confidence
from ctseg.printable import count, decimals
from ctseg.scan import Scan
from ctseg.spacing import Spacing
from ctseg.turn import Side
from ctseg_batch.outputs.overlay import as_shown, overlay

Picture = npt.NDArray[np.uint8]
"""(H, W, 3), channels red, green, blue, as matplotlib and Pillow have them."""


@dataclass(frozen=True, slots=True, eq=False)
class Segmentation:
    """The labels of a scan, and its measures.

    `labels` are (slices, H, W), or (H, W) of an array (H, W) or of an image given by its path: 0 background, 1 normal
    lung, 2 ground glass, 3 consolidation. Slices run from the feet up, those of images in the order of their names; a
    volume's are turned front up, the patient's right on the left, all others lie as they are stored. `measures` is the
    scan's entry in summary.json, described in docs/summary.md. `confidence`, where it was asked for, is as large as
    `labels`: how probable the winning class is, in 1/255. `device` and `precision` say what computed it.
    """

    name: str
    labels: Labels
    measures: Mapping[str, Any]
    device: str
    precision: str
    confidence: Confidence | None
    _scan: Scan

    @property
    def spacing_mm(self) -> Spacing | None:
        """From slice to slice, row to row, column to column; None if unknown."""
        known = self.measures["spacing_mm"]
        return None if known is None else (known[0], known[1], known[2])

    @property
    def volumes_ml(self) -> Mapping[str, float] | None:
        """Of `normal_lung`, `ground_glass`, `consolidation`; None without a spacing."""
        volumes: Mapping[str, float] | None = self.measures["volumes_ml"]
        return volumes

    @property
    def lung_ml(self) -> float | None:
        """The three together."""
        lung: float | None = self.measures["lung_ml"]
        return lung

    @property
    def involvement_percent(self) -> float | None:
        """Ground glass and consolidation as a share of the lung; None without any lung."""
        share: float | None = self.measures["involvement_percent"]
        return share

    @property
    def patients_right(self) -> Side | None:
        """On which side of `labels` the patient's right is: left, right, top or bottom; None if unknown."""
        return self._scan.patients_right

    @property
    def flags(self) -> tuple[str, ...]:
        """What makes a number doubtful, in words."""
        return tuple(self.measures["flags"])

    @property
    def native_labels(self) -> Labels:
        """The labels in a volume file's own order of axes, as nibabel and pynrrd have it; `labels` of anything else."""
        from ctseg.reading.volume import Volume

        return self._scan.grid().to_native(self.labels) if isinstance(self._scan, Volume) else self.labels

    def overlay(self, index: int | None = None) -> Picture:
        """A slice (H, W, 3) in RGB, with its classes in colour, and a legend below.

        Without an `index`, the slice with most disease, or else with most lung. Reads the slice again: raises
        UnreadableFile where that is not possible any more, and IndexError where there is no such slice.
        """
        stack = self.labels if self.labels.ndim == 3 else self.labels[np.newaxis]
        if index is not None and not -len(stack) <= index < len(stack):
            raise IndexError(f"{self.name} has no slice {index}: it has {count(len(stack), 'slice')}")
        shown_index = _most_telling(stack) if index is None else range(len(stack))[index]
        try:
            shown = as_shown(self._scan.read(shown_index), self.measures["window_hu"])
        finally:
            self._scan.close()
        drawn = overlay(shown, stack[shown_index])
        return np.ascontiguousarray(drawn[:, :, ::-1])

    def __repr__(self) -> str:
        size = " x ".join(map(str, self.labels.shape))
        lung = "" if self.lung_ml is None else f", lung {decimals(self.lung_ml, 0)} mL"
        share = "" if self.involvement_percent is None else f", {decimals(self.involvement_percent, 1)} % involved"
        return f"<Segmentation of {self.name}: {size}{lung}{share}>"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ConfidentSegmentation(Segmentation):
    """A Segmentation that knows how sure the model is of each pixel."""

    confidence: Confidence


def _most_telling(stack: Labels) -> int:
    """The slice with most disease, then with most lung."""
    lesion, lung = (np.isin(stack, [c.index for c in classes]).sum(axis=(1, 2)) for classes in (LESION, LUNG))
    return int(np.lexsort((lung, lesion))[-1])
