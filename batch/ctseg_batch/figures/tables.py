"""Write the files of a summary: summary.json, summary.csv, slices.csv, and the tables as Parquet."""

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from ctseg.errors import require
from ctseg_batch.figures.columns import SLICE_COLUMNS, Column, Row, summary_table
from ctseg_batch.figures.summary import Summary, to_json
from ctseg_batch.layout import SLICES_CSV, SUMMARY_CSV, SUMMARY_JSON, marked
from ctseg_batch.outputs.files import remove, writing

PARQUET_MODULE, PARQUET_EXTRA = "pyarrow", "parquet"

Table = Callable[[], tuple[Sequence[Column], Iterable[Row]]]
"""Returns the columns and an iterator over the rows, a new one at each call."""

_DIGITS = 4
_ROWS_A_GROUP = 20_000


def write_tables(
    out: Path, summary: Summary, slices: Callable[[], Iterable[Row]], parquet: bool, mark: str = ""
) -> None:
    """Write a summary into OUT; each call of `slices` returns the rows of slices.csv. `mark` is that of a shard.

    Without `parquet`, files of that kind are removed: they would tell of an earlier run. Raises CallError if OUT can't
    be written.
    """
    tables: Mapping[str, Table] = {
        SLICES_CSV: lambda: (SLICE_COLUMNS, slices()),
        SUMMARY_CSV: lambda: summary_table(summary),
    }
    for name, table in tables.items():
        file = out / marked(name, mark)
        _write_csv(file, *table())
        as_parquet = file.with_suffix(".parquet")
        if parquet:
            _write_parquet(as_parquet, *table())
        else:
            remove([as_parquet])
    with writing(out / marked(SUMMARY_JSON, mark)) as stream:
        stream.write(to_json(summary).encode())


def _write_csv(file: Path, columns: Sequence[Column], rows: Iterable[Row]) -> None:
    """Write a table as in RFC 4180, unknown values empty; raises CallError if it can't be written."""
    with writing(file) as stream:
        print_csv(stream, columns, rows)


def print_csv(stream: BinaryIO, columns: Sequence[Column], rows: Iterable[Row]) -> None:
    """Write the same to a stream."""
    # File names that are not Unicode are written as their original bytes.
    text = io.TextIOWrapper(stream, encoding="utf-8", errors="surrogateescape", newline="")
    writer = csv.writer(text)
    writer.writerow([column.name for column in columns])
    for row in rows:
        writer.writerow([round(cell, _DIGITS) if isinstance(cell, float) else cell for cell in row])
    text.detach()


def _write_parquet(file: Path, columns: Sequence[Column], rows: Iterable[Row]) -> None:
    """Write a table as Parquet, in groups of rows. Needs the extra `parquet`."""
    arrow, parquet = (require(name, PARQUET_EXTRA) for name in (PARQUET_MODULE, f"{PARQUET_MODULE}.parquet"))
    types = {"text": arrow.string(), "integer": arrow.int64(), "number": arrow.float64()}
    schema = arrow.schema([(column.name, types[column.kind]) for column in columns])
    left = iter(rows)
    with writing(file) as stream, parquet.ParquetWriter(stream, schema) as writer:
        while group := list(islice(left, _ROWS_A_GROUP)):
            writer.write_table(arrow.table(list(map(_plain, zip(*group, strict=True))), schema))


def _plain(cells: Iterable[str | float | None]) -> list[str | float | None]:
    """Cells that Parquet can hold: bytes of a name that are not Unicode are replaced."""
    return [
        cell.encode("utf-8", "surrogateescape").decode("utf-8", "replace") if isinstance(cell, str) else cell
        for cell in cells
    ]
