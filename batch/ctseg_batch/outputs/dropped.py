"""Kinds of output that only earlier runs have written: removed from every scan that this run does."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

from ctseg_batch.outputs.output_files import OutputFiles

Paths = Callable[[Sequence[str], Sequence[str]], Iterator[str]]
"""The files of slices and scans, below OUT."""


class Dropped:
    """Removes the files of each of the kinds; `scans` collects by kind those that had any, named as in `Outputs`."""

    def __init__(self, output_files: OutputFiles, kinds: Mapping[str, Paths]) -> None:
        self._output_files, self._kinds = output_files, kinds
        self.scans: defaultdict[str, set[str]] = defaultdict(set)

    def take_away(self, slices: Sequence[str], scan_output: str) -> None:
        """Remove the files of slices and their scan, and folders that are empty then; raises CallError."""
        for kind, paths in self._kinds.items():
            gone = list(filter(self._output_files.remove, paths(slices, [scan_output])))
            if gone:
                self._output_files.remove_empty({path.rpartition("/")[0] for path in gone})
                self.scans[kind].add(scan_output)

    def foresee(self, slices: Sequence[str], scan_output: str) -> None:
        """Collect the scan in `scans` as `take_away` would, but remove nothing."""
        for kind, paths in self._kinds.items():
            if any(map(self._output_files.is_there, paths(slices, [scan_output]))):
                self.scans[kind].add(scan_output)
