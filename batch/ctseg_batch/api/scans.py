"""The scans below a path, opened but not read, in the order of `ctseg batch`."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from ctseg import reading
from ctseg.errors import UnreadableFile
from ctseg.printable import count, printable
from ctseg.scan import Scan
from ctseg_batch.inputs.discover import Found, discover
from ctseg_batch.inputs.input_files import InputFiles
from ctseg_batch.inputs.selection import Selection
from ctseg_batch.journal.past import Past
from ctseg_batch.outputs.outputs import NoOutputs
from ctseg_batch.parts.part import Part
from ctseg_batch.parts.plan import Planner
from ctseg_batch.result import Failure, PartResult


@dataclass(frozen=True, slots=True, repr=False)
class NamedScan:
    """A scan under the name that `ctseg batch` gives it; `scan` is None if it can't be opened, and `failed` says why.

    If some headers of a folder can't be read, each of its series lists these files as `failed`, since it is unknown to
    which they belong. `series` is as in PartResult.
    """

    name: str
    scan: Scan | None
    failed: tuple[UnreadableFile, ...] = ()
    series: str = ""

    def __repr__(self) -> str:
        held = "can't be read" if self.scan is None else count(len(self.scan), "slice")
        return f"<NamedScan {printable(self.name)}: {held}>"


def find_scans(path: Path, selection: Selection, skipped: list[Failure]) -> Iterator[NamedScan]:
    """The scans at or below `path`, in the order of a run; raises CallError, at once, if there is no such path.

    What is no slice of a CT is added to `skipped`, with a reason.
    """
    return _opened(discover([path]), selection, skipped)


def _opened(found: Found, selection: Selection, skipped: list[Failure]) -> Iterator[NamedScan]:
    for error in found.failed:
        yield NamedScan(os.path.relpath(error.file, found.root), None, (error,))
    planner = Planner(Past(), NoOutputs(), None, None, selection, InputFiles())
    planner.survey(found.sites)
    for site in found.sites:
        planner.errors.clear()
        by_scan: dict[str, list[Part]] = {}
        failures: list[Failure] = []
        for step in chain.from_iterable(map(planner.plan, planner.pieces(site))):
            if isinstance(step, PartResult):
                failures += step.failures
            else:
                by_scan.setdefault(step.scan_name, []).append(step)
        failed = tuple(UnreadableFile(found.root / one.file, one.reason) for one in (*failures, *planner.errors))
        for name, parts in by_scan.items():
            yield NamedScan(name, _joined(parts), failed, parts[0].series)
        if failed and not by_scan:
            yield NamedScan(site.name, None, failed)
    skipped += planner.skipped


def _joined(parts: Sequence[Part]) -> Scan:
    """One scan of the parts that a run cuts a folder of images into."""
    if len(parts) == 1:
        return parts[0].scan
    return reading.open_images([file for part in parts for file in part.scan.files])
