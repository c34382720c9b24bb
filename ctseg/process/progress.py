"""Progress that is redrawn in place, for terminals only: in a log it would be a thousand lines."""

from contextlib import AbstractContextManager, nullcontext

from rich.console import Console


def redraws(console: Console) -> bool:
    """Whether a console is a terminal; rich also takes a log for one if FORCE_COLOR is set."""
    return console.is_interactive and console.file.isatty()


def busy(console: Console, doing: str) -> AbstractContextManager[object]:
    """Show on a terminal what is being done in the block."""
    return console.status(doing) if redraws(console) else nullcontext()
