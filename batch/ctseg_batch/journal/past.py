"""What earlier runs did, as their journals in OUT have it (`record`): the same call goes on where one was stopped.

Each line is a JSON object. The first says which root and which settings the rest belong to. A part is noted when
its last file is in place; a line that a killed run left torn counts as not written. Each share of a run that is
done in shares has a journal of its own, so that shares never wait for each other.
"""

import json
import re
from collections import ChainMap, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path, PurePath
from typing import Any

from ctseg.errors import CallError
from ctseg_batch.inputs.listing import Listing
from ctseg_batch.inputs.scan_names import LENGTHENED
from ctseg_batch.inputs.site import Site
from ctseg_batch.layout import JournalEntry, is_sibling, journal_file, journal_files, whole_lines
from ctseg_batch.result import PartResult, Settings

FORMAT = 2
# A series in a folder of several, a stack of frames in a file of several.
_ONE_OF_SEVERAL = re.compile(rf"(.*[#/])(?:(?<=#)[0-9a-f]{{8}}(?:{LENGTHENED})*|(?<=/)\d+):0", re.DOTALL)


@dataclass
class Past:
    """What earlier runs noted. `size` is the journal's length up to a torn line; 0: there is none to go on with.

    `runs` says of each part which run noted it last, `run` is the latest of all: of two journals, that one counts which
    has a part from the later run. `closed`: the last run of this journal ended by itself; `all_closed`: so did those of
    all others, and nothing half written is left in OUT. `outdated` are journals of results under other settings;
    `former` are their parts, and what else is to be done again: they count for nothing, but tell what there may be in
    OUT. The other shares of a cut are left out everywhere.
    """

    parts: dict[str, JournalEntry] = field(default_factory=dict)
    folders: dict[str, JournalEntry] = field(default_factory=dict)
    runs: dict[str, int] = field(default_factory=dict)
    run: int = 0
    size: int = 0
    closed: bool = False
    all_closed: bool = False
    outdated: tuple[Path, ...] = ()
    former: dict[str, JournalEntry] = field(default_factory=dict)

    @property
    def known(self) -> Mapping[str, JournalEntry]:
        """All parts of which there may be anything in OUT."""
        return ChainMap(self.parts, self.former)

    @property
    def is_begun_anew(self) -> bool:
        """Whether the journal is written anew at the start of a run: there is none, or others go up in it."""
        return not self.size or bool(self.outdated)

    def former_kinds(self) -> set[str]:
        """What kinds of output `former` parts had."""
        return {kind for noted in self.former.values() for kind in noted["write"]}

    def outdone(self, write: Iterable[str]) -> "Past":
        """What is left of it where all is to be done again; `write` are the kinds of output that it had."""
        had, kept = list(write), ("scan", "slices", "by_slice")
        former = {
            place: {"former": place, "write": had, "key": noted["key"], "result": {k: noted["result"][k] for k in kept}}
            for place, noted in self.parts.items()
            if noted["key"]
        }
        return Past(run=self.run, outdated=self.outdated, former=self.former | former)

    def result(self, place: str, key: str) -> PartResult | None:
        """What came of the part at `place`, if it was done from just these inputs."""
        noted = self.parts.get(place)
        return None if noted is None or noted["key"] != key else PartResult.from_json(noted["result"])

    def slices(self, scan: str) -> int:
        """How many slices a scan of one part had, whatever its inputs were then."""
        noted = self.known.get(place_of(scan))
        return int(noted["result"]["slices"]) if noted and noted["key"] else 0

    def scans(self, place: str) -> set[str]:
        """Which series the files of a folder were sorted into, whatever its files were then."""
        noted = self.folders.get(place, {})
        former = {place_of(place), *self._several.get(f"{place}#", ())} & self.former.keys()
        named = {str(self.former[one]["result"]["scan"]) for one in former}
        return {one["scan"] for one in noted.get("series", ()) if one["key"]} | named

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
        for place in self.known:
            if one := _ONE_OF_SEVERAL.fullmatch(place):
                places[one[1]].append(place)
        return places

    def about(self, site: Site) -> "Past":
        """What of it tells of one site: enough to plan that alone."""
        places = [place_of(site.scan, site.part or 0)]
        if site.kind != "image":
            places += self._several.get(f"{site.name}#", ())
            for file in site.below(site.files):
                places += [place_of(file), *self._several.get(f"{file}/", ())]
        parts, former = ({p: some[p] for p in places if p in some} for some in (self.parts, self.former))
        folders = {site.name: self.folders[site.name]} if site.name in self.folders else {}
        return Past(parts, folders, former=former)


def recall(out: Path, root: str, settings: Settings, mark: str = "", called: str | None = None) -> Past:
    """Read the journal in OUT, of all or of the share with that `mark`, and those of shares that were cut otherwise.

    `called` is what people know OUT by, if it is another name. What was done under other settings counts for nothing.
    Raises CallError where OUT holds the results of another root.
    """
    own, wanted = journal_file(out, mark), plain_settings(settings)
    past, outdated, all_closed = Past(), [], True
    for journal in journal_files(out):
        lines = whole_lines(journal)
        try:
            start, head = next(lines, (0, {}))
        except FileNotFoundError:  # another share has just found it outdated
            continue
        _check(called or str(out), root, journal, head)
        if is_sibling(journal.name, mark):  # it has none of this share's scans, and may be at work
            continue
        one = _read(start, lines)
        all_closed = all_closed and one.closed
        past.run = max(past.run, one.run)
        if head["settings"] != wanted:
            outdated += [] if journal == own else [journal]
            past.former |= one.outdone(head["settings"].get("write", ())).former
            continue
        past.former |= one.former
        if journal == own:
            past.size, past.closed, past.folders = one.size, one.closed, past.folders | one.folders
        else:
            past.folders = one.folders | past.folders
        _take_over(past, one)
    past.former = {place: noted for place, noted in past.former.items() if place not in past.parts}
    past.outdated = tuple(outdated)
    past.all_closed = past.size > 0 and all_closed
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


def _read(start: int, lines: Iterator[tuple[int, JournalEntry]]) -> Past:
    """What a journal holds beyond its first line."""
    past = Past(size=start)
    for past.size, noted in lines:
        past.closed = "closed" in noted
        past.run = noted.get("run", past.run)
        if "part" in noted:
            past.parts[noted["part"]], past.runs[noted["part"]] = noted, past.run
            past.former.pop(noted["part"], None)
        elif "former" in noted:
            past.former[noted["former"]] = noted
        elif "folder" in noted:
            past.folders[noted["folder"]] = noted
    return past


def _take_over(past: Past, other: Past) -> None:
    """Of each part, what the later run noted; where that can't be told, as of versions that did not say, neither."""
    for place, noted in other.parts.items():
        ours, theirs = past.runs.get(place, -1), other.runs[place]
        if theirs > ours:
            past.parts[place], past.runs[place] = noted, theirs
        elif theirs == ours and noted["key"] != past.parts[place]["key"]:
            past.parts[place] = {"part": place, "key": None}


def place_of(scan: str, part: int = 0) -> str:
    """Where a part of a scan is noted."""
    return f"{scan}:{part}"


def plain_settings(settings: Settings) -> Any:
    """What JSON makes of them."""
    return json.loads(json.dumps(asdict(settings)))
