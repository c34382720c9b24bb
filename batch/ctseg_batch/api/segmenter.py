"""The pipeline of `ctseg batch` for other programs: a scan in, its labels and figures out, nothing written."""

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, SupportsIndex, TypeVar, get_args

import numpy.typing as npt

from ctseg.errors import CallError, ModelError, UnreadableFile
from ctseg.model import DEFAULT_MODEL, ModelSpec, find_model
from ctseg.printable import first_few, printable
from ctseg.scan import Scan, Slice
from ctseg.spacing import Spacing, as_spacing
from ctseg.window import Window, as_window
from ctseg_batch.api.arrays import scan_of
from ctseg_batch.api.kept import Kept
from ctseg_batch.api.scans import NamedScan, find_scans
from ctseg_batch.api.segmentation import ConfidentSegmentation, Segmentation
from ctseg_batch.choices import DeviceChoice, MeasuresChoice, PrecisionChoice
from ctseg_batch.cpus import usable_cpus
from ctseg_batch.figures.scan_figures import scan_figures
from ctseg_batch.inputs.selection import Selection, parse_condition
from ctseg_batch.network.engine import open_engine
from ctseg_batch.network.fallback import FallbackEngine
from ctseg_batch.outputs.slice_outputs import LabelledSlice
from ctseg_batch.parts.part import Part
from ctseg_batch.parts.pipeline import PartContext, begin
from ctseg_batch.parts.workers import Workers
from ctseg_batch.result import Failure, PartResult
from ctseg_batch.url import is_url

Source = npt.ArrayLike | str | os.PathLike[str] | NamedScan
"""What can be segmented: an array (H, W) or (slices, H, W), a path, or what `Segmenter.scans` found."""

SpacingLike = Sequence[float] | npt.NDArray[Any]
"""Three lengths in mm: from slice to slice, row to row, column to column."""

WindowLike = Sequence[float] | npt.NDArray[Any]
"""Centre and width in HU."""

_S = TypeVar("_S", bound=Segmentation)

_LOGGER = logging.getLogger("ctseg_batch")


class Segmenter:
    """A model that is opened once, and segments scan after scan.

        segment = Segmenter()
        result = segment("ct.nii.gz")
        print(result.volumes_ml, result.involvement_percent, result.flags)

    The labels are those of `ctseg batch` for the same input. May be used from several threads at once, and sent to
    other processes, which open the model anew.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] = DEFAULT_MODEL,
        device: DeviceChoice = "auto",
        precision: PrecisionChoice = "auto",
        workers: int | None = None,
        measures: MeasuresChoice = "basic",
    ) -> None:
        """Open a shipped model by its name, or a model file.

        `device` auto takes CUDA where it works, `precision` auto is fp32 on the CPU and fp16 on CUDA. `workers` threads
        share a scan, by default one for each CPU that this process may use. `measures` full adds lungs, thirds, HU,
        mass, severity and lesions to those of a scan with a spacing. Raises ModelError or DeviceError if that is not
        available.
        """
        asked = (
            ("device", device, DeviceChoice),
            ("precision", precision, PrecisionChoice),
            ("measures", measures, MeasuresChoice),
        )
        for option, given, choices in asked:
            if given not in get_args(choices):
                raise CallError(f"no {option} {given!r}: choose from {', '.join(get_args(choices))}")
        if workers is not None and not (isinstance(workers, SupportsIndex) and workers >= 1):
            raise CallError(f"{workers!r} workers do nothing: give 1 or more, or None for one per CPU")
        self._opened_by = (str(model), device, precision, workers, measures)
        file = find_model(str(model))
        opened = open_engine(file, device, precision)
        self._engine = FallbackEngine(opened, precision, partial(_LOGGER.warning, "%s"))
        self._workers = workers or usable_cpus()
        self._measures: MeasuresChoice = measures

    def __reduce__(self) -> tuple[type["Segmenter"], tuple[object, ...]]:
        """Another process, as one of a pool, opens the model for itself."""
        return Segmenter, self._opened_by

    def __repr__(self) -> str:
        engine, spec = self._engine.current, self.model
        return f"<Segmenter: model {spec.name} {spec.version}, {spec.precision} on {engine.device}>"

    @property
    def model(self) -> ModelSpec:
        """What the model file says of itself."""
        return self._engine.current.spec

    def __call__(
        self, source: Source, spacing: SpacingLike | None = None, window: WindowLike | None = None
    ) -> Segmentation:
        """Segment an array, a file, a folder with one scan, or what `scans` gives.

        An array (H, W) is one slice, (slices, H, W) a stack from the feet up: uint8 is grey as it is, what goes below
        -200 is HU, anything else is stretched from its own range without the 0.5 % at either end.
        `spacing` (slices, rows, columns, in mm) gives volumes where the source does not say. `window` (centre, width,
        in HU) is what 8-bit slices were saved in. A warning of the logger `ctseg_batch` tells if one of them is not
        used. Raises CallError for what is not a scan, or several; UnreadableFile where any of it can't be read;
        ModelError for values that the model does not take.
        """
        return self._segment(source, spacing, window, Kept(), Segmentation)

    def with_confidence(
        self, source: Source, spacing: SpacingLike | None = None, window: WindowLike | None = None
    ) -> ConfidentSegmentation:
        """The same, and how sure the model is of each pixel; raises ModelError where the model does not tell."""
        if self.model.temperature is None:
            raise ModelError(self.model.why_unsure())
        return self._segment(source, spacing, window, Kept("confidence"), ConfidentSegmentation)

    def scans(
        self, path: str | os.PathLike[str], series_filter: str | Sequence[str] = (), best_series: bool = False
    ) -> Iterator[NamedScan]:
        """The scans at or below a path, to be segmented one by one.

        `series_filter` and `best_series` are those of `ctseg batch`. A scan that can't be opened is among them, and
        raises UnreadableFile when it is segmented.
        """
        conditions = [series_filter] if isinstance(series_filter, str) else series_filter
        return find_scans(_local(path), Selection(tuple(map(parse_condition, conditions)), best_series), [])

    def _segment(
        self, source: Source, given: SpacingLike | None, shown_in: WindowLike | None, kept: Kept, kind: type[_S]
    ) -> _S:
        spacing = None if given is None else as_spacing(given, f"spacing {given}")
        window = None if shown_in is None else as_window(shown_in, f"window {shown_in}")
        found, is_single = self._open(source)
        if found.failed or found.scan is None:
            raise found.failed[0]
        result = self._work(_part(found.name, found.scan, found.series), spacing, window, kept)
        _raise_failures(result)
        if spacing and not result.is_spacing_said:
            _LOGGER.warning("%s: spacing was not used, since the source gives its own", found.name)
        if window and not result.window_hu:
            _LOGGER.warning("%s: window was not used, since no slice is 8-bit grey", found.name)
        measures = scan_figures(found.name, [result], None)
        labels, confidence = kept.stacked()
        if is_single:
            labels, confidence = labels[0], None if confidence is None else confidence[0]
        return kind(found.name, labels, measures, result.device, result.precision, confidence, found.scan)

    def _open(self, source: Source) -> tuple[NamedScan, bool]:
        """The scan, and whether it is a single slice."""
        if isinstance(source, NamedScan):
            return source, False
        if isinstance(source, str | os.PathLike):
            found, file = self._only(source), Path(source)
            if not file.is_file():
                return found, False
            # The name of a run would be that of the folder, the same for each of its files.
            return replace(found, name=file.name), found.scan is not None and not found.scan.is_stack
        array = scan_of(source)
        self._engine.current.check(array.scale.domain)
        return NamedScan("array", array), not array.is_stack

    def _only(self, path: str | os.PathLike[str]) -> NamedScan:
        """The one scan that a path holds; raises CallError for none or several, UnreadableFile."""
        skipped: list[Failure] = []
        found = list(find_scans(_local(path), Selection((), one_a_study=False), skipped))
        opened = [one for one in found if one.scan is not None]
        if len(opened) > 1:
            names = first_few([printable(one.name) for one in opened])
            raise CallError(
                f"{path} holds {len(opened):,} scans ({names}): segment one at a time, as scans() gives them"
            )
        for one in found:
            if one.failed:
                raise one.failed[0]
        if not opened:
            raise CallError(f"no CT in {path}{''.join(f': {one.reason}' for one in skipped[:1])}")
        return opened[0]

    def _work(self, part: Part, spacing: Spacing | None, window: Window | None, kept: Kept) -> PartResult:
        """Put a scan through the pipeline of a run."""
        results: list[PartResult] = []
        with Workers(min(self._workers, len(part.mask_names))) as workers:
            context = _Context(workers, self._engine, kept, None, spacing, measures=self._measures, window=window)
            begin(part, context, lambda: None, results.append)
        if context.refused:
            raise context.refused[0]
        return results[0]


@dataclass(frozen=True)
class _Context(PartContext):
    """Keeps the ModelError for values that the model does not take, which a run would report as the file's failure."""

    refused: list[ModelError] = field(default_factory=list)

    def label(self, sources: Sequence[Slice]) -> list[LabelledSlice]:
        """Label some slices."""
        try:
            return super().label(sources)
        except ModelError as error:
            self.refused.append(error)
            raise


def _local(path: str | os.PathLike[str]) -> Path:
    """A path on this machine; raises CallError for what is none."""
    written = os.fspath(path)
    if not written:  # pathlib takes it for the current folder
        raise CallError("the path is empty: give a file or a folder")
    if is_url(written):
        raise CallError(f"{written}: give a path on this machine; only `ctseg batch` takes URLs")
    return Path(path)


def _part(name: str, scan: Scan, series: str) -> Part:
    """A whole scan as a part of a run."""
    names = tuple(f"{index:06d}" for index in range(len(scan)))
    files = tuple(map(str, scan.files))
    sources = files if len(files) == len(scan) else files * len(scan) or tuple(map("slice {}".format, range(len(scan))))
    return Part("", "", name, scan, names, sources, truth=None, scan_output="", is_whole=True, series=series)


def _raise_failures(result: PartResult) -> None:
    """Raise UnreadableFile if any slice failed: it would be missing in every figure."""
    if result.failures:
        first, *others = result.failures
        also = f"; {len(others)} more failed" if others else ""
        raise UnreadableFile(Path(first.file), f"{first.reason}{also}")
