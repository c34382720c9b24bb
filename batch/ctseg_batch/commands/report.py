"""`ctseg report`: what a run found, as one HTML file."""

from pathlib import Path
from typing import Annotated

import typer

from ctseg.errors import CallError
from ctseg.model import find_model
from ctseg.printable import printable
from ctseg.process.progress import redraws
from ctseg_batch.reporting import DEFAULT_PICTURES, REPORT_HTML, require_report
from ctseg_batch.url import path_here

_ENDINGS = (".html", ".htm")


def report(
    out: Annotated[str, typer.Argument(help="Output folder of `ctseg batch`.", metavar="OUT")],
    file: Annotated[
        Path | None, typer.Option(help="File to write; by default OUT/report.html.", show_default=False)
    ] = None,
    pictures: Annotated[
        int, typer.Option(min=0, help="Maximum number of scans shown with pictures, the most relevant first.")
    ] = DEFAULT_PICTURES,
    model: Annotated[
        str | None, typer.Option(help="Model file of the run, if it is not a shipped one.", metavar="MODEL")
    ] = None,
) -> None:
    """Write a report of a run of `ctseg batch`: one HTML file that needs no network.

    Example: ctseg report results
    """
    if file is not None and file.suffix.lower() not in _ENDINGS:
        raise CallError(f"--file {file}: a report is HTML, so name a file that ends in .html")
    require_report()
    from rich.progress import Progress
    from rich.text import Text

    from ctseg_batch.reporting.build import write_report
    from ctseg_batch.reporting.head import refuse_foreign_report
    from ctseg_batch.terminal.console import people_console

    folder = path_here(out, "OUT")
    refuse_foreign_report(folder / REPORT_HTML if file is None else file)
    console = people_console()
    with Progress(console=console, transient=True, disable=not redraws(console)) as bar:
        told = write_report(folder, file, pictures, find_model(model) if model else None, bar.track)
    console.print(Text(printable(told)), soft_wrap=True)
