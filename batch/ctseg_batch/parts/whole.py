"""The outputs of a whole scan: its masks are held until the last one is written, then the files are made."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from ctseg import flags
from ctseg.classes import Labels
from ctseg.errors import CallError
from ctseg.spacing import Spacing
from ctseg_batch.network.engine import Engine
from ctseg_batch.outputs.labelled_scan import LabelledScan, OutputNotApplicable, OutputUnavailable
from ctseg_batch.outputs.outputs import Outputs
from ctseg_batch.parts.part import Part
from ctseg_batch.parts.workers import Countdown, Workers
from ctseg_batch.result import Failure, LeftOut, PartResult, reason_of


class WholeScan:
    """Makes the outputs of one whole scan; holds nothing and does nothing where the run writes none."""

    def __init__(self, part: Part, outputs: Outputs) -> None:
        self._part, self._outputs = part, outputs
        self._masks: dict[int, Labels] = {}
        self._made: set[str] = set()
        self._left_out: set[LeftOut] = set()
        self._flags: set[str] = set()
        self._failures: set[Failure] = set()

    def hold(self, index: int, labels: Labels) -> None:
        """Keep the mask of a slice that was written."""
        if self._outputs.scan_kinds and self._part.is_whole:
            self._masks[index] = labels

    def make(self, workers: Workers, spacing: Spacing | None, engine: Engine, ended: Callable[[], None]) -> None:
        """From within a task: have the workers make each output, then call `ended`.

        `spacing` and `engine` are as in LabelledScan. If no slice has a mask, outputs of an earlier run are removed.
        """
        kinds = self._outputs.scan_kinds
        if not self._masks:
            self._outputs.remove_scan(self._part.scan_output, kinds)
            if not self._part.is_whole:
                self._left_out.update(self._outputs.left_out_in_parts())
            ended()
            return
        labelled, left = LabelledScan(self._part.scan, self._masks, spacing, engine), Countdown(len(kinds))
        self._masks = {}
        for kind in kinds:
            workers.add_next(partial(self._make, kind, labelled, left, ended))

    def added_to(self, result: PartResult) -> PartResult:
        """The scan's figures, with the flags and failures of its outputs."""
        failed = [flags.FAILED_ARE_BACKGROUND] if result.failed_slices and "nifti" in self._made else []
        return replace(
            result,
            flags=(*result.flags, *failed, *sorted(self._flags)),
            failures=tuple(sorted({*result.failures, *self._failures})),
            left_out=tuple(sorted(self._left_out)),
            scan_output=self._part.scan_output if self._outputs.scan_kinds else "",
        )

    def _make(self, kind: str, labelled: LabelledScan, left: Countdown, ended: Callable[[], None]) -> None:
        """Make one output; if it can't be made, the one of an earlier run is removed."""
        try:
            self._outputs.write_scan(kind, self._part.scan_output, labelled)
            self._made.add(kind)
        except CallError:
            raise
        except OutputUnavailable as error:
            self._left_out.add(LeftOut(kind, str(error)))
            if not isinstance(error, OutputNotApplicable):
                self._flags.add(flags.no_output(kind, str(error)))
        except Exception as error:  # noqa: BLE001 - whatever one scan does to a library, the others are done
            self._failures.add(Failure(self._part.sources[0], flags.no_output(kind, reason_of(error))))
        if kind not in self._made:
            self._outputs.remove_scan(self._part.scan_output, [kind])
        if left.done():
            ended()
