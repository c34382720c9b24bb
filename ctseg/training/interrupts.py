"""Delay Ctrl-C for a moment."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Keep Ctrl-C waiting until the block ends.

    Amid torch's writing it would end in C++ code, which takes it for a full disk, or aborts; amid the start of a thread
    it would leave one that nobody waits for, and which aborts the process as that ends.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    former = signal.signal(signal.SIGINT, lambda number, _frame: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, former or signal.SIG_DFL)
    if came:
        signal.raise_signal(signal.SIGINT)
