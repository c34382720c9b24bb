"""Where people see what a run says, and how it is put there."""

from collections.abc import Iterable

from rich.console import Console, RenderableType
from rich.text import Text

from ctseg.classes import CLASSES

_WIDE = 160


def people_console() -> Console:
    """Standard error; wide enough for the table where no terminal says how wide it is."""
    console = Console(stderr=True)
    return console if console.file.isatty() else Console(stderr=True, width=_WIDE)


def show(console: Console, report: Iterable[RenderableType]) -> None:
    """Print tables and lines."""
    for shown in report:
        # A line stays one, so that it can be searched for in a log; a table has to fit.
        console.print(shown, highlight=False, soft_wrap=isinstance(shown, Text))


def legend() -> Text:
    """The classes in their colours and what they are called in a mask."""
    swatches = (Text.assemble(("██", "rgb({},{},{})".format(*c.colour)), f" {c.index} {c.title}") for c in CLASSES)
    return Text("   ").join(swatches)
