"""What is written of a scan as a whole, once its last slice is labelled: a label map, a DICOM Segmentation."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from ctseg.scan import Spacing
from ctseg.stages import stage
from ctseg_batch.outputs.labelled_scan import DICOM_ALONE, LabelledScan
from ctseg_batch.outputs.output_files import OutputFiles
from ctseg_batch.result import LeftOut, PartResult


@dataclass(frozen=True, slots=True)
class ScanWriter:
    """A kind of output: the folder below OUT, what a file's name ends in, and the bytes of a scan's file.

    `encode` raises OutputUnavailable; UnreadableFile for a source that can't be read once more. `not_in_parts` says why
    there is none of images that are no stack. `tables`: files that lie in the folder once.
    """

    folder: str
    ending: str
    encode: Callable[[LabelledScan], bytes]
    not_in_parts: str
    tables: Callable[[], Mapping[str, bytes]] = dict


def _nifti(scan: LabelledScan) -> bytes:
    from ctseg_batch.outputs.label_map import label_map

    return label_map(scan)


def _label_tables() -> Mapping[str, bytes]:
    from ctseg_batch.outputs.label_tables import label_tables

    return label_tables()


def _dicom_seg(scan: LabelledScan) -> bytes:
    from ctseg_batch.outputs.dicom_seg import segmentation

    return segmentation(scan)


_STACKS_ALONE = "images are a stack with --spacing Z,Y,X alone, and at most 4096 of them"

SCAN_WRITERS: Mapping[str, ScanWriter] = {
    "nifti": ScanWriter("nifti", ".nii.gz", _nifti, _STACKS_ALONE, _label_tables),
    "dicom-seg": ScanWriter("dicom-seg", ".dcm", _dicom_seg, DICOM_ALONE),
}


class ScanOutputs:
    """The files of whole scans of one run. A scan's are called after its path below OUT, without an ending."""

    def __init__(self, output_files: OutputFiles, kinds: Iterable[str], spacing: Spacing | None) -> None:
        """`spacing` is what somebody says of scans whose files do not."""
        self._output_files = output_files
        self._writers = {kind: SCAN_WRITERS[kind] for kind in kinds if kind in SCAN_WRITERS}
        self.stack_images = "nifti" in self._writers and spacing is not None

    @property
    def kinds(self) -> tuple[str, ...]:
        """Those that are wanted."""
        return tuple(self._writers)

    @property
    def folders(self) -> tuple[str, ...]:
        """Where files go, below OUT."""
        return tuple(writer.folder for writer in self._writers.values())

    def begin(self) -> None:
        """Write what lies beside the scans' files once; raises CallError."""
        tables = {f"{w.folder}/{name}": content for w in self._writers.values() for name, content in w.tables().items()}
        for file, content in tables.items():
            self._output_files.write(file, content)
        if tables:
            self._output_files.keep(tables)

    def write(self, kind: str, path: str, scan: LabelledScan) -> None:
        """Make and write a file; raises OutputUnavailable, UnreadableFile, CallError where OUT can't be written."""
        with stage("encode"):
            content = self._writers[kind].encode(scan)
        self._output_files.write(self._file(kind, path), content)

    def left_out_in_parts(self) -> list[LeftOut]:
        """What becomes of images that are no stack."""
        return [LeftOut(kind, writer.not_in_parts) for kind, writer in self._writers.items()]

    def files(self, path: str) -> list[str]:
        """Those of a scan, below OUT."""
        return [self._file(kind, path) for kind in self.kinds]

    def remove(self, path: str, kinds: Iterable[str]) -> None:
        """Take a scan's files of some kinds away, if there are any; raises CallError where that is forbidden."""
        for kind in kinds:
            self._output_files.remove(self._file(kind, path))

    def is_any_there(self, paths: Iterable[str], kinds: Sequence[str]) -> bool:
        """Whether there is any file of these kinds of any of these scans."""
        return any(self._output_files.is_there(self._file(kind, path)) for path in paths for kind in kinds)

    def are_there(self, path: str, result: PartResult) -> bool:
        """Whether all files are in place that were made when a scan came to this result."""
        if result.failed_slices == result.slices:
            return True
        made = set(self.kinds) - {one.kind for one in result.left_out}
        return all(self._output_files.is_there(self._file(kind, path)) for kind in made)

    def _file(self, kind: str, path: str) -> str:
        writer = SCAN_WRITERS[kind]
        return f"{writer.folder}/{path}{writer.ending}"
