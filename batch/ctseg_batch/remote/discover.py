"""Discover the inputs below URLs, by the names of files, and the first bytes of those without an ending."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from ctseg.errors import CallError, UnreadableFile
from ctseg.reading.kind import Kind, kind_by_name, kind_by_start, may_be_detached
from ctseg.reading.signatures import SNIFFED
from ctseg_batch.inputs.discover import Found, no_scans, sites_of, without_ct
from ctseg_batch.inputs.site import Site
from ctseg_batch.inputs.walk import ignored_as, is_set_aside, no_ct
from ctseg_batch.layout import RECORD
from ctseg_batch.remote.archive import UNPLAIN
from ctseg_batch.remote.entry import Entry
from ctseg_batch.remote.input_files import StoreInputFiles
from ctseg_batch.remote.opening import AT_ONCE
from ctseg_batch.remote.recorded import results_among, results_in
from ctseg_batch.remote.retry import StoreError
from ctseg_batch.remote.store import GONE, Store
from ctseg_batch.url import Url, holding, is_plain


def discover_urls(
    inputs: Sequence[Url], out: Url | None, listed: Sequence[Url], root: Url | None
) -> tuple[Found, StoreInputFiles]:
    """Like `ctseg_batch.inputs.discover.discover` for URLs in one store; also returns the access to the files.

    Raises CallError for an input that is missing, and for inputs in several stores.
    """
    results_of = results_among(dict.fromkeys([*inputs, *listed]))
    given = [url for url in dict.fromkeys([*inputs, *listed]) if url not in results_of]
    for url, folder in results_of.items():
        if url in inputs or not given:
            raise no_scans(url, folder)
    store = _root(given, root)
    input_files, top = StoreInputFiles(store), store.url
    walked = _walk(store, given, inputs, out, input_files.top)
    if "" in walked.entries:
        raise CallError(f"--root {root}: it is a file")
    entries = _but_results(store, walked.entries)
    failed = list(walked.failed)
    kinds, others = _kinds(store, entries, failed, input_files.top)
    named = {path: no_ct(url) for url in inputs if (path := url.below(top) or "") in others}
    failed += [UnreadableFile(input_files.top / path, reason) for path, reason in named.items()]
    beside = _by_folder(entries)
    sites = tuple(_stamped(site, top, entries, beside) for site in sites_of(input_files.top, kinds))
    passed_over = [*walked.passed_over, *(walked.entries.keys() - entries.keys())]
    folders = {input_files.top / path: url for url in given if (path := url.below(top) or "") not in walked.entries}
    empty, results = without_ct(
        folders,
        [*kinds, *(error.file for error in failed)],
        [input_files.top / path for path in passed_over],
    )
    return Found(
        root=input_files.top,
        sites=sites,
        ignored_endings=Counter(ignored_as(_name(path)) for path in others - named.keys()),
        failed=tuple(failed),
        store_root=top,
        empty=empty,
        passed_over=tuple(dict.fromkeys([*(folders[folder] for folder in results), *results_of.values()])),
        set_aside=walked.set_aside,
    ), input_files


@dataclass(frozen=True)
class _Walked:
    """The files below the URLs by their path below the root, those that can't be reached, and the rest as in Found."""

    entries: Mapping[str, Entry]
    failed: Sequence[UnreadableFile]
    passed_over: Sequence[str]
    set_aside: Mapping[str, int]


def _walk(store: Store, given: Sequence[Url], inputs: Sequence[Url], out: Url | None, home: Path) -> _Walked:
    """List all files; `home` is the root on this machine. Raises CallError for one of the `inputs` that is missing."""
    starts = {url: url.below(store.url) or "" for url in given}
    entries: dict[str, Entry] = {}
    failed: list[UnreadableFile] = []
    passed_over: list[str] = []
    aside: set[tuple[str, str]] = set()
    lost: dict[str, str] = {}
    with ThreadPoolExecutor(AT_ONCE) as threads:
        found = threads.map(lambda start: list(store.entries(start)), starts.values())
        for (url, start), below in zip(starts.items(), found, strict=True):
            if not below and url in inputs:
                raise CallError(f"{url} does not exist or is empty")
            if not below:
                failed.append(UnreadableFile(home / start, "does not exist or is empty"))
            within_out = f"{out.below(store.url)}/" if out and out.below(url) else None
            for entry in below:
                if steps := _steps_aside(entry.path, start):
                    aside.add(steps[0])
                elif within_out and entry.path.startswith(within_out):
                    passed_over.append(entry.path)
                else:
                    entries[entry.path] = entry
    for start in starts.values():
        lost |= {path: why for path, why in store.unreachable(start).items() if not _steps_aside(path, start)}
    failed += [UnreadableFile(home / path, why) for path, why in lost.items() if kind_by_name(_name(path))]
    searched = set(starts.values())
    return _Walked(
        {path: entry for path, entry in entries.items() if path not in lost},
        failed,
        passed_over,
        Counter(name for folder, name in aside if "/".join(filter(None, (folder, name))) not in searched),
    )


def _root(urls: Sequence[Url], root: Url | None) -> Store:
    """The store of the given root, or of the deepest place that contains all."""
    top = Store(root or holding(urls))
    if root is None and top.url in urls and top.is_file():
        return top.parent()
    for url in urls:
        if url.below(top.url) is None:
            raise CallError(f"--root {root}: {url} is not below it")
    return top


def _but_results(store: Store, entries: Mapping[str, Entry]) -> dict[str, Entry]:
    """The files without outputs of other runs."""
    records = defaultdict(list)
    for path in entries:
        for folder, name in _steps(path):
            if name == RECORD:
                records[folder].append(_name(path))
    results = {(out, name) for out, names in records.items() for name in (*results_in(store.at(out), names), RECORD)}
    return {path: entry for path, entry in entries.items() if not records or results.isdisjoint(_steps(path))}


def _steps(path: str) -> Iterator[tuple[str, str]]:
    """Each (folder, name) on the way to a file."""
    end = path.find("/")
    while end != -1:
        folder, _, name = path[:end].rpartition("/")
        yield folder, name
        end = path.find("/", end + 1)


def _steps_aside(path: str, given: str) -> list[tuple[str, str]]:
    """The folders between the given one and a file that are not searched because of their name."""
    return [(folder, name) for folder, name in _steps(path) if len(folder) >= len(given) and is_set_aside(name)]


def _kinds(
    store: Store, entries: Mapping[str, Entry], failed: list[UnreadableFile], top: Path
) -> tuple[dict[Path, dict[str, Kind]], set[str]]:
    """The kind of each file by folder and name, and the files of other kinds."""
    found: dict[Path, dict[str, Kind]] = defaultdict(dict)
    told = {path: kind_by_name(_name(path)) for path in entries}
    unknown = [path for path, kind in told.items() if kind == "unknown" and is_plain(path)]
    with ThreadPoolExecutor(AT_ONCE) as threads:
        sniffed = dict(zip(unknown, threads.map(lambda path: _start(store, entries[path]), unknown), strict=True))
    others = set()
    for path, by_name in told.items():
        kind = by_name
        if kind is not None and not is_plain(path):
            failed.append(UnreadableFile(top / path, UNPLAIN))
            continue
        if kind == "unknown":
            start = sniffed[path]
            if isinstance(start, str):
                failed.append(UnreadableFile(top / path, f"can't be fetched: {start}"))
                continue
            kind = kind_by_start(_name(path), start)
        if kind is None:
            others.add(path)
        else:
            found[top / PurePosixPath(path).parent][_name(path)] = kind
    return found, others


def _start(store: Store, entry: Entry) -> bytes | str:
    """The first bytes of a file, or why it can't be read."""
    try:
        return store.read(entry.path, SNIFFED) if entry.size else b""
    except FileNotFoundError:
        return GONE
    except StoreError as error:
        return error.reason


def _by_folder(entries: Mapping[str, Entry]) -> Mapping[str, list[str]]:
    folders: dict[str, list[str]] = defaultdict(list)
    for path in entries:
        folders[path[: len(path) - len(_name(path))]].append(_name(path))
    return folders


def _stamped(site: Site, top: Url, entries: Mapping[str, Entry], beside: Mapping[str, list[str]]) -> Site:
    """The site with the state of its files; for a header also of all files beside it, which may hold its voxels."""
    first = site.files[0]
    is_apart = site.kind == "volume" and may_be_detached(first, entries[site.within + first].size)
    names = beside[site.within] if is_apart else site.files
    where = str(top / site.within)
    stamps = {name: (where, entry.size, entry.state) for name in names if (entry := entries[site.within + name])}
    return replace(site, stamps=stamps, beside=frozenset(beside[site.within]) if site.mixed else frozenset())


def _name(path: str) -> str:
    return path.rpartition("/")[2]
