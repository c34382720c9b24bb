"""Worker threads with a bounded queue of tasks, so that memory stays flat however long the run."""

import threading
from collections import deque
from collections.abc import Callable
from contextvars import copy_context
from typing import Self

from ctseg.errors import CallError

Task = Callable[[], None]

# Queued tasks per worker: enough to bridge the time in which the headers of the next series are read. The thread that
# adds them is woken when few are left, not after each task, which would take a core from the workers.
_AHEAD, _LEFT = 32, 24
_NAME = "ctseg-worker-"


class Workers:
    """`count` threads, or fewer if the system allows no more; a context manager.

    On exit it waits for all tasks, or after an error only for those that are running. Decoding, the network and
    encoding all release the interpreter's lock, so threads keep every core busy and share one model. As many threads
    again wait for the disk, so that no core is idle meanwhile.
    """

    def __init__(self, count: int) -> None:
        self._count, self._most, self._few = count, count * _AHEAD, count * _LEFT
        self._awaited = 0
        self._stopped = False
        self._error: BaseException | None = None
        # Entered directly, not through its conditions: these are Python code, and Ctrl-C in them would leave it locked.
        self._lock = threading.Lock()
        self._ended = threading.Condition(self._lock)
        self._working, self._waiting = _Queue(self._lock), _Queue(self._lock)
        # Each runs in a copy of the caller's context, so that a listener to the caller's stages hears of theirs.
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
                    raise CallError("the system provides no more threads: check its limits (ulimit -u)") from error
                del self._threads[number:]
                break
        return self

    def __exit__(self, kind: object, *_: object) -> None:
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
        """Queue a task once there is room; raises what an earlier task raised."""
        self._wait_for(self._most - 1 if self._unfinished < self._most else self._few)
        with self._lock:
            self._working.append(task)

    def add_next(self, task: Task) -> None:
        """From within a task: queue another before those that wait."""
        with self._lock:
            self._working.appendleft(task)

    def add_waiting(self, task: Task) -> None:
        """From within a task: queue another that does little but wait for the disk.

        If all threads for such tasks are busy it is run at once, so that no more piles up than the disk can take.
        """
        with self._lock:
            has_room = not self._stopped and self._waiting.unfinished < len(self._threads) - self._count
            if has_room:
                self._waiting.append(task)
        if not has_room:
            task()

    def drain(self) -> None:
        """Wait until all tasks are done; raises what a task raised."""
        self._wait_for(0)

    @property
    def _unfinished(self) -> int:
        return self._working.unfinished + self._waiting.unfinished

    def _wait_for(self, unfinished: int) -> None:
        """Wait until at most so many tasks are left."""
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
            # Tasks that only wait for the disk are of finished parts: they are done even after an error.
            is_over = self._stopped and (queue is self._working or not queue.tasks)
            return None if is_over else queue.tasks.popleft()


class _Queue:
    """A queue of tasks; `unfinished` also counts those that are running. Used with the lock held."""

    def __init__(self, lock: threading.Lock) -> None:
        self.tasks: deque[Task] = deque()
        self.unfinished = 0
        self.added = threading.Condition(lock)

    def append(self, task: Task) -> None:
        """Add a task at the end."""
        self.tasks.append(task)
        self._tell()

    def appendleft(self, task: Task) -> None:
        """Add a task at the front."""
        self.tasks.appendleft(task)
        self._tell()

    def _tell(self) -> None:
        self.unfinished += 1
        self.added.notify()


def any_at_work() -> bool:
    """Whether worker threads of this process are still running, as when waiting for them was interrupted."""
    return any(thread.name.startswith(_NAME) for thread in threading.enumerate())


class Countdown:
    """Counts down work that several threads share, and tells the thread that finishes the last of it."""

    def __init__(self, count: int) -> None:
        self._left = count
        self._lock = threading.Lock()

    def add(self, count: int = 1) -> None:
        """Add to the work that is left."""
        with self._lock:
            self._left += count

    def done(self, count: int = 1) -> bool:
        """Take off what is done; returns whether nothing is left."""
        with self._lock:
            self._left -= count
            return self._left == 0
