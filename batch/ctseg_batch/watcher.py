"""Who follows the progress of a run: a terminal, a profile, or nobody."""

from typing import Protocol

from ctseg_batch.result import PartResult


class Watcher(Protocol):
    """Follows the progress of a run. Called from several threads."""

    def remark(self, line: str) -> None:
        """A line to show, such as which model and device are used."""
        ...

    def expect(self, slices: int) -> None:
        """Add so many slices to those that will be done; a negative number takes some off."""
        ...

    def advance(self) -> None:
        """A slice is labelled, or has failed."""
        ...

    def tell(self, result: PartResult) -> None:
        """A part is done, and its last file written: a series, a volume, or some images of a folder."""
        ...


class SilentWatcher:
    """Shows nothing."""

    def remark(self, line: str) -> None:
        """Nothing."""

    def expect(self, slices: int) -> None:
        """Nothing."""

    def advance(self) -> None:
        """Nothing."""

    def tell(self, result: PartResult) -> None:
        """Nothing."""
