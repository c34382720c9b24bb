"""The consoles for people."""

from collections.abc import Iterable
from typing import TextIO

from rich.console import Console, RenderableType
from rich.text import Text

from ctseg.classes import CLASSES
from ctseg.process.output_console import OutputConsole

_WIDE = 160


def people_console() -> Console:
    """A console on standard error; without a terminal, it is wide enough for the table."""
    console = Console(stderr=True)
    return console if console.file.isatty() else Console(stderr=True, width=_WIDE)


def output_console(stream: TextIO) -> Console:
    """The same on standard output, the `stream`."""
    return OutputConsole(file=stream, width=None if stream.isatty() else _WIDE)


def show(console: Console, report: Iterable[RenderableType]) -> None:
    """Print tables and lines."""
    for shown in report:
        # Lines are not wrapped, so that a log can be searched; tables have to fit.
        console.print(shown, highlight=False, soft_wrap=isinstance(shown, Text))


def legend() -> Text:
    """The classes in their colours, with their values in a mask."""
    swatches = (Text.assemble(("██", "rgb({},{},{})".format(*c.colour)), f" {c.index} {c.title}") for c in CLASSES)
    return Text("   ").join(swatches)
