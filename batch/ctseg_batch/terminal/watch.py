"""The progress of a run: a bar on a terminal, a line a minute in a log."""

import threading
import time
from collections.abc import Callable
from typing import Protocol, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from ctseg.printable import printable, span
from ctseg.process.progress import redraws
from ctseg_batch.watcher import Watcher

Clock = Callable[[], float]
"""Returns seconds since some moment."""

_BETWEEN_LINES_S = 60.0


class ConsoleWatcher(Watcher):
    """Shows remarks as lines, and the progress of slices; a context manager.

    The progress is a bar on a terminal; elsewhere, as in a log, it is a line a minute by the `clock`.
    """

    def __init__(self, console: Console, clock: Clock = time.monotonic) -> None:
        self._console = console
        self._progress: _Progress = _Bar(console) if redraws(console) else _Lines(self.remark, clock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def remark(self, line: str) -> None:
        """Show a line."""
        self._console.print(Text(printable(line)), soft_wrap=True)

    def expect(self, slices: int) -> None:
        """Expect so many more slices."""
        self._progress.expect(slices)

    def advance(self) -> None:
        """Count a slice."""
        self._progress.advance()


class _Progress(Protocol):
    """Shows the progress of slices."""

    def expect(self, slices: int) -> None: ...

    def advance(self) -> None: ...

    def stop(self) -> None: ...


class _Bar:
    """A bar with slices, slices per second and the remaining time; it appears with the first slice."""

    def __init__(self, console: Console) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            _Rate(),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            console=console,
            expand=True,
        )
        self._task = self._bar.add_task("slices", total=0, start=False)

    def expect(self, slices: int) -> None:
        self._bar.start_task(self._task)
        self._bar.update(self._task, total=(self._bar.tasks[0].total or 0) + slices, description="slices")

    def advance(self) -> None:
        self._bar.start()
        self._bar.advance(self._task)
        if self._bar.finished:  # the outputs and measures of whole scans come after their slices
            self._bar.update(self._task, description="finishing scans")

    def stop(self) -> None:
        self._bar.live.transient = self._bar.finished  # the summary says the rest; after Ctrl-C it shows how far it got
        self._bar.stop()


class _Lines:
    """A line a minute: `1200 of 20000 slices, 34.1 slices/s, 9 min left`, by the speed since the previous line."""

    def __init__(self, say: Callable[[str], None], clock: Clock) -> None:
        self._say, self._clock = say, clock
        self._lock = threading.Lock()
        self._total = self._done = self._done_then = 0
        self._then = clock()

    def expect(self, slices: int) -> None:
        with self._lock:
            self._total += slices

    def advance(self) -> None:
        with self._lock:
            self._done += 1
            now = self._clock()
            if now - self._then < _BETWEEN_LINES_S:
                return
            speed = (self._done - self._done_then) / (now - self._then)
            self._then, self._done_then = now, self._done
            left = span((self._total - self._done) / speed)
            line = f"{self._done} of {self._total} slices, {speed:.1f} slices/s, {left} left"
        self._say(line)

    def stop(self) -> None:
        """Nothing: the summary follows."""


class _Rate(ProgressColumn):
    """`34.1 slices/s`."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.1f} slices/s", style="progress.data.speed")
