"""Standard output, for those who asked for what goes there: where it can't be written, that is told as what it is."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from ctseg.errors import CallError


@contextmanager
def standard_output(kept: str = "") -> Iterator[TextIO]:
    """To write to; raises CallError where that fails, which says what is `kept` all the same."""
    if sys.stdout is None:
        raise _lost("there is none", kept)
    try:
        yield sys.stdout
        sys.stdout.flush()
    except OSError as error:
        with suppress(OSError):  # else the interpreter would try once more when it ends, and say so
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise _lost(error.strerror or str(error), kept) from error


def _lost(why: str, kept: str) -> CallError:
    return CallError(f"standard output can't be written ({why}){kept and f'; {kept}'}")
