"""A scan once its last slice is labelled, and why some output may not be made of it."""

from collections.abc import Mapping
from dataclasses import dataclass

from ctseg.errors import CtsegError
from ctseg.scan import Labels, Scan, Spacing
from ctseg_batch.network.engine import Engine

DICOM_ALONE = "it is made of DICOM series alone"
NO_FRAMES = "it refers to files of one slice, not to the frames of an enhanced CT"


@dataclass(frozen=True, eq=False)
class LabelledScan:
    """A scan with the masks (H, W) of its slices, but those that failed.

    `spacing` is what the files say, and somebody of the rest. `engine` has labelled it.
    """

    slices: Scan
    masks: Mapping[int, Labels]
    spacing: Spacing | None
    engine: Engine


class OutputUnavailable(CtsegError):  # noqa: N818 - no fault, but what a scan is like
    """An output can't be made of a scan, for the reason that is said."""


class OutputNotApplicable(OutputUnavailable):
    """The output is none of a scan of this kind of source."""
