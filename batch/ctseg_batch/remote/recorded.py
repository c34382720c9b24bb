"""Which folders in a store hold results of a run: their masks would be taken for CT."""

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace

from ctseg.errors import CallError
from ctseg_batch.layout import FOLDER as RECORD
from ctseg_batch.layout import FOLDERS, is_journal
from ctseg_batch.remote.retry import StoreError
from ctseg_batch.remote.store import Store
from ctseg_batch.url import Url, location

_HEAD_BYTES = 65536


def results_around(url: Url) -> Url | None:
    """The folder of results that a URL is, or lies in; None for any other."""
    steps = url.path.split("/")
    for place, name in enumerate(steps):
        if name in FOLDERS:
            out = Store(replace(url, path="/".join(steps[:place])))
            if name in set(results_in(out)):
                return out.url / name
    return None


def results_in(out: Store, names: Iterable[str] | None = None) -> Iterator[str]:
    """The folders that a run may have written in a place; none if it is no OUT. `names` are those in its record.

    One of them may be a folder of scans that is called like that: the root of the run, which its journal tells.
    """
    recorded = list(out.names(RECORD) if names is None else names)
    if recorded:
        root = _recorded_root(out, sorted(filter(is_journal, recorded)))
        yield from (name for name in FOLDERS if root is None or root.below(out.url / name) is None)


def _recorded_root(out: Store, journals: Iterable[str]) -> Url | None:
    """The root in this store whose results it holds, by its journals."""
    for journal in journals:
        with suppress(FileNotFoundError, StoreError, ValueError, CallError):
            head = json.loads(out.read(f"{RECORD}/{journal}", _HEAD_BYTES).partition(b"\n")[0])
            root = location(str(head["root"])) if isinstance(head, dict) and "root" in head else None
            if isinstance(root, Url):
                return root
    return None
