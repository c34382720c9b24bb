"""The columns of the tables, with a row per scan or a row per slice."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, repeat
from typing import Any, Literal, NamedTuple

from ctseg.classes import CLASSES, LUNG
from ctseg.datasets.mask_meaning import is_foreground
from ctseg.lungs import LUNGS, THIRDS
from ctseg.measures import involvement, voxel_ml
from ctseg.spacing import Spacing
from ctseg_batch.figures.scan_figures import spacing_of
from ctseg_batch.figures.summary import Summary, by_scan, figure_at
from ctseg_batch.figures.totals import ScanEntry
from ctseg_batch.result import PartResult
from ctseg_batch.slice_figures import SliceFigures

Kind = Literal["text", "integer", "number"]

Row = tuple[str | int | float | None, ...]


class Column(NamedTuple):
    """The name of a column, and the kind of its values; unknown ones are None."""

    name: str
    kind: Kind


class _ScanColumn(NamedTuple):
    """A column, and the function that takes its value from a scan."""

    column: Column
    of: Callable[[ScanEntry], Any]


SLICE_COLUMNS = (
    Column("scan", "text"),
    Column("slice", "integer"),
    Column("source", "text"),
    Column("mask", "text"),
    Column("status", "text"),
    *(Column(c.name, "integer") for c in CLASSES),
    Column("lung_ml", "number"),
    Column("involvement_percent", "number"),
)
_DERIVED = 2  # so many at the end are computed from the pixels


def summary_table(summary: Summary) -> tuple[Sequence[Column], Iterator[Row]]:
    """The columns and rows of summary.csv, a row per scan: `ground_glass_ml`, `left_upper_lung_ml`, `iou_mean` ..."""
    columns = list(_scan_columns(summary["groups"] or [], has_regions=summary["measures"] != "basic"))
    return [one.column for one in columns], (tuple(one.of(scan) for one in columns) for scan in summary["scans"])


def slice_rows(results: Iterable[PartResult]) -> Iterator[Row]:
    """The rows of slices.csv, in the order of the scans and of their slices."""
    for scan, parts in by_scan(results).items():
        spacing = spacing_of(parts)
        slices = chain.from_iterable(part.slice_figures() for part in parts)
        weights = chain.from_iterable(part.weights or repeat(1.0, part.slices) for part in parts)
        for index, (one, weight) in enumerate(zip(slices, weights, strict=True)):
            yield _slice_row(scan, index, one, spacing, weight)


def figures_of(row: Row) -> SliceFigures:
    """The slice of a row that was read from slices.csv."""
    pixels = tuple(value for value in row[-_DERIVED - len(CLASSES) : -_DERIVED] if isinstance(value, int))
    return SliceFigures(str(row[2]), str(row[3]), pixels if len(pixels) == len(CLASSES) else None)


def with_all_digits(row: Row, spacing: Spacing | None, weight: float) -> Row:
    """A row that was read from slices.csv, with the values that are rounded there computed again."""
    pixels = figures_of(row).pixels
    return row if pixels is None else (*row[:-_DERIVED], *_derived(pixels, spacing, weight))


def _slice_row(scan: str, index: int, one: SliceFigures, spacing: Spacing | None, weight: float) -> Row:
    where = (scan, index, one.source, one.mask)
    if one.pixels is None:
        return (*where, "failed", *(None for _ in CLASSES), None, None)
    return (*where, "ok", *one.pixels, *_derived(one.pixels, spacing, weight))


def _derived(pixels: Sequence[int], spacing: Spacing | None, weight: float) -> tuple[float | None, float | None]:
    """The last columns of slices.csv: `lung_ml`, `involvement_percent`."""
    lung = sum(pixels[c.index] for c in LUNG)
    return None if spacing is None else weight * lung * voxel_ml(spacing), involvement(pixels)


def _scan_columns(groups: Sequence[str], *, has_regions: bool) -> Iterator[_ScanColumn]:
    yield from (_at(name, "text", name) for name in ("scan", "status"))
    yield from (_at(name, "integer", name) for name in ("slices", "failed_slices"))
    for number, axis in enumerate("zyx"):
        yield _ScanColumn(Column(f"spacing_{axis}_mm", "number"), partial(_at_place, "spacing_mm", number))
    for number, end in enumerate(("black", "white")):
        yield _ScanColumn(Column(f"window_{end}_hu", "number"), partial(_at_place, "window_hu", number))
    yield from (_at(f"{c.name}_pixels", "integer", "pixels", c.name) for c in CLASSES)
    yield from (_at(f"{c.name}_ml", "number", "volumes_ml", c.name) for c in LUNG)
    yield from (_at(name, "number", name) for name in ("lung_ml", "involvement_percent"))
    if has_regions:
        yield from _regional_columns()
    for score in ("iou", "dice") if groups else ():
        yield from (_at(f"{score}_{name}", "number", score, name) for name in (*groups, "mean"))
    if has_regions:
        for name in filter(is_foreground, groups):
            yield from (_at(f"{name}_{key}", "number", "surface", name, key) for key in ("hd95_mm", "assd_mm"))
            yield _at(f"{name}_volume_error_ml", "number", "volume_error_ml", name)
    yield from (_at(name, "text", name) for name in ("device", "precision"))
    yield _ScanColumn(Column("flags", "text"), lambda scan: "; ".join(scan["flags"]))
    yield _ScanColumn(Column("errors", "text"), _errors)
    yield _at("series", "text", "series")


def _regional_columns() -> Iterator[_ScanColumn]:
    yield from _hu_columns("", ())
    for lung in LUNGS:
        yield from _region_columns(lung, ("regions", lung))
        for third in THIRDS:
            yield from _region_columns(f"{lung}_{third}", ("regions", lung, "thirds", third))
    yield from (_at(f"severity_{name}", "integer", "severity", name) for name in (*LUNGS, "total"))
    yield from (_at(f"lesions_{key}", "integer", "lesions", key) for key in ("count", *LUNGS, "smaller"))
    yield from (_at(f"lesions_{key}", "number", "lesions", key) for key in ("volume_ml", "median_ml", "largest_ml"))


def _region_columns(name: str, path: tuple[str, ...]) -> Iterator[_ScanColumn]:
    yield from (_at(f"{name}_{c.name}_ml", "number", *path, "volumes_ml", c.name) for c in LUNG)
    yield _at(f"{name}_lung_ml", "number", *path, "lung_ml")
    yield from (_at(f"{name}_{c.name}_percent", "number", *path, "percent", c.name) for c in LUNG)
    yield _at(f"{name}_involvement_percent", "number", *path, "involvement_percent")
    yield from _hu_columns(f"{name}_", path)


def _hu_columns(prefix: str, path: tuple[str, ...]) -> Iterator[_ScanColumn]:
    for key in ("mean_hu", "mass_g"):
        yield from (
            _at(f"{prefix}{part}_{key}", "number", *path, key, part) for part in (*(c.name for c in LUNG), "lung")
        )


def _at(name: str, kind: Kind, *path: str) -> _ScanColumn:
    return _ScanColumn(Column(name, kind), lambda scan: figure_at(scan, *path))


def _at_place(name: str, number: int, scan: ScanEntry) -> float | None:
    values: Sequence[float] | None = scan[name]
    return None if values is None else values[number]


def _errors(scan: ScanEntry) -> str:
    return "; ".join(f"{error['file']}: {error['reason']}" for error in scan["errors"])
