"""Read the tables of a data set; errors name the file and the line."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ctseg.errors import DatasetError


@dataclass(frozen=True, slots=True)
class Row:
    """One row: `where` names its file and line, `cells` are by column, None for columns after its end."""

    where: str
    cells: Mapping[str, str | None]

    def __getitem__(self, column: str) -> str:
        """The cell of a column, which may not be empty; raises DatasetError."""
        if text := self.get(column):
            return text
        raise DatasetError(f"{self.where} has no value in column {column!r}")

    def get(self, column: str) -> str:
        """The same, but empty if there is no such column or text; raises DatasetError for a row that is too short."""
        text = self.cells.get(column, "")
        if text is None:
            raise DatasetError(f"{self.where} ends before {column!r}")
        return text.strip()


def read_rows(file: Path, columns: Sequence[str], optional: Sequence[str] = ()) -> Iterator[Row]:
    """The rows of a CSV with a header.

    Raises DatasetError, also where one of the `columns` is missing, or where one of these or of the `optional` ones is
    spelt in another way.
    """
    try:
        # Spreadsheets put a byte order mark in front of UTF-8.
        with file.open(newline="", encoding="utf-8-sig") as lines:
            table = csv.DictReader(lines)
            names = [name.strip() for name in table.fieldnames or ()]
            if missing := set(columns).difference(names):
                raise DatasetError(f"{file} has no column {min(missing)!r}, but {_told(names)}")
            _check_names(file, names, (*columns, *optional))
            table.fieldnames = names
            for cells in table:
                where = f"{file}, line {table.line_num},"
                if any(map(str.strip, cells.pop(None, ()))):
                    raise DatasetError(f"{where} has more cells than there are columns: quote any cell with a comma")
                yield Row(where, cells)
    except UnicodeDecodeError as error:
        raise DatasetError(f'{file} is not in UTF-8: save it again, in a spreadsheet as "CSV UTF-8"') from error
    except (OSError, ValueError, csv.Error) as error:
        raise DatasetError(f"{file} can't be read: {error}") from error


def _check_names(file: Path, names: Sequence[str], known: Sequence[str]) -> None:
    """Raise DatasetError where a column would be passed over for its spelling, or hides another."""
    for one in known:
        alike = [name for name in names if name.casefold() == one.casefold()]
        if alike and one not in alike:
            raise DatasetError(f"{file} has a column {alike[0]!r}: write {one!r}")
        if alike.count(one) > 1:
            raise DatasetError(f"{file} has several columns {one!r}: leave all but one out")


def _told(columns: Sequence[str]) -> str:
    """The columns that a table has, and what may be wrong with a single one."""
    if len(columns) == 1 and any(separator in columns[0] for separator in ";\t"):
        return f"only {columns[0]!r}: separate its cells by commas"
    return ", ".join(map(repr, columns)) or "none at all"
