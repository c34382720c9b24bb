"""What a run would write, kept in memory."""

import numpy as np

from ctseg.classes import Labels
from ctseg.confidence import Confidence
from ctseg.errors import CallError
from ctseg_batch.outputs.outputs import NoOutputs
from ctseg_batch.outputs.slice_outputs import LabelledSlice, Need


class Kept(NoOutputs):
    """Keeps the labels in memory, which a run would write, and what else is `wanted`."""

    def __init__(self, *wanted: Need) -> None:
        super().__init__()
        self._wanted = wanted
        self._labelled: dict[str, LabelledSlice] = {}

    def needs(self, what: Need) -> bool:
        """Whether this is wanted."""
        return what in self._wanted

    def write(self, name: str, labelled: LabelledSlice) -> None:
        """Keep a slice."""
        self._labelled[name] = labelled

    def stacked(self) -> tuple[Labels, Confidence | None]:
        """Labels and confidence, (slices, H, W) each; raises CallError if the slices are of several sizes."""
        slices = [self._labelled[name] for name in sorted(self._labelled)]
        sizes = dict.fromkeys(" x ".join(map(str, one.labels.shape)) for one in slices)
        if len(sizes) > 1:
            raise CallError(f"the slices are of several sizes ({', '.join(sizes)}): segment them one at a time")
        sure = [one.confidence for one in slices if one.confidence is not None]
        return np.stack([one.labels for one in slices]), np.stack(sure) if sure else None
