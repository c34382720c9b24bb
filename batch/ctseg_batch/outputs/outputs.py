"""All outputs of a run, of slices and of whole scans, each kind in a folder below OUT."""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from ctseg.errors import CallError
from ctseg.stages import stage
from ctseg_batch.layout import RECORD
from ctseg_batch.outputs.dropped import Dropped
from ctseg_batch.outputs.labelled_scan import LabelledScan
from ctseg_batch.outputs.output_files import LocalOutputFiles, OutputFiles
from ctseg_batch.outputs.scan_outputs import SCAN_WRITERS, ScanWriter
from ctseg_batch.outputs.slice_outputs import SLICE_WRITERS, LabelledSlice, Need, SliceWriter
from ctseg_batch.result import LeftOut, PartResult

KINDS = (*SLICE_WRITERS, *SCAN_WRITERS)
"""All kinds of output: of slices, then of whole scans."""


def check_kinds(names: Iterable[str]) -> tuple[str, ...]:
    """The kinds of output by name, in the order of KINDS; raises CallError for an unknown one."""
    wanted = set(names)
    if not wanted or wanted - set(KINDS):
        strange = ", ".join(name or "''" for name in sorted(wanted - set(KINDS))) or "nothing"
        raise CallError(f"--write {strange}: choose from {', '.join(KINDS)}")
    return tuple(name for name in KINDS if name in wanted)


@dataclass(frozen=True, slots=True)
class Writers:
    """The writers of some kinds of output: of slices, and of whole scans by kind."""

    of_slices: tuple[SliceWriter, ...]
    of_scans: Mapping[str, ScanWriter]

    @classmethod
    def of(cls, kinds: Collection[str]) -> Self:
        """The writers of these kinds; one of a version to come, as a journal may name it, is left out."""
        return cls(
            tuple(SLICE_WRITERS[kind] for kind in kinds if kind in SLICE_WRITERS),
            {kind: SCAN_WRITERS[kind] for kind in kinds if kind in SCAN_WRITERS},
        )

    @property
    def folders(self) -> tuple[str, ...]:
        """Their folders below OUT."""
        return (*(writer.folder for writer in self.of_slices), *(writer.folder for writer in self.of_scans.values()))

    def paths(self, names: Iterable[str], scans: Iterable[str] = ()) -> Iterator[str]:
        """The files of slices and scans, below OUT."""
        yield from (f"{writer.folder}/{name}" for name in names for writer in self.of_slices)
        yield from (writer.path(scan) for scan in scans for writer in self.of_scans.values())


class Outputs:
    """The output files of one run, of slices and of whole scans.

    A scan is given as the path of its outputs below their folder, without an ending. `kinds` are all that OUT may hold
    of a part while it is under way, dropped ones included.
    """

    def __init__(self, output_files: OutputFiles, kinds: Sequence[str], dropped: Collection[str]) -> None:
        """`dropped`: kinds that only earlier runs have written; their files of parts that this run does are removed."""
        self._output_files = output_files
        self.kinds = (*kinds, *sorted(dropped))
        self._written, self._all = map(Writers.of, (kinds, self.kinds))
        self.dropped = Dropped(output_files, {kind: Writers.of([kind]).paths for kind in sorted(dropped)})

    @property
    def folders(self) -> tuple[str, ...]:
        """The folders below OUT that are written to."""
        return self._written.folders

    @property
    def scan_kinds(self) -> tuple[str, ...]:
        """The kinds that are written of whole scans."""
        return tuple(self._written.of_scans)

    @property
    def is_of_slices(self) -> bool:
        """Whether any kind is written of single slices."""
        return bool(self._written.of_slices)

    def needs(self, what: Need) -> bool:
        """Whether a kind that is written needs it."""
        return any(writer.needs == what for writer in self._written.of_slices)

    def write_label_tables(self) -> None:
        """Write what names the labels beside the files of scans; raises CallError."""
        writers = self._written.of_scans.values()
        tables = {f"{w.folder}/{name}": content for w in writers for name, content in w.label_tables().items()}
        for file, content in tables.items():
            self._output_files.write(file, content)
        if tables:
            self._output_files.sync(tables)

    def remove_unfinished(self) -> None:
        """Remove the unfinished files of a killed run."""
        self._output_files.remove_unfinished(self._all.folders)

    def write(self, name: str, labelled: LabelledSlice) -> None:
        """Write a slice's files, called `name` below each kind's folder.

        Raises UnreadableFile where OUT can't hold the name; CallError where OUT can't be written at all.
        """
        for writer in self._written.of_slices:
            with stage("encode"):
                encoded = writer.encode(labelled)
            self._output_files.write(f"{writer.folder}/{name}", encoded)

    def write_scan(self, kind: str, path: str, labelled: LabelledScan) -> None:
        """Make and write a scan's file; raises OutputUnavailable, UnreadableFile, and CallError as `write` does."""
        writer = self._written.of_scans[kind]
        with stage("encode"):
            content = writer.encode(labelled)
        self._output_files.write(writer.path(path), content)

    def left_out_in_parts(self) -> list[LeftOut]:
        """The kinds of whole scans, as left out for images that form no stack."""
        return [LeftOut(kind, writer.not_in_parts) for kind, writer in self._written.of_scans.items()]

    def sync(self, names: Sequence[str], scan_output: str) -> None:
        """Make sure that the files of slices and their scan survive a crash; raises CallError."""
        self._output_files.sync(self._written.paths(names, [scan_output]))

    def remove(self, names: Iterable[str], scans: Iterable[str] = ()) -> None:
        """Remove files of slices and scans, if there are any from an earlier run; raises CallError."""
        self._remove(self._all.paths(names, scans))

    def remove_scan(self, path: str, kinds: Collection[str]) -> None:
        """Remove a scan's files of some kinds; raises CallError if that is forbidden."""
        self._remove(Writers.of(kinds).paths([], [path]))

    def _remove(self, paths: Iterable[str]) -> None:
        for path in paths:
            self._output_files.remove(path)

    def are_complete(self, names: Iterable[str]) -> bool:
        """Whether all files of these slices are in place."""
        return all(map(self._output_files.has_content, self._written.paths(names)))

    def is_scan_complete(self, path: str, result: PartResult) -> bool:
        """Whether all files of a whole scan are in place, at this path, that were made with this result."""
        if not result.labelled:
            return True
        made = set(self.scan_kinds) - {one.kind for one in result.left_out}
        if made and result.scan_output not in ("", path):  # it is another scan's file that is there, if any is
            return False
        return all(map(self._output_files.has_content, Writers.of(made).paths([], [path])))

    def is_any_there(self, names: Iterable[str], scans: Iterable[str] = ()) -> bool:
        """Whether there is any file of these slices and scans, of any kind."""
        return any(map(self._output_files.is_there, self._all.paths(names, scans)))

    def has_folder(self, name: str) -> bool:
        """Whether any kind has a folder of that name, like that for the slices of a volume."""
        return any(self._output_files.has_folder(f"{folder}/{name}") for folder in self._all.folders)

    def tell_case(self) -> bool:
        """Whether names that differ only by case are different files; known once OUT is held."""
        return self._output_files.tells_case(RECORD)


class NoOutputs(Outputs):
    """Outputs that write nothing and find nothing."""

    def __init__(self) -> None:
        super().__init__(LocalOutputFiles(Path(os.devnull)), (), ())
