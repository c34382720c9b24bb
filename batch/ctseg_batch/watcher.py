"""Who follows the progress of a run: a terminal, a profile, or nobody."""

from ctseg_batch.result import PartResult


class Watcher:
    """Follows the progress of a run, and shows nothing of it, unless a subclass does. Called from several threads."""

    def remark(self, line: str) -> None:
        """A line to show, such as which model and device are used."""

    def expect(self, slices: int) -> None:
        """Add so many slices to those that will be done; a negative number takes some off."""

    def advance(self) -> None:
        """A slice is labelled, or has failed."""

    def tell(self, result: PartResult) -> None:
        """A part is done, and its last file written: a series, a volume, or some images of a folder."""
