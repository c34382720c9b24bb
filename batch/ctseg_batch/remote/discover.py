"""What there is below URLs, by the names of the files; only those without an ending are looked into."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import takewhile
from pathlib import Path, PurePosixPath

from ctseg.errors import CallError, UnreadableFile
from ctseg.reading.kind import Kind, kind_by_name, kind_by_start
from ctseg.reading.signatures import SNIFFED
from ctseg_batch.discover import APPLE_DOUBLE, Found, sites_of
from ctseg_batch.outputs import FOLDERS
from ctseg_batch.past import FOLDER as RECORD
from ctseg_batch.remote.store import Entry, Store, StoreError
from ctseg_batch.remote.supply import DETACHED, StoreSupply
from ctseg_batch.remote.url import Url
from ctseg_batch.site import Site, Stamp

_AT_ONCE = 16
# `s3:`, nothing, `bucket`.
_PARTS_OF_A_STORE = 2


def discover_urls(
    inputs: Sequence[Url], never: Collection[Url] = (), listed: Sequence[Url] = (), root: Url | None = None
) -> tuple[Found, StoreSupply]:
    """As `ctseg_batch.discover.discover`, of URLs of one store; and who fetches what was found.

    Raises CallError for an input that is not there, and for inputs of several stores.
    """
    top, paths = _root([*inputs, *listed], root)
    store, supply = Store(top), StoreSupply(top)
    entries: dict[str, Entry] = {}
    failed: list[UnreadableFile] = []
    for url, path in zip([*inputs, *listed], paths, strict=True):
        below = {entry.path: entry for entry in store.list(path)}
        if not below and url in inputs:
            raise CallError(f"{url} is not there, or holds nothing")
        if not below:
            failed.append(UnreadableFile(supply.top / path, "is not there, or holds nothing"))
        entries |= below
    left_out = [path for path in (_below(top, url) for url in never) if path is not None]
    kept = _but_results({path: entry for path, entry in entries.items() if not _is_within(path, left_out)})
    if "" in kept:
        raise CallError(f"--root {root}: it is a file")
    kinds, ignored = _kinds(store, kept, failed, supply.top)
    beside = _by_folder(kept)
    sites = tuple(_stamped(site, top, kept, beside) for site in sites_of(supply.top, kinds))
    return Found(supply.top, sites, ignored, tuple(failed), top), supply


def _root(urls: Sequence[Url], root: Url | None) -> tuple[Url, list[str]]:
    """The deepest place that holds all, or the one given, and where each lies below it."""
    top = root or _holding(urls)
    if root is None and top in urls and Store(top).is_file():
        top = Url(top.text.rpartition("/")[0])
    paths = []
    for url in urls:
        path = _below(top, url)
        if path is None:
            raise CallError(f"--root {root}: {url} is not below it")
        paths.append(path)
    return top, paths


def _holding(urls: Sequence[Url]) -> Url:
    """The deepest place that holds all."""
    parts = [url.text.split("/") for url in urls]
    common = list(takewhile(lambda step: len(set(step)) == 1, zip(*parts, strict=False)))
    if len(common) <= _PARTS_OF_A_STORE and len(set(urls)) > 1:
        raise CallError("the inputs lie in different stores: call once for each")
    return Url("/".join(step[0] for step in common))


def _below(top: Url, url: Url) -> str | None:
    if url == top:
        return ""
    return url.text[len(top.text) + 1 :] if url.text.startswith(f"{top.text}/") else None


def _is_within(path: str, folders: Collection[str]) -> bool:
    return any(folder == "" or path == folder or path.startswith(f"{folder}/") for folder in folders)


def _but_results(entries: Mapping[str, Entry]) -> dict[str, Entry]:
    """Without what other runs wrote there: masks are no CT."""
    outs = {path.partition(f"{RECORD}/")[0] for path in entries if RECORD in path.split("/")[:-1]}
    results = [f"{out}{folder}" for out in outs for folder in (*FOLDERS, RECORD)]
    return {path: entry for path, entry in entries.items() if not _is_within(path, results)}


def _kinds(
    store: Store, entries: Mapping[str, Entry], failed: list[UnreadableFile], top: Path
) -> tuple[dict[Path, dict[str, Kind]], int]:
    """The kind of each file by folder and name, and how many are none."""
    found: dict[Path, dict[str, Kind]] = defaultdict(dict)
    told = {path: None if _name(path).startswith(APPLE_DOUBLE) else kind_by_name(_name(path)) for path in entries}
    untold = [path for path, kind in told.items() if kind == "untold"]
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        sniffed = dict(zip(untold, threads.map(lambda path: _start(store, path), untold), strict=True))
    ignored = 0
    for path, by_name in told.items():
        kind = by_name
        if kind == "untold":
            start = sniffed[path]
            if isinstance(start, StoreError):
                failed.append(UnreadableFile(top / path, f"can't be fetched: {start}"))
                continue
            kind = kind_by_start(start)
        if kind is None:
            ignored += 1
        else:
            found[top / PurePosixPath(path).parent][_name(path)] = kind
    return found, ignored


def _start(store: Store, path: str) -> bytes | StoreError:
    try:
        return store.read(path, SNIFFED)
    except FileNotFoundError:
        return b""
    except StoreError as error:
        return error


def _by_folder(entries: Mapping[str, Entry]) -> Mapping[str, list[str]]:
    folders: dict[str, list[str]] = defaultdict(list)
    for path in entries:
        folders[path[: len(path) - len(_name(path))]].append(_name(path))
    return folders


def _stamped(site: Site, top: Url, entries: Mapping[str, Entry], beside: Mapping[str, list[str]]) -> Site:
    """A site with the state of its files, and of a volume with that of what lies beside it: it may be its voxels."""
    names = beside[site.within] if site.files[0].lower().endswith(DETACHED) else site.files
    return replace(site, stamps={name: _stamp(top, entries[site.within + name]) for name in names})


def _stamp(top: Url, entry: Entry) -> Stamp:
    return (f"{top}/{entry.path}", entry.size, entry.state)


def _name(path: str) -> str:
    return path.rpartition("/")[2]
