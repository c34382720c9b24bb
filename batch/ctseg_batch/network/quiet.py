"""Silence for libraries that print to standard error."""

import contextlib
import os
import sys
import threading
from collections.abc import Iterator

# The stream belongs to the whole process: a second thread would take the silence of the first for what was there.
_ONE_AT_A_TIME = threading.RLock()


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Discard what is printed on standard error, also by native code; exceptions pass."""
    if sys.stderr is None:  # as in a service that was started without one
        yield
        return
    with _ONE_AT_A_TIME:
        sys.stderr.flush()
        kept = os.dup(2)
        try:
            with open(os.devnull, "wb") as nowhere:  # noqa: PTH123
                os.dup2(nowhere.fileno(), 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
