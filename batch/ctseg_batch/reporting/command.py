"""`ctseg report`: what a run found, as one HTML file."""

from pathlib import Path
from typing import Annotated

import typer

from ctseg.errors import CallError
from ctseg.model import find_model
from ctseg.printable import printable
from ctseg_batch.reporting import DEFAULT_PICTURES, require_report

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

_ENDINGS = (".html", ".htm")


@app.command()
def report(
    out: Annotated[Path, typer.Argument(help="The folder that `ctseg batch` wrote to.", metavar="OUT")],
    file: Annotated[
        Path | None, typer.Option(help="Where to write it; by default report.html in OUT.", show_default=False)
    ] = None,
    pictures: Annotated[
        int, typer.Option(min=0, help="Of how many scans pictures are shown; those that matter come first.")
    ] = DEFAULT_PICTURES,
    model: Annotated[
        str | None, typer.Option(help="The model file of the run, where it is none that ctseg brings along.")
    ] = None,
) -> None:
    """Write a report of what `ctseg batch` found: one HTML file that needs no network.

    Example: ctseg report results
    """
    if file is not None and file.suffix.lower() not in _ENDINGS:
        raise CallError(f"--file {file}: a report is HTML, so name a file that ends in .html")
    require_report()
    from rich.progress import Progress
    from rich.text import Text

    from ctseg_batch.reporting.build import write_report
    from ctseg_batch.terminal.table import people_console

    console = people_console()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        done = write_report(out, file, pictures, find_model(model) if model else None, bar.track)
    console.print(Text(printable(done.told())), soft_wrap=True)
