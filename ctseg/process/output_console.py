"""A rich console on standard output."""

import errno
import os
from typing import NoReturn

from rich.console import Console


class OutputConsole(Console):
    """Raises BrokenPipeError where the reader is gone, for `standard_output` to tell; rich would exit in silence."""

    def on_broken_pipe(self) -> NoReturn:
        """Called by rich."""
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
