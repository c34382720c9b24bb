"""The files of a summary: summary.json, summary.csv, slices.csv, and the tables as Parquet; written row by row."""

import csv
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from ctseg.errors import require
from ctseg_batch.figures.columns import SLICE_COLUMNS, Column, Row, scan_table
from ctseg_batch.figures.summary import Summary, to_json
from ctseg_batch.outputs.files import remove, write_whole, writing
from ctseg_batch.shards import Shard, is_of_cut

SUMMARY_JSON, SUMMARY_CSV, SLICES_CSV = "summary.json", "summary.csv", "slices.csv"
TABLES = (SUMMARY_CSV, SLICES_CSV, "summary.parquet", "slices.parquet", SUMMARY_JSON)
PARQUET_MODULE, PARQUET_EXTRA = "pyarrow", "parquet"

_OF_SHARD = re.compile(r"(?:summary|slices)\.([1-9][0-9]*)-of-([1-9][0-9]*)\.(?:json|csv|parquet)")

Table = Callable[[], tuple[Sequence[Column], Iterable[Row]]]
"""Gives the columns and the rows, each time anew."""

_DIGITS = 4
_ROWS_A_GROUP = 20_000


def marked(name: str, mark: str) -> str:
    """What a file is called of the shard with that mark: `summary.3-of-8.json`."""
    stem, _, ending = name.partition(".")
    return f"{stem}{mark}.{ending}"


def shard_of(name: str) -> Shard | None:
    """Which shard a file is a table of, by its name; None for any other file, also for a copy of a table."""
    found = _OF_SHARD.fullmatch(name)
    return Shard(int(found[1]), int(found[2])) if found else None


def superseded(names: Iterable[str], mark: str) -> list[str]:
    """Which files in OUT are tables of shards that were cut otherwise than by the run, or the shard, with that mark."""
    shards = {name: shard_of(name) for name in names}
    return [name for name, shard in shards.items() if shard and not is_of_cut(shard.mark, mark)]


def withdrawn(names: Iterable[str], mark: str) -> list[str]:
    """Which files in OUT no longer hold once the run, or the shard, with that mark has begun to change OUT."""
    own = {SUMMARY_JSON, marked(SUMMARY_JSON, mark)}
    return [*own.intersection(names), *superseded(names, mark)]


def write_sheets(
    out: Path, summary: Summary, slices: Callable[[], Iterable[Row]], parquet: bool, mark: str = ""
) -> None:
    """Write a summary into OUT; `slices` gives the rows of slices.csv, each time anew. `mark` is that of a shard.

    Parquet of an earlier run goes where none is asked for: it would tell of that run. Raises CallError where OUT can't
    be written.
    """
    tables: Mapping[str, Table] = {
        SLICES_CSV: lambda: (SLICE_COLUMNS, slices()),
        SUMMARY_CSV: lambda: scan_table(summary),
    }
    for name, table in tables.items():
        file = out / marked(name, mark)
        _write_csv(file, *table())
        as_parquet = file.with_suffix(".parquet")
        if parquet:
            _write_parquet(as_parquet, *table())
        else:
            remove([as_parquet])
    write_whole(out / marked(SUMMARY_JSON, mark), to_json(summary).encode())


def _write_csv(file: Path, columns: Sequence[Column], rows: Iterable[Row]) -> None:
    """Write a table as RFC 4180 has it: what is not known is empty. Raises CallError where it can't be written."""
    with writing(file) as stream:
        print_csv(stream, columns, rows)


def print_csv(stream: BinaryIO, columns: Sequence[Column], rows: Iterable[Row]) -> None:
    """The same on a stream."""
    # Names that are no Unicode go out as the bytes that they came in as.
    text = io.TextIOWrapper(stream, encoding="utf-8", errors="surrogateescape", newline="")
    writer = csv.writer(text)
    writer.writerow([column.name for column in columns])
    for row in rows:
        writer.writerow([round(cell, _DIGITS) if isinstance(cell, float) else cell for cell in row])
    text.detach()


def _write_parquet(file: Path, columns: Sequence[Column], rows: Iterable[Row]) -> None:
    """Write a table as Parquet, so many rows at a time. Needs the extra `parquet`."""
    arrow, parquet = (require(name, PARQUET_EXTRA) for name in (PARQUET_MODULE, f"{PARQUET_MODULE}.parquet"))
    types = {"text": arrow.string(), "integer": arrow.int64(), "number": arrow.float64()}
    schema = arrow.schema([(column.name, types[column.kind]) for column in columns])
    left = iter(rows)
    with writing(file) as stream, parquet.ParquetWriter(stream, schema) as writer:
        while group := list(islice(left, _ROWS_A_GROUP)):
            writer.write_table(arrow.table(list(map(_plain, zip(*group, strict=True))), schema))


def _plain(cells: Iterable[str | float | None]) -> list[str | float | None]:
    """Cells that Parquet can hold: of a name that is no Unicode, what is."""
    return [
        cell.encode("utf-8", "surrogateescape").decode("utf-8", "replace") if isinstance(cell, str) else cell
        for cell in cells
    ]
