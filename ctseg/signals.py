"""SIGTERM and SIGHUP, from a scheduler or a container, end a run like Ctrl-C: what was finished is kept.

Each of them waits where it would do harm.
"""

import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType

_NAMES = ("SIGTERM", "SIGHUP")


class Terminated(KeyboardInterrupt):
    """A signal that asks the process to end; `status` is the exit status of a process that died of it."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.status = 128 + number


def status_of(stopped: KeyboardInterrupt) -> int:
    """The exit status of a process that was ended so: 130 for Ctrl-C."""
    return stopped.status if isinstance(stopped, Terminated) else 128 + signal.SIGINT


@contextmanager
def raised() -> Iterator[None]:
    """Raise Terminated on such a signal. A signal that is ignored, as under nohup, stays ignored."""
    if threading.current_thread() is not threading.main_thread():  # only this one may set handlers
        yield
        return
    former = {number: signal.getsignal(number) for number in _numbers(_NAMES)}
    for number, handler in former.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, _raise)
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


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
    handled = {
        number: handler for number in _numbers(("SIGINT", *_NAMES)) if callable(handler := signal.getsignal(number))
    }
    for number in handled:
        signal.signal(number, lambda number, _frame: came.append(number))
    try:
        yield
    finally:
        for number, handler in handled.items():
            signal.signal(number, handler)
    if came:
        signal.raise_signal(came[0])


@contextmanager
def awaiting_start() -> Iterator[None]:
    """For the start of a library that handles signals itself, and would crash if interrupted half way.

    Ctrl-C is raised after the block, or at once if it comes twice. If the library exits because of SIGTERM, that
    becomes Terminated.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    came: list[int] = []

    def wait(number: int, _frame: FrameType | None) -> None:
        if came:
            raise KeyboardInterrupt
        came.append(number)

    signal.signal(signal.SIGINT, wait)
    try:
        yield
    except SystemExit as left:
        raise Terminated(signal.SIGTERM) from left
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
    if came:
        raise KeyboardInterrupt


def _numbers(names: Iterable[str]) -> list[int]:
    """The signals of these names that this system has."""
    return [getattr(signal, name) for name in names if hasattr(signal, name)]


def _raise(number: int, _frame: FrameType | None) -> None:
    raise Terminated(number)
