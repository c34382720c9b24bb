"""The result of a part of a scan: counts that can be added up, and failures."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ctseg.classes import CLASSES
from ctseg.datasets.mask_meaning import MaskMeaning
from ctseg.errors import CtsegError, UnreadableFile, unforeseen
from ctseg.lesions import Lesions
from ctseg.regions import Amount, Amounts, Lungs
from ctseg.spacing import Spacing
from ctseg.surface import SurfaceDistances
from ctseg.turn import Side
from ctseg.window import Window
from ctseg_batch.choices import MeasuresChoice
from ctseg_batch.slice_figures import SliceFigures, unpack


@dataclass(frozen=True, slots=True, order=True)
class Failure:
    """A file that failed, by its path below the root (a truth by its whole path), and the reason."""

    file: str
    reason: str


def reason_of(error: Exception) -> str:
    """The reason of a failure, from whatever was raised."""
    if isinstance(error, UnreadableFile):
        return error.reason
    if isinstance(error, CtsegError):
        return str(error)
    if isinstance(error, MemoryError):
        return "there was not enough memory for it: fewer --workers need less"
    return unforeseen(error)


@dataclass(frozen=True, slots=True, order=True)
class LeftOut:
    """A kind of output that can't be made of a scan, and why."""

    kind: str
    reason: str


@dataclass(frozen=True, slots=True)
class Settings:
    """What results depend on besides the files of inputs and truth: if any of it changes, all is done again.

    `truth` is the meaning of the truth's values; None without a truth.
    """

    version: str
    model: str
    precision: str
    write: tuple[str, ...]
    spacing: Spacing | None
    window: Window | None
    truth: MaskMeaning | None
    measures: MeasuresChoice


@dataclass(frozen=True, slots=True)
class StackFigures:
    """What `--measures full` adds: the content of both lungs, and of each third of each, the lesions, the distances.

    `lungs` is None if it is not known which lungs are in view, `lesions` and `surfaces` if pixel sizes differ between
    slices. `surfaces` has an entry for each group of classes that the truth distinguishes, None for background and for
    a group that mask or truth lacks; it is None as a whole if a slice has no truth.
    """

    both: Amounts
    lungs: Lungs | None
    lesions: Lesions | None
    surfaces: tuple[SurfaceDistances | None, ...] | None

    @classmethod
    def from_json(cls, read: Mapping[str, Any]) -> "StackFigures":
        """The inverse of `dataclasses.asdict`, after a way through JSON."""
        lungs, lesions, surfaces = read["lungs"], read["lesions"], read["surfaces"]
        return cls(
            both=tuple(Amount(**one) for one in read["both"]),
            lungs=None
            if lungs is None
            else tuple(tuple(tuple(Amount(**one) for one in third) for third in lung) for lung in lungs),
            lesions=None if lesions is None else Lesions(**lesions),
            surfaces=None
            if surfaces is None
            else tuple(None if one is None else SurfaceDistances(**one) for one in surfaces),
        )


@dataclass(frozen=True, slots=True)
class PartResult:
    """The figures of a series, a volume, or some slices of a folder of images.

    `slices` counts all, including `failed_slices`; `failures` name their files, each once. `pixels` are counted by
    class. `lung` is the number of lung pixels in the first slice, the slice with most, and the last. `stack`: the
    slices lie one on the other in space. `confusion`, by (true, predicted) group of classes, is None without a truth;
    `unscored` counts the slices without a usable truth, and `bad_truth` names truths that can't be used. `left_out`:
    outputs of the whole scan that could not be made. `by_slice` are the figures of each slice, packed by
    `slice_figures.pack`; `whole` are those of the stack, None unless asked for; `is_unmeasured`: asked for, but failed.
    `patients_right` and `weights` are as in Scan; `weighted_confusion` is weighted by them, None if they are. `series`
    is the digest of the DICOM series of its files, else empty. `is_spacing_said`: some of the spacing is from the call,
    not from the files. `window_hu`: that of its 8-bit slices, from the call. `scale` is that of the Part, if any of its
    images is not 8-bit; `scan_output` is that of the Part, if the run wrote outputs of whole scans.
    """

    scan_name: str
    slices: int = 0
    failed_slices: int = 0
    failures: tuple[Failure, ...] = ()
    spacing_mm: Spacing | None = None
    stack: bool = False
    pixels: tuple[int, ...] = (0,) * len(CLASSES)
    lung: tuple[int, int, int] = (0, 0, 0)
    flags: tuple[str, ...] = ()
    confusion: tuple[tuple[int, ...], ...] | None = None
    unscored: int = 0
    bad_truth: tuple[Failure, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    device: str = ""
    precision: str = ""
    by_slice: str = "[]"
    whole: StackFigures | None = None
    is_unmeasured: bool = False
    patients_right: Side | None = None
    series: str = ""
    weights: tuple[float, ...] | None = None
    weighted_confusion: tuple[tuple[float, ...], ...] | None = None
    is_spacing_said: bool = False
    window_hu: Window | None = None
    scale: str = ""
    scan_output: str = ""

    @property
    def labelled(self) -> int:
        """How many slices have a mask."""
        return self.slices - self.failed_slices

    @property
    def voxels(self) -> tuple[float, ...]:
        """The pixels of each class, weighted by slice."""
        if self.weights is None:
            return self.pixels
        slices = zip(self.weights, self.slice_figures(), strict=True)
        weighted = [[weight * count for count in one.pixels] for weight, one in slices if one.pixels]
        return tuple(map(sum, zip(*weighted, strict=True))) if weighted else self.pixels

    def slice_figures(self) -> Iterator[SliceFigures]:
        """The figures of each slice."""
        return unpack(self.by_slice)

    def to_json(self) -> dict[str, Any]:
        """What is recorded: all fields, the name of the scan as `scan`."""
        fields = asdict(self)
        return {"scan": fields.pop("scan_name"), **fields}

    @classmethod
    def from_json(cls, read: Mapping[str, Any]) -> "PartResult":
        """The inverse of `to_json`, after a way through JSON."""
        fields = dict(read)
        spacing, window, whole, weights = (read[key] for key in ("spacing_mm", "window_hu", "whole", "weights"))
        fields |= {
            "failures": tuple(Failure(**one) for one in read["failures"]),
            "spacing_mm": None if spacing is None else tuple(spacing),
            "window_hu": None if window is None else tuple(window),
            "pixels": tuple(read["pixels"]),
            "lung": tuple(read["lung"]),
            "flags": tuple(read["flags"]),
            "confusion": _rows(read["confusion"]),
            "bad_truth": tuple(Failure(**one) for one in read["bad_truth"]),
            "left_out": tuple(LeftOut(**one) for one in read["left_out"]),
            "whole": None if whole is None else StackFigures.from_json(whole),
            "weights": None if weights is None else tuple(weights),
            "weighted_confusion": _rows(read["weighted_confusion"]),
        }
        return cls(fields.pop("scan"), **fields)


def _rows(table: Sequence[Sequence[Any]] | None) -> tuple[tuple[Any, ...], ...] | None:
    return None if table is None else tuple(map(tuple, table))
