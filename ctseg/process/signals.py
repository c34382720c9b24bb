"""SIGTERM and SIGHUP, from a scheduler or a container, end a run like Ctrl-C: what was finished is kept.

Each of them waits where it would do harm.
"""

import signal
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

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
    with _handled({number: _raise for number in _numbers(_NAMES) if signal.getsignal(number) is not signal.SIG_IGN}):
        yield


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Keep Ctrl-C, and SIGTERM and SIGHUP where they are handled like it, waiting until the block ends.

    Amid torch's writing it would end in C++ code, which takes it for a full disk, or aborts, as it does amid torch's
    loading; amid the start of a thread it would leave one that nobody waits for, and which aborts the process as that
    ends.
    """
    came: list[int] = []

    def wait(number: int, _frame: FrameType | None) -> None:
        came.append(number)

    with _handled({number: wait for number in _numbers(("SIGINT", *_NAMES)) if callable(signal.getsignal(number))}):
        yield
    if came:
        signal.raise_signal(came[0])


@contextmanager
def awaiting_start() -> Iterator[None]:
    """For the start of a library that handles signals itself, and would crash if interrupted half way.

    Ctrl-C is raised after the block, or at once if it comes twice. If the library exits because of SIGTERM, that
    becomes Terminated.
    """
    came: list[int] = []

    def wait(number: int, _frame: FrameType | None) -> None:
        if came:
            raise KeyboardInterrupt
        came.append(number)

    # The library replaces the handler of SIGTERM, too.
    with _handled({signal.SIGINT: wait, signal.SIGTERM: signal.getsignal(signal.SIGTERM)}):
        try:
            yield
        except SystemExit as left:
            raise Terminated(signal.SIGTERM) from left
    if came:
        raise KeyboardInterrupt


@contextmanager
def _handled(handlers: Mapping[int, Any]) -> Iterator[None]:
    """Handle signals in a block; only the main thread may set handlers, so in others nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _numbers(names: Iterable[str]) -> list[int]:
    """The signals of these names that this system has."""
    return [getattr(signal, name) for name in names if hasattr(signal, name)]


def _raise(number: int, _frame: FrameType | None) -> None:
    raise Terminated(number)
