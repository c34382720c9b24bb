"""Delay Ctrl-C, and other signals that end a run, for a moment."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Keep Ctrl-C, and SIGTERM and SIGHUP where they are handled like it, waiting until the block ends.

    Amid torch's writing it would end in C++ code, which takes it for a full disk, or aborts; amid the start of a thread
    it would leave one that nobody waits for, and which aborts the process as that ends.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    numbers = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
    handled = {number: handler for number in numbers if callable(handler := signal.getsignal(number))}
    for number in handled:
        signal.signal(number, lambda number, _frame: came.append(number))
    try:
        yield
    finally:
        for number, handler in handled.items():
            signal.signal(number, handler)
    if came:
        signal.raise_signal(came[0])
