"""What a person sees while a run goes on: a bar with slices, slices a second and the time that is left."""

from types import TracebackType
from typing import Self

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

from ctseg.printable import printable


class SilentWatcher:
    """Tells nobody."""

    def remark(self, line: str) -> None:
        """Nothing."""

    def expect(self, slices: int) -> None:
        """Nothing."""

    def advance(self) -> None:
        """Nothing."""


class ConsoleWatcher:
    """Shows remarks as lines, and the slices as a bar where the console is a terminal; a context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Progress(
            TextColumn("slices"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            _Rate(),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            console=console,
            disable=not console.is_terminal,
            expand=True,
        )
        self._task = self._bar.add_task("slices", total=0, start=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def remark(self, line: str) -> None:
        """A line of its own."""
        self._console.print(Text(printable(line)), soft_wrap=True)

    def expect(self, slices: int) -> None:
        """So many more slices."""
        self._bar.start_task(self._task)
        self._bar.update(self._task, total=(self._bar.tasks[0].total or 0) + slices)

    def advance(self) -> None:
        """One slice is done; the bar appears with the first."""
        self._bar.start()
        self._bar.advance(self._task)


class _Rate(ProgressColumn):
    """`34.1 slices/s`."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.1f} slices/s", style="progress.data.speed")
