"""Whether the recorded result of a part still holds: what failed then is tried again, to see if it still fails."""

from collections.abc import Iterable, Sequence

from ctseg.errors import UnreadableFile
from ctseg.scan import Scan
from ctseg_batch.inputs.input_files import InputFiles
from ctseg_batch.inputs.site import Site
from ctseg_batch.outputs.outputs import Outputs
from ctseg_batch.parts.part import Part
from ctseg_batch.result import Failure, PartResult


class Recheck:
    """Checks the files of a part in OUT and, if something of it failed, its inputs."""

    def __init__(self, outputs: Outputs, input_files: InputFiles) -> None:
        self._outputs, self._input_files = outputs, input_files

    def is_sure(self, names: Iterable[str], scan_output: str, done: PartResult) -> bool:
        """Whether the result holds without a look at the inputs: nothing failed, and all files are in place."""
        if done.failed_slices or done.bad_truth or done.is_unmeasured:
            return False
        return self._outputs.are_complete(names) and self._outputs.is_scan_complete(scan_output, done)

    def holds(self, site: Site, part: Part, done: PartResult) -> bool:
        """Whether doing the part again would give the same result."""
        if done.scale and done.scale != part.scale:
            return False
        missing = [index for index, name in enumerate(part.mask_names) if not self._outputs.are_complete([name])]
        if done.is_unmeasured or (missing and len(missing) != done.failed_slices):
            return False
        if not self._outputs.is_scan_complete(part.scan_output, done):
            return False
        if not done.failed_slices and not done.bad_truth:
            return True
        self._input_files.fetch(site)
        try:
            return _fails_again(part, done, missing) and _truth_fails_again(part, done)
        finally:
            part.scan.close()


def _fails_again(part: Part, done: PartResult, missing: Sequence[int]) -> bool:
    """Whether none of the slices that failed can be read now."""
    if not done.failed_slices:
        return True
    if len(part.scan.files) < len(part.mask_names):  # one tells: none of a volume can be read without the others
        return not done.labelled and not _can_be_read(part.scan, 0)
    # Where nothing is written of a slice alone, nothing is missing: it may be any of a file with a failure.
    failed = {failure.file for failure in done.failures}
    doubtful = missing or [index for index, source in enumerate(part.sources) if source in failed]
    return sum(not _can_be_read(part.scan, index) for index in doubtful) == done.failed_slices


def _truth_fails_again(part: Part, done: PartResult) -> bool:
    """Whether the truth has the same faults: it may have been unreachable, which leaves size and time as they are."""
    truth, left = part.truth, set(done.bad_truth)
    if not left or truth is None:
        return True
    files = {index: file for index in range(len(part.mask_names)) if (file := truth.find(index))}
    named = {failure.file for failure in left}
    # None of them is named where it is the voxels beside a header that could not be read.
    for index in [index for index, file in files.items() if str(file) in named] or files:
        try:
            truth.grouped(index, part.scan)
        except UnreadableFile as error:
            left.discard(Failure(str(error.file), error.reason))
            if not left:
                return True
        except Exception:  # noqa: BLE001 - whatever it does to a library
            return True  # it can't be told, and what was done is not put at risk
    return False


def _can_be_read(scan: Scan, index: int) -> bool:
    try:
        scan.read(index)
    except Exception:  # noqa: BLE001 - whatever failed it in the run, fails it here
        return False
    return True
