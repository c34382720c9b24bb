"""The way of a part through the workers: of each slice from file to mask, and of the part to its figures.

A slice is read, prepared and put through the network (`network.engine`), restored to its own size, cleaned up, alone
and then in its stack, written (`outputs`) and counted (`tally`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

from ctseg.classes import Labels
from ctseg.cleanup import Cleanup, clean_slice, clean_volume
from ctseg.confidence import Confidence, restore_confidence, winning_probability
from ctseg.datasets.mask_meaning import MaskMeaning
from ctseg.errors import CallError, UnreadableFile
from ctseg.model import LOGITS, OUTPUT
from ctseg.prepare import restore
from ctseg.scan import Slice
from ctseg.spacing import Spacing, completed, pixel_aspect
from ctseg.stages import stage
from ctseg.window import Window
from ctseg_batch.choices import MeasuresChoice
from ctseg_batch.network.engine import Inferred
from ctseg_batch.network.fallback import FallbackEngine
from ctseg_batch.outputs.outputs import Outputs
from ctseg_batch.outputs.overlay import Grey, as_shown
from ctseg_batch.outputs.slice_outputs import LabelledSlice
from ctseg_batch.parts.part import Part
from ctseg_batch.parts.tally import Tally
from ctseg_batch.parts.whole import WholeScan
from ctseg_batch.parts.workers import Countdown, Workers
from ctseg_batch.result import PartResult, reason_of


@dataclass(frozen=True)
class PartContext:
    """What the parts of a run share.

    `meaning` is that of the truth. `spacing` is used where files do not give theirs, `window` for 8-bit slices;
    `batch_size` slices go through the network at once.
    """

    workers: Workers
    engine: FallbackEngine
    outputs: Outputs
    meaning: MaskMeaning | None
    spacing: Spacing | None
    batch_size: int = 1
    measures: MeasuresChoice = "basic"
    window: Window | None = None

    def label(self, sources: Sequence[Slice]) -> list[LabelledSlice]:
        """Label some slices, and keep of each what the outputs are made of."""
        greys = [self._grey(source) for source in sources]
        outputs = [OUTPUT, LOGITS] if self.outputs.needs("confidence") else [OUTPUT]
        inferred = zip(self.engine.infer(sources, outputs), greys, strict=True)
        return [LabelledSlice(mask_of(one), grey, confidence_of(one), one.undo.turn) for one, grey in inferred]

    def _grey(self, source: Slice) -> Grey | None:
        if not self.outputs.needs("grey"):
            return None
        with stage("encode"):
            return as_shown(source)


class PartWork:
    """One part on its way through the workers. Each slice is written as soon as it is labelled.

    `advanced` is called after each slice, `ended` with the figures of the part once its last file is in place.
    """

    def __init__(
        self, part: Part, context: PartContext, advanced: Callable[[], None], ended: Callable[[PartResult], None]
    ) -> None:
        self._part, self._context, self._advanced, self._ended = part, context, advanced, ended
        self._spacing = completed(part.scan.lengths_mm, context.spacing)
        self._tally = Tally(part, context.meaning, context.measures if self._spacing else "basic")
        self._whole = WholeScan(part, context.outputs)
        self._count = len(part.mask_names)
        self._left = Countdown(self._count)
        self._lost: str | None = None

    def start(self) -> None:
        """Hand the slices to the workers; returns when the last one is queued."""
        step = self._context.batch_size
        for first in range(0, self._count, step):
            self._context.workers.add(partial(self._take, range(first, min(first + step, self._count))))

    def _take(self, indices: Sequence[int]) -> None:
        """Read, label and keep a batch of slices: a worker's task."""
        for index, labelled in self._read_and_label(indices).items():
            self._keep(index, labelled)
        for _ in indices:
            self._advanced()
        if self._left.done(len(indices)):
            self._complete()

    def _keep(self, index: int, labelled: LabelledSlice) -> None:
        """Write the files of a slice and count its pixels."""
        with self._failing(index):
            self._context.outputs.write(self._part.mask_names[index], labelled)
            self._tally.add(index, labelled.labels)
            self._whole.hold(index, labelled.labels)

    def _complete(self) -> None:
        """All slices are kept: make the outputs of the whole scan, then end."""
        self._whole.make(self._context.workers, self._spacing, self._context.engine.current, self._end)

    def _read_and_label(self, indices: Sequence[int]) -> dict[int, LabelledSlice]:
        """The slices that could be read and labelled; of the others, outputs of an earlier run are removed."""
        sources = {}
        for index in indices:
            with self._failing(index):
                sources[index] = self._read(index)
        checked = {}
        for index, labelled in self._label(sources).items():
            with self._failing(index):
                self._tally.look(index, sources[index], labelled.labels)
                checked[index] = labelled
        return checked

    def _label(self, sources: Mapping[int, Slice]) -> dict[int, LabelledSlice]:
        """Label slices all at once or, where that fails, one by one."""
        try:
            return dict(zip(sources, self._context.label(list(sources.values())), strict=True))
        except Exception:  # noqa: BLE001 - one by one, each has a reason of its own, or none
            labelled = {}
            for index, source in sources.items():
                with self._failing(index):
                    (labelled[index],) = self._context.label([source])
            return labelled

    def _read(self, index: int) -> Slice:
        if self._lost:
            raise UnreadableFile(self._part.scan.files[0], self._lost)
        try:
            source = self._part.scan.read(index)
        except (UnreadableFile, MemoryError) as error:
            if len(self._part.scan.files) < self._count:  # a file with all slices need not be tried again for each
                self._lost = reason_of(error)
            raise
        if self._context.window:
            source = source.in_window(self._context.window)
        return replace(source, aspect=pixel_aspect(self._spacing)) if self._spacing else source

    @contextmanager
    def _failing(self, index: int) -> Iterator[None]:
        """Turn any error into the failure of this slice, except that OUT can't be written: that ends the run."""
        try:
            yield
        except CallError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever one slice does to a library, the others are done
            self._fail(index, reason_of(error))

    def _fail(self, index: int, reason: str) -> None:
        self._context.outputs.remove([self._part.mask_names[index]])
        self._tally.fail(index, reason)

    def _end(self) -> None:
        scan, context, engine = self._part.scan, self._context, self._context.engine.current
        stack = scan.is_stack or self._spacing is not None
        scan.close()
        result = self._tally.result(self._spacing, stack, engine.device, engine.spec.precision)
        context.workers.add_waiting(partial(self._last, self._whole.added_to(result)))

    def _last(self, result: PartResult) -> None:
        """Make sure that the files outlast a crash before the part is noted as done."""
        labelled = [self._part.mask_names[index] for index in self._tally.labelled]
        outputs = self._context.outputs
        outputs.dropped.take_away(labelled, self._part.scan_output)
        outputs.sync(labelled, self._part.scan_output)
        self._ended(result)


class StackWork(PartWork):
    """A stack: its slices are held until all are labelled, since the 3-D clean-up needs the whole of it."""

    def __init__(
        self, part: Part, context: PartContext, advanced: Callable[[], None], ended: Callable[[PartResult], None]
    ) -> None:
        super().__init__(part, context, advanced, ended)
        self._held: dict[int, LabelledSlice] = {}

    def _keep(self, index: int, labelled: LabelledSlice) -> None:
        self._held[index] = labelled

    def _complete(self) -> None:
        """All slices are labelled: clean the stack up, then have the workers keep its slices."""
        held, self._held = dict(sorted(self._held.items())), {}
        try:
            with stage("clean"):
                upright = [one.turn.upright(one.labels) for one in held.values()]
                clean_stack(upright, self._context.engine.current.spec.cleanup)
        except Exception as error:  # noqa: BLE001 - whatever one scan does to a library, the others are done
            for index in held:
                self._fail(index, reason_of(error))
            held = {}
        self._left = Countdown(len(held))
        for index, labelled in held.items():
            self._context.workers.add_next(partial(self._keep_cleaned, index, labelled))
        if not held:
            super()._complete()

    def _keep_cleaned(self, index: int, labelled: LabelledSlice) -> None:
        super()._keep(index, labelled)
        if self._left.done():
            super()._complete()


def mask_of(inferred: Inferred) -> Labels:
    """The mask (H, W) of a slice at its own size, after the 2-D clean-up."""
    with stage("restore"):
        restored = restore(inferred.labels, inferred.undo)
    with stage("clean"):
        return clean_slice(restored, inferred.spec.cleanup)


def confidence_of(inferred: Inferred) -> Confidence | None:
    """How sure the network is of each pixel (H, W), before any clean-up; None without logits."""
    temperature = inferred.spec.temperature
    if inferred.logits is None or temperature is None:
        return None
    with stage("restore"):
        return restore_confidence(winning_probability(inferred.logits, temperature), inferred.undo)


def clean_stack(masks: Sequence[Labels], rules: Cleanup) -> None:
    """Apply the 3-D clean-up to a stack of upright masks, in place.

    Where a slice failed, its neighbours count as adjacent. Masks of several sizes are left as they are, since it is
    unknown how they lie on each other.
    """
    if len({mask.shape for mask in masks}) == 1:
        clean_volume(masks, rules)


def begin(part: Part, context: PartContext, advanced: Callable[[], None], ended: Callable[[PartResult], None]) -> None:
    """Hand a part to the workers; returns when the last of its slices is queued."""
    work = StackWork if part.scan.is_stack else PartWork
    work(part, context, advanced, ended).start()
