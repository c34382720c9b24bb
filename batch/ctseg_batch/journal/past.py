"""What earlier runs did, as their journals in OUT have it (`record`): the same call goes on where one was stopped.

Each line is a JSON object. The first says which root and which settings the rest belong to. A part is noted when it is
begun and when its last file is in place; a line that a killed run left torn counts as not written. Each shard of a run
that is done in shards has a journal of its own, so that shards never wait for each other. Runs are numbered across
journals: of each part, what the latest run noted counts, in whichever journal.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from itertools import count, takewhile
from pathlib import Path, PurePath
from typing import Any

from ctseg.errors import CallError
from ctseg_batch.inputs.listing import Listing
from ctseg_batch.inputs.scan_names import LENGTHENED
from ctseg_batch.inputs.site import Site
from ctseg_batch.layout import JournalEntry, is_sibling, journal_file, journal_files, whole_lines
from ctseg_batch.result import PartResult, Settings
from ctseg_batch.slice_figures import SliceFigures, pack, unpack

FORMAT = 3
# What a part without a key keeps of its figures.
_KEPT = ("scan", "slices", "by_slice")
# A series in a folder of several, a stack of frames in a file of several.
_ONE_OF_SEVERAL = re.compile(rf"(.*[#/])(?:(?<=#)[0-9a-f]{{8}}(?:{LENGTHENED})*|(?<=/)\d+):0", re.DOTALL)


@dataclass
class Past:
    """What earlier runs noted of each part and folder; of other shards of the same cut, nothing.

    A part without a key counts for nothing, and tells what there may be in OUT: it was under way when a run stopped,
    was done under other settings, or is to be done again. `own` is what the run's own journal has, and `size` its
    length up to a torn line; 0: it is to be written anew. `run` is the latest of all. `all_closed`: nothing half
    written is left in OUT.
    """

    parts: dict[str, JournalEntry] = field(default_factory=dict)
    folders: dict[str, JournalEntry] = field(default_factory=dict)
    own: list[JournalEntry] = field(default_factory=list)
    run: int = 0
    size: int = 0
    all_closed: bool = False

    def kinds(self) -> set[str]:
        """Which kinds of output there may be of any part."""
        return {kind for noted in self.parts.values() for kind in noted["write"]}

    def voided(self) -> "Past":
        """What is left of it where nothing counts any more."""
        parts = {place: {**undone(noted), "run": noted["run"]} for place, noted in self.parts.items()}
        return Past(parts, run=self.run, all_closed=self.all_closed)

    def overwritten(self, sites: Iterable[Site]) -> "Past":
        """The same with all of these sites to be done again, by this run or, where it is stopped, by the next one."""
        again, names = {}, set()
        for site in sites:
            names.add(site.name)
            for place, noted in self.about(site).parts.items():
                again[place] = {**undone(noted), "run": self.run + 1}
        still = [one for one in self.own if one.get("part") not in again and one.get("folder") not in names]
        folders = {name: noted for name, noted in self.folders.items() if name not in names}
        return Past(self.parts | again, folders, own=[*still, *again.values()], run=self.run)

    def result(self, place: str, key: str) -> PartResult | None:
        """What came of the part at `place`, if it was done from just these inputs."""
        noted = self.parts.get(place)
        return None if noted is None or noted["key"] != key else PartResult.from_json(noted["result"])

    def places(self, scan: str, first: int = 0) -> Iterator[str]:
        """Where the parts of a scan are noted, from that number on; a gap hides what follows."""
        return takewhile(self.parts.__contains__, (place_of(scan, number) for number in count(first)))

    def rows(self, place: str) -> list[SliceFigures]:
        """The slices of a part, whatever its inputs were then."""
        noted = self.parts.get(place)
        return list(unpack(noted["result"]["by_slice"])) if noted else []

    def outline(self, site: Site) -> PartResult:
        """What there may be of the files of a site as one part, a slice each, and of slices that it had before."""
        slices = {one.source: one.mask for one in self.rows(place_at(site))}
        slices |= zip(site.below(site.files), site.mask_names(site.files), strict=True)
        return PartResult(site.scan, len(slices), by_slice=pack(SliceFigures(*one, None) for one in slices.items()))

    def slices(self, scan: str) -> int:
        """How many slices a scan of one part had, whatever its inputs were then."""
        noted = self.parts.get(place_of(scan))
        return int(noted["result"]["slices"]) if noted else 0

    def scans(self, site: Site) -> set[str]:
        """Which series the files of a folder were sorted into, whatever its files were then."""
        places = {place_of(site.name), *self._several.get(f"{site.name}#", ())} & self.parts.keys()
        return {str(self.parts[place]["result"]["scan"]) for place in places if self._is_within(site, place)}

    def _is_within(self, site: Site, place: str) -> bool:
        """Whether a part is of files right in a folder: the one beside it may be called as one of its series is."""
        return all(one.source.rpartition("/")[0] == site.within[:-1] for one in self.rows(place))

    def listing(self, place: str, key: str) -> Listing | None:
        """How the files of a folder were sorted into scans, if they are still the same."""
        noted = self.folders.get(place)
        if noted is None or noted["key"] != key or "series" not in noted:
            return None
        return Listing.from_json(noted)

    @cached_property
    def _several(self) -> Mapping[str, Sequence[str]]:
        """The places of scans that share a folder or file, by what their names begin with: that name and `#` or `/`."""
        places = defaultdict(list)
        for place in self.parts:
            if one := _ONE_OF_SEVERAL.fullmatch(place):
                places[one[1]].append(place)
        return places

    def about(self, site: Site) -> "Past":
        """What of it tells of one site: enough to plan that alone."""
        places = list(self.places(site.scan)) if site.part is None else [place_at(site)]
        if site.kind != "image":
            places += self._several.get(f"{site.name}#", ())
            for file in site.below(site.files):
                places += [place_of(file), *self._several.get(f"{file}/", ())]
        folders = {site.name: self.folders[site.name]} if site.name in self.folders else {}
        return Past({place: self.parts[place] for place in places if place in self.parts}, folders)


def recall(out: Path, root: str, settings: Settings, mark: str = "", called: str | None = None) -> Past:
    """Read the journal in OUT, of all or of the shard with that `mark`, and those of shards that were cut otherwise.

    `called` is what people know OUT by, if it is another name. What was done under other settings counts for nothing.
    Raises CallError where OUT holds the results of another root.
    """
    wanted, read = plain_settings(settings), {}
    for journal in journal_files(out):
        lines = whole_lines(journal)
        start, head = next(lines, (0, {}))
        _check(called or str(out), root, journal, head)
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
        # Of what runs before it left half written, a run has cleared OUT by the time that its own journal is closed.
        past.all_closed = past.all_closed and (other.all_closed or other.run < own.run)
        _take_over(past, other)
    past.parts = {place: noted for place, noted in past.parts.items() if "result" in noted}
    return past


def _check(out: str, root: str, journal: Path, head: JournalEntry) -> None:
    if head.get("format") != FORMAT:
        raise CallError(
            f"{journal} is damaged, or was written by another version of ctseg: delete it, and the scans in it are "
            "segmented again"
        )
    if head["root"] != root:
        former = head["root"]
        or_root = f", or --root {former}" if PurePath(root).is_relative_to(former) else ""
        raise CallError(f"{out} holds the results of {former}, not of {root}: name another OUT{or_root}")


def _read(start: int, write: Sequence[str], lines: Iterator[tuple[int, JournalEntry]]) -> Past:
    """What a journal holds beyond its first line, which names the kinds of output that were written."""
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
    """Of each part, what the later run noted; where that can't be told, neither counts."""
    for place, noted in other.parts.items():
        ours = past.parts.get(place)
        if ours is None or noted["run"] > ours["run"]:
            past.parts[place] = noted
        elif noted["run"] == ours["run"] and noted["key"] != ours["key"]:
            past.parts[place] = {**undone(noted), "run": noted["run"]}


def begun(place: str, outline: PartResult, kinds: Iterable[str]) -> JournalEntry:
    """The line of a part that is under way: what there may be of it in OUT, by slice and by kind of output."""
    return {
        "part": place,
        "key": None,
        "write": list(kinds),
        "result": {name: getattr(outline, name) for name in _KEPT},
    }


def undone(noted: JournalEntry) -> JournalEntry:
    """The line of a part that counts for nothing any more, with what there may still be of it in OUT."""
    kept = {"result": {name: noted["result"][name] for name in _KEPT}} if "result" in noted else {}
    return {"part": noted["part"], "key": None, "write": noted["write"], **kept}


def place_of(scan: str, part: int = 0) -> str:
    """Where a part of a scan is noted."""
    return f"{scan}:{part}"


def place_at(site: Site) -> str:
    """Where a site is noted that is one part."""
    return place_of(site.scan, site.part or 0)


def plain_settings(settings: Settings) -> Any:
    """What JSON makes of them."""
    return json.loads(json.dumps(asdict(settings)))
