"""Threads that work off tasks, with only so many waiting that memory stays flat however long the run."""

import threading
from collections import deque
from collections.abc import Callable
from contextvars import copy_context
from types import TracebackType
from typing import Self

from ctseg.errors import CallError

Task = Callable[[], None]

# Tasks that wait for each worker: enough to bridge the time in which the headers of the next series are read. Who hands
# them over is woken when so few are left, not at each task that is done: it would take a core from the workers.
_AHEAD, _LEFT = 32, 24
_NAME = "ctseg-worker-"


class Workers:
    """So many threads, or fewer where the system gives no more; a context manager.

    It waits for all tasks, or on an error only for those that are running. Slices are read, labelled and written by
    whoever is free: decoding, the network and encoding all let go of the interpreter's lock, so threads keep every core
    busy and share one model. As many more wait for the disk, lest a core be idle meanwhile.
    """

    def __init__(self, count: int) -> None:
        self._count, self._most, self._few = count, count * _AHEAD, count * _LEFT
        self._awaited = 0
        self._stopped = False
        self._error: BaseException | None = None
        # Entered itself, not by its conditions: these are Python, and Ctrl-C within them would leave it locked.
        self._lock = threading.Lock()
        self._ended = threading.Condition(self._lock)
        self._working, self._waiting = _Queue(self._lock), _Queue(self._lock)
        # In a copy of the caller's context each: who listens to the caller's stages listens to theirs.
        self._threads = [
            threading.Thread(target=copy_context().run, args=(self._work, queue), name=f"{_NAME}{number}", daemon=True)
            for number, queue in enumerate([self._working] * count + [self._waiting] * count)
        ]

    def __enter__(self) -> Self:
        for number, thread in enumerate(self._threads):
            try:
                thread.start()
            except RuntimeError as error:
                if number == 0:
                    raise CallError("the system gives no more threads: see its limits (ulimit -u)") from error
                del self._threads[number:]
                break
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait, and raise what a task raised."""
        try:
            if kind is None:
                self.drain()
        finally:
            with self._lock:
                self._stopped = True
                self._working.added.notify_all()
                self._waiting.added.notify_all()
            for thread in self._threads:
                thread.join()

    def add(self, task: Task) -> None:
        """Hand over a task once there is room; raises what an earlier task raised."""
        self._wait_for(self._most - 1 if self._unfinished < self._most else self._few)
        with self._lock:
            self._working.append(task)

    def add_next(self, task: Task) -> None:
        """From within a task: hand over another, to be done before those that wait."""
        with self._lock:
            self._working.appendleft(task)

    def add_waiting(self, task: Task) -> None:
        """From within a task: hand over another that does little but wait for the disk.

        Where all threads wait for it already it is done at once: no more is piled up than the disk can take.
        """
        with self._lock:
            has_room = not self._stopped and self._waiting.unfinished < len(self._threads) - self._count
            if has_room:
                self._waiting.append(task)
        if not has_room:
            task()

    def drain(self) -> None:
        """Wait until all that was handed over is done; raises what a task raised."""
        self._wait_for(0)

    @property
    def _unfinished(self) -> int:
        return self._working.unfinished + self._waiting.unfinished

    def _wait_for(self, unfinished: int) -> None:
        """Wait until no more than so many tasks are left."""
        with self._lock:
            self._awaited = unfinished
            self._ended.wait_for(lambda: self._error or self._unfinished <= unfinished)
            if self._error:
                raise self._error

    def _work(self, queue: "_Queue") -> None:
        while (task := self._take(queue)) is not None:
            error: BaseException | None = None
            try:
                task()
            except BaseException as raised:  # noqa: BLE001 - raised again in the thread that hands over tasks
                error = raised
            with self._lock:
                queue.unfinished -= 1
                self._error = self._error or error
                self._stopped = self._stopped or error is not None
                if error or self._unfinished <= self._awaited:
                    self._ended.notify()

    def _take(self, queue: "_Queue") -> Task | None:
        with self._lock:
            queue.added.wait_for(lambda: queue.tasks or self._stopped)
            # What only waits for the disk was finished, and is not lost.
            is_over = self._stopped and (queue is self._working or not queue.tasks)
            return None if is_over else queue.tasks.popleft()


class _Queue:
    """Tasks that wait for a thread, which waits for them if there are none; `unfinished` counts those at hand, too.

    Used with the lock held.
    """

    def __init__(self, lock: threading.Lock) -> None:
        self.tasks: deque[Task] = deque()
        self.unfinished = 0
        self.added = threading.Condition(lock)

    def append(self, task: Task) -> None:
        """To be done after those that wait."""
        self.tasks.append(task)
        self._tell()

    def appendleft(self, task: Task) -> None:
        """To be done before them."""
        self.tasks.appendleft(task)
        self._tell()

    def _tell(self) -> None:
        self.unfinished += 1
        self.added.notify()


def any_at_work() -> bool:
    """Whether workers of this process live on: whoever waited for them was interrupted at that."""
    return any(thread.name.startswith(_NAME) for thread in threading.enumerate())


class Countdown:
    """How much is left of what several threads do: tells the one that does the last of it."""

    def __init__(self, count: int) -> None:
        self._left = count
        self._lock = threading.Lock()

    def add(self, count: int = 1) -> None:
        """So many more are to be done."""
        with self._lock:
            self._left += count

    def done(self, count: int = 1) -> bool:
        """So many are done; whether these were the last."""
        with self._lock:
            self._left -= count
            return self._left == 0
