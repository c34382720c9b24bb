"""A labelled scan, and the errors for outputs that can't be made of it."""

from collections.abc import Mapping
from dataclasses import dataclass

from ctseg.classes import Labels
from ctseg.errors import CtsegError
from ctseg.scan import Scan
from ctseg.spacing import Spacing
from ctseg_batch.network.engine import Engine

DICOM_ALONE = "it can only be made from a DICOM series"
NO_FRAMES = "it refers to single-slice files, not to the frames of an enhanced CT"


@dataclass(frozen=True, eq=False)
class LabelledScan:
    """A scan with the masks (H, W) of its slices by index, without those that failed.

    `spacing` is from the files or, as far as they leave it open, from the call. `engine` has labelled it.
    """

    scan: Scan
    masks: Mapping[int, Labels]
    spacing: Spacing | None
    engine: Engine


class OutputUnavailable(CtsegError):  # noqa: N818 - no fault, but what a scan is like
    """An output can't be made of a scan, for the given reason."""


class OutputNotApplicable(OutputUnavailable):
    """The output does not exist for this kind of source."""
