"""Read a run's slices.csv, and check that it fits the summary."""

import csv
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from ctseg.errors import CallError
from ctseg_batch.figures.columns import SLICE_COLUMNS, Kind, Row

_AT_ONCE = 2**13


def read_slices(file: Path, expected: Mapping[str, int]) -> Iterator[Row]:
    """The rows of a run's slices.csv; raises CallError unless they are the `expected` number of slices of each scan."""
    counts: Counter[str] = Counter()
    try:
        table = csv.reader(_lines(file), strict=True)
        if next(table, None) != [column.name for column in SLICE_COLUMNS]:
            raise ValueError("its first line does not name the columns")
        for cells in table:
            row = _row(cells)
            scan = str(row[0])
            if row[1] != counts[scan]:
                raise ValueError(f"slice {row[1]} of {scan} is not the next one")
            counts[scan] += 1
            if counts[scan] > expected.get(scan, 0):
                break
            yield row
    except FileNotFoundError:
        raise CallError(f"{file} does not exist: call ctseg batch again, which writes it") from None
    except OSError as error:
        raise CallError(f"{file} can't be read: {error.strerror}") from error
    except (ValueError, csv.Error) as error:
        raise CallError(f"{file} is damaged: {error}") from error
    if counts != Counter(expected):
        raise CallError(f"{file} does not have the slices of the summary.json beside it: call ctseg batch again")


def _lines(file: Path) -> Iterator[str]:
    """The lines of a file, reopened for each piece that is read: thousands of shards may be read side by side."""
    offset = 0
    while True:
        with file.open("rb") as stream:
            stream.seek(offset)
            lines = stream.readlines(_AT_ONCE)
            offset = stream.tell()
        if not lines:
            return
        yield from (line.decode("utf-8", "surrogateescape") for line in lines)


def _row(cells: list[str]) -> Row:
    """The cells of a line as values; raises ValueError for invalid ones."""
    if len(cells) != len(SLICE_COLUMNS):
        raise ValueError(f"a line has {len(cells)} values instead of {len(SLICE_COLUMNS)}")
    return tuple(_value(cell, column.kind) for cell, column in zip(cells, SLICE_COLUMNS, strict=True))


def _value(cell: str, kind: Kind) -> str | int | float | None:
    if kind == "text":
        return cell
    if not cell:
        return None
    try:
        value = int(cell) if kind == "integer" else float(cell)
    except ValueError:
        raise ValueError(f"{cell[:20]!r} is not a number") from None
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"{cell[:20]!r} is not a figure of a slice")
    return value
