"""Show what a run would do."""

from collections.abc import Iterator

from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from ctseg.printable import count, printable
from ctseg_batch.dry_run import Plan
from ctseg_batch.figures.summary import nothing_left
from ctseg_batch.terminal.lists import doubtful, listed, skipped


def plan_report(found: Plan) -> Iterator[RenderableType]:
    """A table of the scans, with their slices and how many are to be done; then what is skipped, doubtful or failed."""
    table = Table(box=SIMPLE_HEAD, show_edge=False)
    table.add_column("scan", overflow="fold")
    for title in ("slices", "to do"):
        table.add_column(title, justify="right")
    for one in found.scans:
        table.add_row(Text(printable(one.scan)), str(one.slices), str(one.to_do))
    table.add_section()
    slices, to_do = sum(one.slices for one in found.scans), sum(one.to_do for one in found.scans)
    table.add_row(count(len(found.scans), "scan"), str(slices), str(to_do))
    yield table
    yield from (Text(printable(note)) for note in found.notes)
    yield from skipped((one.file, one.reason) for one in found.skipped)
    yield from doubtful({one.scan: one.flags for one in found.scans})
    yield from plan_failures(found)


def plan_failures(found: Plan) -> Iterator[RenderableType]:
    """What has failed already; or why there is nothing to do at all."""
    yield from listed("failed", ((one.file, one.reason) for one in found.errors), "red")
    if found.exit_status == 2 and not found.errors:
        yield Text(printable(nothing_left([one.reason for one in found.skipped])), "red")
