"""Kinds of output that earlier runs into OUT wrote and this one does not: they go with all that it does."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

from ctseg_batch.outputs.output_files import OutputFiles

Paths = Callable[[Sequence[str], Sequence[str]], Iterator[str]]
"""The files of slices and scans, below OUT."""


class Dropped:
    """Takes away the files of each of the kinds; `scans` are those that had any, by kind, as `Outputs` names them."""

    def __init__(self, output_files: OutputFiles, kinds: Mapping[str, Paths]) -> None:
        self._output_files, self._kinds = output_files, kinds
        self.scans: defaultdict[str, set[str]] = defaultdict(set)

    def take_away(self, slices: Sequence[str], scan: str) -> None:
        """The files of slices and their scan, and folders that hold nothing then; raises CallError."""
        for kind, paths in self._kinds.items():
            gone = list(filter(self._output_files.remove, paths(slices, [scan])))
            if gone:
                self._output_files.remove_empty({path.rpartition("/")[0] for path in gone})
                self.scans[kind].add(scan)

    def foresee(self, slices: Sequence[str], scan: str) -> None:
        """Tell of the same files in `scans`, and leave them."""
        for kind, paths in self._kinds.items():
            if any(map(self._output_files.is_there, paths(slices, [scan]))):
                self.scans[kind].add(scan)
