"""A table of scans that fits the terminal: long names are broken, and columns without room are listed below."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from ctseg.printable import printable
from ctseg_batch.figures.totals import ScanEntry

# Columns are dropped rather than break names up to this length.
_NAME_AT_LEAST = 16


class Column(NamedTuple):
    """A heading, and the function for the cell of a scan or of the totals."""

    title: str
    cell: Callable[[Mapping[str, Any]], str | Text]


def scan_table(
    scans: Sequence[ScanEntry], columns: Sequence[Column], totals: Mapping[str, Any] | None, width: int
) -> Iterator[RenderableType]:
    """A row per scan, then `totals` if there are several scans; then a line on the columns that have no room."""
    rows = [(printable(scan["scan"]), [column.cell(scan) for column in columns]) for scan in scans]
    if totals and len(scans) > 1:
        rows.append((f"{len(scans)} scans together", [column.cell(totals) for column in columns]))
    widths = [
        max(cell_len(line) for line in (*column.title.split("\n"), *(str(cells[index]) for _, cells in rows)))
        for index, column in enumerate(columns)
    ]
    longest, shown, padding = max(cell_len(name) for name, _ in rows), len(columns), 2

    def room() -> int:
        return width - sum(widths[:shown]) - padding * (shown + 1) - shown

    if room() < longest:
        padding = 1
    while shown > 1 and room() < min(longest, _NAME_AT_LEAST):
        shown -= 1
    table = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, padding, 0, 0))
    table.add_column("scan", overflow="fold", vertical="bottom")
    for column in columns[:shown]:
        table.add_column(column.title, justify="right", vertical="bottom", no_wrap=True)
    for number, (name, cells) in enumerate(rows):
        if number == len(scans):
            table.add_section()
        table.add_row(Text(_broken(name, room())), *cells[:shown])
    yield table
    if left_out := [" ".join(column.title.replace("-\n", "").split()) for column in columns[shown:]]:
        yield Text(f"not shown for lack of room, but in summary.csv: {', '.join(left_out)}")


def _broken(name: str, room: int) -> str:
    """A name broken into lines of at most `room` columns, after separators."""
    lines = [""]
    for part in re.findall(r"[^/\\_. -]*[/\\_. -]?", name):
        if lines[-1] and cell_len(lines[-1] + part) > room:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)
