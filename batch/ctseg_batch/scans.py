"""The scans below a path, by name, each opened and none read: what `ctseg batch` would do one after the other."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from ctseg import reading
from ctseg.errors import UnreadableFile
from ctseg.scan import Scan
from ctseg_batch.inputs.discover import discover
from ctseg_batch.inputs.input_files import InputFiles
from ctseg_batch.inputs.selection import Selection
from ctseg_batch.journal.past import Past
from ctseg_batch.outputs.slice_outputs import NoOutputs
from ctseg_batch.parts.part import Part
from ctseg_batch.parts.plan import Planner
from ctseg_batch.result import Failure, PartResult


@dataclass(frozen=True, slots=True)
class NamedScan:
    """A scan as `ctseg batch` calls it; `slices` is None where it can't be opened, and `failed` says why.

    Where headers of a folder can't be read, `failed` names these files with each of its series: of which one they are
    can't be told. `series` is as PartResult has it.
    """

    name: str
    slices: Scan | None
    failed: tuple[UnreadableFile, ...] = ()
    series: str = ""


def find_scans(path: Path, selection: Selection) -> Iterator[NamedScan]:
    """The scans at or below `path`, in the order of a run; raises CallError where there is no such path."""
    found = discover([path])
    for error in found.failed:
        yield NamedScan(os.path.relpath(error.file, found.root), None, (error,))
    planner = Planner(Past(), NoOutputs(), None, None, selection, InputFiles())
    planner.survey(found.sites)
    for site in found.sites:
        planner.errors.clear()
        by_scan: dict[str, list[Part]] = {}
        failures: list[Failure] = []
        for step in chain.from_iterable(map(planner.plan, planner.parts(site))):
            if isinstance(step, PartResult):
                failures += step.failures
            else:
                by_scan.setdefault(step.scan, []).append(step)
        failed = tuple(UnreadableFile(found.root / one.file, one.reason) for one in (*failures, *planner.errors))
        for name, parts in by_scan.items():
            yield NamedScan(name, _joined(parts), failed, parts[0].series)
        if failed and not by_scan:
            yield NamedScan(site.name, None, failed)


def _joined(parts: Sequence[Part]) -> Scan:
    """The images of a folder, which a run does in parts, are one scan."""
    if len(parts) == 1:
        return parts[0].slices
    return reading.open_images([file for part in parts for file in part.slices.files])
