"""The outputs of whole scans, made once the last slice is labelled: a label map, a DICOM Segmentation."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ctseg_batch.inputs.site import MOST_IN_A_STACK
from ctseg_batch.layout import DICOM_SEG, NIFTI, SCAN_ENDINGS
from ctseg_batch.outputs.dicom_seg import segmentation
from ctseg_batch.outputs.label_map import label_map
from ctseg_batch.outputs.label_tables import label_tables
from ctseg_batch.outputs.labelled_scan import DICOM_ALONE, LabelledScan


@dataclass(frozen=True, slots=True)
class ScanWriter:
    """A kind of output: its folder below OUT, and the function that makes the bytes of a scan's file.

    `encode` raises OutputUnavailable, and UnreadableFile for a source that can't be read again. `not_in_parts`: why it
    is not made of images that form no stack. `label_tables`: files that
    are written to the folder once, beside the scans.
    """

    folder: str
    encode: Callable[[LabelledScan], bytes]
    not_in_parts: str
    label_tables: Callable[[], Mapping[str, bytes]] = dict

    def path(self, scan_output: str) -> str:
        """A scan's file, below OUT."""
        return f"{self.folder}/{scan_output}{SCAN_ENDINGS[self.folder]}"


_STACKS_ALONE = f"images form a stack only with --spacing Z,Y,X, and only up to {MOST_IN_A_STACK} of them"

SCAN_WRITERS: Mapping[str, ScanWriter] = {
    "nifti": ScanWriter(NIFTI, label_map, _STACKS_ALONE, label_tables),
    "dicom-seg": ScanWriter(DICOM_SEG, segmentation, DICOM_ALONE),
}
