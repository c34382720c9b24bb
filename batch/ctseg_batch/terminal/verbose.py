"""What `-v` adds: a line for each scan as it ends, and where the time went."""

import threading
from collections import Counter
from collections.abc import Iterator

from ctseg.measures import measure
from ctseg.printable import count, decimals
from ctseg.stages import Stage
from ctseg_batch.result import PartResult
from ctseg_batch.terminal.watch import ConsoleWatcher


class VerboseWatcher(ConsoleWatcher):
    """Also shows each scan as it ends."""

    def tell(self, result: PartResult) -> None:
        """A line with the scan's figures; for a large folder of images, one for each part."""
        self.remark(", ".join(_figures(result)))


class StageTotals:
    """A listener that adds up the time of each stage, over all workers."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ns: Counter[Stage] = Counter()

    def note(self, name: Stage, start: int, end: int, slices: int, pixels: int) -> None:  # noqa: ARG002 - a listener
        """A stage ended."""
        with self._lock:
            self._ns[name] += end - start

    def line(self) -> str:
        """A line with the share of each stage, the longest first."""
        total = self._ns.total()
        if not total:
            return "where the time went: nothing was done"
        shares = ", ".join(f"{name} {ns / total:.0%}" for name, ns in self._ns.most_common())
        return f"where the time went: {shares}; {total / 1e9:.1f} s over all workers"


def _figures(result: PartResult) -> Iterator[str]:
    failed = f" of {result.slices}, the others failed" if result.failed_slices else ""
    yield f"{result.scan_name}: {count(result.labelled, 'slice')}{failed}"
    measures = measure(result.pixels, result.spacing_mm, result.voxels)
    if measures.lung_ml is not None:
        yield f"lung {decimals(measures.lung_ml, 0)} mL"
    if measures.involvement_percent is not None:
        yield f"{decimals(measures.involvement_percent, 1)} % involved"
