"""Which folders in a store hold results of a run: their masks would be taken for CT."""

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace

from ctseg.errors import CallError
from ctseg_batch.layout import FOLDERS, RECORD, is_journal
from ctseg_batch.remote.journal import HEAD_BYTES
from ctseg_batch.remote.retry import StoreError
from ctseg_batch.remote.store import Store
from ctseg_batch.url import Url, location


def results_among(urls: Iterable[Url]) -> dict[Url, Url]:
    """Those of the URLs that are, or lie in, a folder of results, with that folder. Each folder is asked once."""
    known: dict[Url, frozenset[str]] = {}
    found = {}
    for url in urls:
        steps = url.path.split("/")
        for depth, name in enumerate(steps):
            if name not in FOLDERS or not (depth or url.archive):  # a bucket or a machine may be called so, too
                continue
            out = replace(url, path="/".join(steps[:depth]))
            if out not in known:
                known[out] = _results_at(out)
            if name in known[out]:
                found[url] = out / name
                break
    return found


def _results_at(out: Url) -> frozenset[str]:
    """The folders of results in OUT; none if that may not be looked into."""
    try:
        return frozenset(results_in(Store(out)))
    except StoreError:
        return frozenset()


def results_in(out: Store, names: Iterable[str] | None = None) -> Iterator[str]:
    """The folders that a run may have written in OUT; none if it is not an OUT. `names` are those in its record.

    One of them may be a folder of scans that is called like that: the root of the run, which its journal tells.
    """
    recorded = list(out.names(RECORD) if names is None else names)
    if recorded:
        root = _recorded_root(out, sorted(filter(is_journal, recorded)))
        yield from (name for name in FOLDERS if root is None or root.below(out.url / name) is None)


def _recorded_root(out: Store, journals: Iterable[str]) -> Url | None:
    """The root whose results it holds, by the first journal that tells one; None if that is in no store."""
    for journal in journals:
        with suppress(FileNotFoundError, StoreError, ValueError, CallError):
            head = json.loads(out.read(f"{RECORD}/{journal}", HEAD_BYTES).partition(b"\n")[0])
            if isinstance(head, dict) and "root" in head:
                root = location(str(head["root"]))
                return root if isinstance(root, Url) else None
    return None
