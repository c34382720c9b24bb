"""Standard error that stops nobody: what can't be told, as to a full disk or a closed terminal, is lost."""

import contextlib
import os
import sys
from typing import Any, TextIO, cast


class _Lenient:
    """A text file in all but that nothing is wrong with writing to it."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> int:
        """As much of it as can be."""
        with contextlib.suppress(OSError):
            self._file.write(text)
        return len(text)

    def flush(self) -> None:
        """As much of it as can be."""
        with contextlib.suppress(OSError):
            self._file.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def make_lenient() -> None:
    """Make this process's standard error such, also where the caller gave it none.

    For good: the interpreter flushes it when it ends, and would call it a failure of the process.
    """
    if sys.stderr is None:
        # A file that is opened gets the first free number. What libraries say on that of standard error would go there.
        while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
            pass
        os.close(number)
        sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115
    if not isinstance(sys.stderr, _Lenient):
        sys.stderr = cast("TextIO", _Lenient(sys.stderr))
