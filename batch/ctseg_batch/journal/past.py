"""What earlier runs did, from the journals that they wrote in OUT (`record`).

Each line is a JSON object. The first one holds the root and the settings that the rest belongs to. A part is recorded
when it is begun and again when its last file is written; a line that is incomplete or damaged is ignored. Each
shard has a journal of its own, so that shards never wait for each other. Runs are numbered across journals: for each
part the record of the latest run counts, in whichever journal it is.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import count, takewhile
from pathlib import Path, PurePath

from ctseg.errors import CallError
from ctseg_batch.inputs.listing import Listing
from ctseg_batch.inputs.scan_names import LENGTHENED
from ctseg_batch.inputs.site import Site
from ctseg_batch.journal.entries import FORMAT, part_id_at, part_id_of, plain_settings, undone
from ctseg_batch.journal.lines import JournalEntry, whole_lines
from ctseg_batch.layout import is_sibling, journal_file, journal_files
from ctseg_batch.result import PartResult, Settings
from ctseg_batch.slice_figures import SliceFigures, unpack, without_figures

# A series in a folder of several, a stack of frames in a file of several.
_ONE_OF_SEVERAL = re.compile(rf"(.*[#/])(?:(?<=#)[0-9a-f]{{8}}(?:{LENGTHENED})*|(?<=/)\d+):0", re.DOTALL)


@dataclass
class Past:
    """The records of earlier runs by part and by folder, without those of other shards of the same cut.

    A part without a key is not done: a run stopped while it was under way, it was done under other settings, or it is
    to be done again. Its record only tells which outputs there may be. `own` are the records in the run's own journal,
    `size` is the length of that journal up to an incomplete line; 0 if it is to be rewritten. `run` is the number of
    the latest run. `all_closed`: no run has left unfinished files in OUT.
    """

    parts: dict[str, JournalEntry] = field(default_factory=dict)
    folders: dict[str, JournalEntry] = field(default_factory=dict)
    own: list[JournalEntry] = field(default_factory=list)
    run: int = 0
    size: int = 0
    all_closed: bool = False

    def kinds(self) -> set[str]:
        """All kinds of output that OUT may hold."""
        return {kind for noted in self.parts.values() for kind in noted["write"]}

    def voided(self) -> "Past":
        """What is left if nothing counts any more: the parts, none of them done, and no folders, `own` or `size`."""
        parts = {part_id: {**undone(noted), "run": noted["run"]} for part_id, noted in self.parts.items()}
        return Past(parts, run=self.run, all_closed=self.all_closed)

    def overwritten(self, sites: Iterable[Site]) -> "Past":
        """The same with these sites to be done again, by this run or, if it is stopped, by the next one."""
        again, names = {}, set()
        for site in sites:
            names.add(site.name)
            for part_id, noted in self.about(site).parts.items():
                again[part_id] = {**undone(noted), "run": self.run + 1}
        still = [one for one in self.own if one.get("part") not in again and one.get("folder") not in names]
        folders = {name: noted for name, noted in self.folders.items() if name not in names}
        return Past(self.parts | again, folders, own=[*still, *again.values()], run=self.run)

    def result(self, part_id: str, key: str) -> PartResult | None:
        """The result of a part, if it was done from inputs with this key."""
        noted = self.parts.get(part_id)
        return None if noted is None or noted["key"] != key else PartResult.from_json(noted["result"])

    def part_ids(self, scan_name: str, first: int = 0) -> Iterator[str]:
        """The ids of the parts of a scan, from number `first` up to the first one without a record."""
        return takewhile(self.parts.__contains__, (part_id_of(scan_name, number) for number in count(first)))

    def rows(self, part_id: str) -> list[SliceFigures]:
        """The slices of a part, from whatever inputs it was done."""
        noted = self.parts.get(part_id)
        return list(unpack(noted["result"]["by_slice"])) if noted else []

    def scan_output(self, part_id: str) -> str:
        """The path of outputs of the whole scan of a part, from whatever inputs it was done; empty without any."""
        noted = self.parts.get(part_id)
        return str(noted["result"]["scan_output"]) if noted else ""

    def outline(self, site: Site) -> PartResult:
        """What OUT may hold of a site that is one part: of its present files, and of those that it had before."""
        part_id = part_id_at(site)
        slices = {one.source: one.mask for one in self.rows(part_id)}
        slices |= zip(site.below(site.files), site.mask_names(site.files), strict=True)
        rows = without_figures(slices.items())
        return PartResult(site.scan_name, len(slices), by_slice=rows, scan_output=self.scan_output(part_id))

    def slices(self, scan_name: str) -> int:
        """How many slices a scan of one part had, from whatever inputs it was done."""
        noted = self.parts.get(part_id_of(scan_name))
        return int(noted["result"]["slices"]) if noted else 0

    def scans(self, site: Site) -> set[str]:
        """The scans that were recorded of a folder's DICOM files, whichever files these were."""
        part_ids = {part_id_of(site.name), *self._several.get(f"{site.name}#", ())} & self.parts.keys()
        return {str(self.parts[part_id]["result"]["scan"]) for part_id in part_ids if self._is_within(site, part_id)}

    def _is_within(self, site: Site, part_id: str) -> bool:
        """Whether a part is of files in this very folder: one beside it may have the name of one of its series."""
        return all(one.source.rpartition("/")[0] == site.within[:-1] for one in self.rows(part_id))

    def listing(self, folder: str, key: str) -> Listing | None:
        """The recorded listing of a folder, if its files are still the same."""
        noted = self.folders.get(folder)
        return Listing.from_json(noted) if noted and noted["key"] == key else None

    @cached_property
    def _several(self) -> Mapping[str, Sequence[str]]:
        """The ids of parts that share a folder or a file, by the name of that and the `#` or `/` that follows."""
        part_ids = defaultdict(list)
        for part_id in self.parts:
            if one := _ONE_OF_SEVERAL.fullmatch(part_id):
                part_ids[one[1]].append(part_id)
        return part_ids

    def about(self, site: Site) -> "Past":
        """The records that are needed to plan one site alone."""
        part_ids = list(self.part_ids(site.scan_name)) if site.piece is None else [part_id_at(site)]
        if site.kind != "image":
            part_ids += self._several.get(f"{site.name}#", ())
            for file in site.below(site.files):
                part_ids += [part_id_of(file), *self._several.get(f"{file}/", ())]
        folders = {site.name: self.folders[site.name]} if site.name in self.folders else {}
        return Past({part_id: self.parts[part_id] for part_id in part_ids if part_id in self.parts}, folders)


def recall(out: Path, root: str, settings: Settings, mark: str = "", called: str | None = None) -> Past:
    """Read the journals in OUT, except those of other shards of the same cut as the one with that `mark`.

    `called` is the name of OUT in messages, if not `out`. What was done under other settings is not done. Raises
    CallError if OUT holds the results of another root.
    """
    wanted, read = plain_settings(settings), {}
    for journal in journal_files(out):
        lines = whole_lines(journal)
        start, head = next(lines, (0, {}))
        _check_format(journal, head)
        if head["root"] != root:
            if journal != journal_file(out, mark) or any("part" in noted for _, noted in lines):
                raise _other_root(called or str(out), root, head["root"])
            continue  # of a call that could read nothing, to be written anew
        if not is_sibling(journal.name, mark):  # it has none of this shard's scans, and may be at work
            one = _read(start, head["settings"].get("write", ()), lines)
            read[journal] = one if head["settings"] == wanted else one.voided()
    own = read.pop(journal_file(out, mark), Past())
    past = replace(
        own,
        parts=dict(own.parts),
        own=[*own.parts.values(), *own.folders.values()],
        all_closed=own.size > 0 and own.all_closed,
    )
    for other in read.values():
        past.run = max(past.run, other.run)
        past.folders = other.folders | past.folders
        # By the time that its journal is closed, a run has removed the unfinished files of runs before it.
        past.all_closed = past.all_closed and (other.all_closed or other.run < own.run)
        _take_over(past, other)
    past.parts = {part_id: noted for part_id, noted in past.parts.items() if "result" in noted}
    return past


def _check_format(journal: Path, head: JournalEntry) -> None:
    if head.get("format") != FORMAT:
        raise CallError(
            f"{journal} is damaged, or was written by another version of ctseg: delete it, and the scans in it will "
            "be segmented again"
        )


def _other_root(out: str, root: str, former: str) -> CallError:
    or_root = f", or --root {former}" if PurePath(root).is_relative_to(former) else ""
    return CallError(f"{out} holds the results of {former}, not of {root}: name another OUT{or_root}")


def _read(start: int, write: Sequence[str], lines: Iterator[tuple[int, JournalEntry]]) -> Past:
    """The records of a journal after its first line; `write` are the kinds of output that its runs wrote."""
    past, run = Past(size=start), 0
    for past.size, noted in lines:
        past.all_closed = "closed" in noted
        if "part" in noted:
            past.parts[noted["part"]] = {"run": run, "write": write, **noted}
        elif "folder" in noted:
            past.folders[noted["folder"]] = noted
        else:
            run = noted.get("run", run)
        past.run = max(past.run, noted.get("run", 0))
    return past


def _take_over(past: Past, other: Past) -> None:
    """Take over the parts that a later run has recorded; if it is unclear which was later, neither counts."""
    for part_id, noted in other.parts.items():
        ours = past.parts.get(part_id)
        if ours is None or noted["run"] > ours["run"]:
            past.parts[part_id] = noted
        elif noted["run"] == ours["run"] and noted["key"] != ours["key"]:
            past.parts[part_id] = {**undone(noted), "run": noted["run"]}
