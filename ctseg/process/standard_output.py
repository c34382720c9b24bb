"""Standard output for results that were asked for there, with a clear error if it can't be written."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from ctseg.errors import CallError


@contextmanager
def standard_output(kept: str = "") -> Iterator[TextIO]:
    """The stream; raises CallError if writing fails, with a remark on what is `kept` in spite of it."""
    if sys.stdout is None:
        raise _lost("there is none", kept)
    try:
        yield sys.stdout
        sys.stdout.flush()
    except OSError as error:
        with suppress(OSError):  # else the interpreter would try again at exit, and print an error
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise _lost(error.strerror or str(error), kept) from error


def _lost(why: str, kept: str) -> CallError:
    return CallError(f"standard output can't be written ({why}){kept and f'; {kept}'}")
