"""The stages of a slice's way from file to mask, timed if somebody listens.

Code marks its work by `with stage("decode"):`, which costs a microsecond if nobody listens.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from time import perf_counter_ns
from typing import Literal, Protocol

Stage = Literal[
    "discover", "read", "decode", "prepare", "infer", "restore", "clean", "encode", "write", "measure", "sync"
]
"""In the order in which a slice passes them."""


class Listener(Protocol):
    """Called after each stage, in its thread; times are `perf_counter_ns`.

    `pixels`: those of the `slices` together as the network is fed them, 0 for stages without the network.
    """

    def note(self, name: Stage, start: int, end: int, slices: int, pixels: int) -> None:
        """A stage ended."""
        ...


_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


class stage:  # noqa: N801 - reads as the statement that it is
    """A context manager around the work of a stage. Stages are not nested."""

    __slots__ = ("_listener", "_name", "_pixels", "_slices", "_start")

    def __init__(self, name: Stage, slices: int = 1, pixels: int = 0) -> None:
        self._name, self._slices, self._pixels = name, slices, pixels

    def __enter__(self) -> None:
        self._listener = _listener.get()
        if self._listener is not None:
            self._start = perf_counter_ns()

    def __exit__(self, *_: object) -> None:
        if self._listener is not None:
            self._listener.note(self._name, self._start, perf_counter_ns(), self._slices, self._pixels)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Report all stages within the block to `listener`, of this thread and of workers that are started in the block."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)
