"""Discover the inputs: which files are CT, which folder is the root of them all, and which sites they make up."""

import os
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ctseg.errors import CallError, UnreadableFile
from ctseg.reading import Kind
from ctseg.reading.name_order import as_counted
from ctseg_batch.inputs import scan_names
from ctseg_batch.inputs.site import Site
from ctseg_batch.inputs.walk import Walk
from ctseg_batch.layout import results_around
from ctseg_batch.result import Failure
from ctseg_batch.url import Location, Url

_EMPTY = "there is no CT in it"


@dataclass(frozen=True, slots=True)
class Found:
    """What was found below the root.

    `ignored_endings` counts the files that are not CT, by ending. `failed` are files that could not be identified, and
    those that are not CT though the call names them. `store_root` is the root in a store. `empty` are the INPUT folders
    with neither CT nor a failure; those that hold only what is never searched are `passed_over`, and so are folders of
    results of which files are listed. `set_aside` counts folders that are not searched because of their name, like
    `.trash`, by that name. `repeated_links` counts links to files that are found themselves.
    """

    root: Path
    sites: tuple[Site, ...]
    ignored_endings: Mapping[str, int]
    failed: tuple[UnreadableFile, ...]
    store_root: Url | None
    empty: tuple[Path, ...]
    passed_over: tuple[Location, ...]
    set_aside: Mapping[str, int]
    repeated_links: int = 0

    @property
    def scan_root(self) -> Location:
        """The root that scans are named below: in a store, if they are there."""
        return self.store_root or self.root

    @property
    def ignored(self) -> int:
        """How many files are not CT."""
        return sum(self.ignored_endings.values())

    @property
    def failures(self) -> Iterator[Failure]:
        """The failed files and empty folders by their path below the root; the root itself by its own name."""
        reasons = [*((error.file, error.reason) for error in self.failed), *((one, _EMPTY) for one in self.empty)]
        below = ((os.path.relpath(file, self.root), reason) for file, reason in reasons)
        return (Failure(self.root.name or path if path == "." else path, reason) for path, reason in below)


def discover(
    inputs: Sequence[Path],
    never: Collection[Path] = (),
    listed: Sequence[Path] = (),
    root: Path | None = None,
    out: Path | None = None,
) -> Found:
    """Search files and folders, recursively and through links, but no real folder twice and none of `never`.

    `out` is not searched either, but may hold an INPUT: then links from there to others of its folders are followed.
    Reads names, and the first bytes of files without an ending. Raises CallError if one of the `inputs` is
    missing; a missing one of those `listed` counts as failed. The `root` is by default the deepest folder that contains
    all inputs; raises CallError for an input that is not below a root that is given.
    """
    for path in inputs:
        if not os.path.exists(path):  # noqa: PTH110 - Path.exists raises where a folder on the way may not be entered
            raise CallError(f"{absolute(path)} does not exist or is not readable")
        if folder := results_around(absolute(path)) or results_around(Path(os.path.realpath(path))):
            raise no_scans(absolute(path), folder)
    results = {path: folder for path in map(absolute, listed) if (folder := _results_behind(path))}
    given = [path for path in dict.fromkeys(map(absolute, [*inputs, *listed])) if path not in results]
    if not given and results:
        raise no_scans(*next(iter(results.items())))
    folders = [path for path in given if os.path.isdir(path)]  # noqa: PTH112
    files = [path for path in given if not os.path.isdir(path)]  # noqa: PTH112
    walk = Walk(
        frozenset(os.path.realpath(path) for path in (*never, *([out] if out else []))),
        frozenset(map(absolute, inputs)),
        os.path.realpath(out) if out else None,
    )
    for folder in folders:
        walk.search(folder)
    walk.follow_links()
    for file in files:
        walk.take(file)
    top = _holding([*folders, *(file.parent for file in files)], root)
    found = [*walk.kinds, *(error.file for error in walk.failed)]
    empty, passed_over = without_ct(folders, found, walk.passed_over, walk.searched_before)
    passed_over = tuple(dict.fromkeys([*passed_over, *results.values()]))
    sites, failed = tuple(sites_of(top, walk.kinds)), tuple(walk.failed)
    return Found(
        root=top,
        sites=sites,
        ignored_endings=walk.ignored,
        failed=failed,
        store_root=None,
        empty=empty,
        passed_over=passed_over,
        set_aside=walk.set_aside,
        repeated_links=walk.repeated_links,
    )


def without_ct(
    folders: Iterable[Path],
    found: Collection[Path],
    passed_over: Collection[Path],
    searched_before: Collection[tuple[Path, str]] = (),
) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Those of the INPUT folders that are `empty`, and those that are `passed_over`, as in Found."""
    bare, others = _bare(folders, found, searched_before), _with_all_above(passed_over)
    empty = tuple(folder for folder in bare if folder not in others)
    return empty, tuple(folder for folder in bare if folder in others)


def _bare(
    folders: Iterable[Path], found: Iterable[Path], searched_before: Iterable[tuple[Path, str]]
) -> Sequence[Path]:
    """The folders below which nothing was found, not even by another path to the same real folder."""
    above = _with_all_above(found)
    bare = [folder for folder in folders if folder not in above]
    if not bare:
        return bare
    really_above = _with_all_above(Path(os.path.realpath(place)) for place in above)
    reals = defaultdict(set)
    for met, real in searched_before:
        for folder in (met, *met.parents):
            reals[folder].add(Path(real))
    return [one for one in bare if really_above.isdisjoint({Path(os.path.realpath(one)), *reals.get(one, ())})]


def _with_all_above(places: Iterable[Path]) -> set[Path]:
    """The places and all folders that they are in."""
    above: set[Path] = set()
    for place in places:
        while place not in above:
            above.add(place)
            place = place.parent
    return above


def _results_behind(path: Path) -> Path | None:
    """The folder of results that a listed path is in; where it is a link, also that of what it leads to."""
    is_link = os.path.islink(path)  # noqa: PTH114 - never raises
    return results_around(path) or (results_around(Path(os.path.realpath(path))) if is_link else None)


def no_scans(place: Location, folder: Location) -> CallError:
    """The error for a place in a `folder` of results: masks would be taken for CT."""
    return CallError(f"{place} was written by ctseg into {folder.parent}: name the scans themselves")


def absolute(path: Path) -> Path:
    """The absolute path. Links are kept, unlike in Path.resolve: scans are named after the link, not its target.

    But `..` after a link leads to the folder above its target, as for the system.
    """
    if ".." not in path.parts:
        return Path(os.path.abspath(path))  # noqa: PTH100
    way = Path.cwd()
    for part in path.parts:
        if part == "..":
            way = Path(os.path.realpath(way) if os.path.islink(way) else way).parent  # noqa: PTH114 - never raises
        else:
            way /= part
    return way


def _holding(folders: Collection[Path], root: Path | None) -> Path:
    """The given root, or the deepest folder that contains all."""
    if root is not None:
        top = absolute(root)
        for folder in folders:
            if not folder.is_relative_to(top):
                raise CallError(f"--root {root}: {folder} is not below it")
        return top
    try:
        return Path(os.path.commonpath(folders))
    except ValueError as error:
        raise CallError("the inputs lie on different drives: call once for each") from error


def sites_of(root: Path, kinds: Mapping[Path, Mapping[str, Kind]]) -> Iterator[Site]:
    """The sites of files whose kind is known by folder and name, in the order of a run."""
    own, folders = _own_name(root, kinds), scan_names.folders_below(kinds)
    named = {folder: own if folder == root else folder.relative_to(root).as_posix() for folder in kinds}
    rivals = scan_names.rivals(named.values())
    for folder in sorted(kinds, key=lambda folder: [as_counted(part) for part in folder.parts]):
        name = named[folder]
        within = "" if folder == root else f"{name}/"
        by_kind: dict[Kind, list[str]] = defaultdict(list)
        for file in sorted(kinds[folder], key=as_counted):
            by_kind[kinds[folder][file]].append(file)
        volumes = by_kind.pop("volume", [])
        kept = scan_names.kept_names(volumes, folders[folder])
        for volume in volumes:
            yield Site(folder, within, within + volume, "volume", (volume,), occupied=kept)
        taken = _taken({*kinds[folder], *folders[folder]})
        occupied = kept | scan_names.label_map_names(volumes, kept)
        for kind, files in sorted(by_kind.items()):
            is_mixed, others = len(by_kind) > 1, rivals.get(name, frozenset())
            yield Site(folder, within, name, kind, tuple(files), taken, occupied, mixed=is_mixed, rivals=others)


def _own_name(root: Path, kinds: Mapping[Path, Mapping[str, Kind]]) -> str:
    """The name of a root that holds slices itself: its own, unless something below it has that name."""
    beneath = {folder.relative_to(root).parts[0] for folder in kinds if folder != root} | set(kinds.get(root, ()))
    return root.name if root.name and root.name not in beneath else "."


def _taken(names: Collection[str]) -> frozenset[str]:
    """The names of PNGs in a folder if the mask of another file would get the name of one; else none."""
    clash = any(f"{name}.png" in names for name in names if not name.endswith(".png"))
    return frozenset(name for name in names if name.endswith(".png")) if clash else frozenset()
