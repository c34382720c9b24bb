"""The figures of a part, added up slice by slice from several threads."""

import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ctseg import flags
from ctseg.classes import CLASSES, LUNG, Labels
from ctseg.datasets.mask_meaning import MaskMeaning
from ctseg.errors import UnreadableFile
from ctseg.field_of_view import Rim, is_cut_off, rim_of
from ctseg.measures import count_pixels
from ctseg.metrics import Confusion
from ctseg.scan import Slice
from ctseg.spacing import Spacing
from ctseg.stages import stage
from ctseg.window import Window
from ctseg_batch.choices import MeasuresChoice
from ctseg_batch.parts.part import Part
from ctseg_batch.parts.pixel_checks import PixelCheck, doubts_of, look_at
from ctseg_batch.parts.stack_measurer import StackMeasurer
from ctseg_batch.result import Failure, PartResult, reason_of
from ctseg_batch.slice_figures import SliceFigures, pack


class Tally:
    """Counts the pixels of each slice, compares it with its truth, and collects failures."""

    def __init__(self, part: Part, meaning: MaskMeaning | None, measures: MeasuresChoice) -> None:
        self._part, self._meaning = part, meaning
        self._measurer = StackMeasurer(part, meaning) if measures == "full" else None
        self._lock = threading.Lock()
        self._pixels: dict[int, tuple[int, ...]] = {}
        self._failed: dict[int, Failure] = {}
        self._looks: list[PixelCheck] = []
        self._rims: list[Rim] = []
        self._is_domain_guessed = False
        self._windows: set[Window | None] = set()
        self._confusions: dict[int, Confusion] = {}
        self._bad_truth: set[Failure] = set()

    def look(self, index: int, source: Slice, labels: Labels) -> None:
        """Note what will be needed of the pixels of a slice, which are not kept."""
        with stage("measure"):
            look = look_at(source)
            # Before the 3-D clean-up, which removes a lung that is cut off.
            rim = rim_of(labels, is_round=look.is_round)
            if self._measurer:
                self._measurer.look(index, source, labels, is_hu=source.domain == "hu" and not look.is_not_hu)
        with self._lock:
            self._looks.append(look)
            self._rims.append(rim)
            self._is_domain_guessed = self._is_domain_guessed or source.is_domain_guessed
            self._windows.add(source.window)

    def add(self, index: int, labels: Labels) -> None:
        """Count the pixels of a slice that was written, and compare it with its truth."""
        true = self._true(index, labels)
        usable = None if isinstance(true, UnreadableFile) else true
        with stage("measure"):
            pixels = count_pixels(labels)
            scored = self._meaning.compare(usable, labels) if self._meaning and usable is not None else None
            if self._measurer:
                self._measurer.add(index, labels, usable)
        with self._lock:
            self._pixels[index] = pixels
            if isinstance(true, UnreadableFile):
                self._bad_truth.add(Failure(str(true.file), true.reason))
            elif scored is not None:
                self._confusions[index] = scored

    def fail(self, index: int, reason: str) -> None:
        """Note that a slice failed."""
        with self._lock:
            self._failed[index] = Failure(self._part.sources[index], reason)

    @property
    def labelled(self) -> Sequence[int]:
        """The indices of the slices that did not fail."""
        return sorted(self._pixels)

    def result(self, spacing: Spacing | None, stack: bool, device: str, precision: str) -> PartResult:
        """The figures once all slices are in, independent of the order in which they came."""
        part = self._part
        labelled = [self._pixels[index] for index in self.labelled]
        lung = [sum(pixels[c.index] for c in LUNG) for pixels in labelled]
        cut_off = [flags.CUT_OFF_AT_SIDES] if is_cut_off(self._rims) else []
        weights, scored = part.scan.weights, sorted(self._confusions.items())
        result = PartResult(
            scan_name=part.scan_name,
            slices=len(part.mask_names),
            failed_slices=len(self._failed),
            failures=tuple(sorted(set(self._failed.values()))),
            spacing_mm=spacing,
            is_spacing_said=spacing is not None and None in part.scan.lengths_mm,
            window_hu=next(filter(None, self._windows), None),
            stack=stack,
            pixels=tuple(sum(pixels[c.index] for pixels in labelled) for c in CLASSES),
            lung=(lung[0], max(lung), lung[-1]) if lung else (0, 0, 0),
            flags=tuple(dict.fromkeys((*self._flags_of_scan(), *doubts_of(self._looks), *cut_off))),
            confusion=_pooled([table for _, table in scored]),
            unscored=len(labelled) - len(scored) if self._meaning else 0,
            bad_truth=tuple(sorted(self._bad_truth)),
            device=device,
            precision=precision,
            by_slice=pack(
                SliceFigures(source, name, self._pixels.get(index))
                for index, (source, name) in enumerate(zip(part.sources, part.mask_names, strict=True))
            ),
            patients_right=part.scan.patients_right,
            series=part.series,
            scale=part.scale if self._is_domain_guessed else "",
            weights=weights and weights[: len(part.mask_names)],
            weighted_confusion=_pooled([weights[index] * table for index, table in scored] if weights else ()),
        )
        if self._measurer is None or spacing is None:
            return result
        return self._with_whole(result, self._measurer, spacing)

    def _flags_of_scan(self) -> Sequence[str]:
        """The scan's own flags; numbers that are no HU are no doubt where all slices have a window."""
        known = self._windows and None not in self._windows
        return [flag for flag in self._part.scan.flags if not (known and flag == flags.NOT_HU)]

    def _true(self, index: int, labels: Labels) -> Labels | UnreadableFile | None:
        """The groups of the slice's truth, or why it can't be used; None where it has none."""
        part = self._part
        try:
            return part.truth.grouped(index, part.scan, labels.shape) if part.truth else None
        except UnreadableFile as error:
            return error

    def _with_whole(self, result: PartResult, measurer: StackMeasurer, spacing: Spacing) -> PartResult:
        """The figures with those of the stack; if measuring that fails, the others stay."""
        try:
            with stage("measure"):
                whole, doubts = measurer.measure(spacing, is_cut_off=flags.CUT_OFF_AT_SIDES in result.flags)
        except Exception as error:  # noqa: BLE001 - whatever one scan does to a library, the others are measured
            failure = Failure(self._part.sources[0], f"no full measures of the scan: {reason_of(error)}")
            return replace(result, failures=(*result.failures, failure), is_unmeasured=True)
        return replace(result, whole=whole, flags=(*result.flags, *doubts))


def _pooled(tables: Sequence[npt.NDArray[Any]]) -> tuple[tuple[Any, ...], ...] | None:
    """The sum of some tables; None if there are none."""
    return tuple(map(tuple, np.sum(tables, axis=0).tolist())) if tables else None
