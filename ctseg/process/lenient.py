"""A standard error that never fails: what can't be written, as to a full disk or a closed terminal, is dropped."""

import contextlib
import os
import sys
from typing import Any, TextIO, cast


class _Lenient:
    """A text file that ignores errors in writing."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> int:
        """Write as much of it as possible."""
        with contextlib.suppress(OSError):
            self._file.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush as much as possible."""
        with contextlib.suppress(OSError):
            self._file.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def make_lenient() -> None:
    """Make this process's standard error lenient, or the null device if the caller gave it none.

    It stays so: the interpreter flushes it at exit, and a failure there would change the exit status.
    """
    if sys.stderr is None:
        # The next file to be opened would get the descriptor of standard error, and libraries would print into it.
        while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
            pass
        os.close(number)
        sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115
    if not isinstance(sys.stderr, _Lenient):
        sys.stderr = cast("TextIO", _Lenient(sys.stderr))
