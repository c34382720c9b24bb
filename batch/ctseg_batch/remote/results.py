"""The tables of runs in a store: fetch them to read them, and store new ones."""

import fnmatch
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ctseg_batch.layout import RECORD, TABLES, is_journal, marked
from ctseg_batch.remote.journal import read_head
from ctseg_batch.remote.scratch import Scratch
from ctseg_batch.remote.store import Store, writable
from ctseg_batch.url import Location, Url

_COPIED = ("summary*.json", "slices*.csv", "found.*.json.gz")
# Of these files only the existence matters.
_NAMES = ("summary*.csv", "*.parquet")


@contextmanager
def at_hand(places: list[Location]) -> Iterator[list[Path]]:
    """The folders of runs; for those in a store, folders with copies of their tables. Raises CallError."""
    scratch = Scratch() if any(isinstance(place, Url) for place in places) else None
    try:
        yield [
            _copied(place, scratch.folder / str(number)) if isinstance(place, Url) and scratch else Path(str(place))
            for number, place in enumerate(places)
        ]
    finally:
        if scratch:
            scratch.close()


@contextmanager
def written_to(place: Location) -> Iterator[Path]:
    """A folder to write tables to, which are at `place` after the block; raises CallError."""
    if isinstance(place, Path):
        yield place
        return
    store, scratch = writable(place), Scratch()
    try:
        yield scratch.folder
        store_tables(store, scratch.folder)
    finally:
        scratch.close()


def store_tables(store: Store, folder: Path, mark: str = "") -> None:
    """Store the tables of a run, or of a shard, summary.json last, and remove those that only an earlier run had.

    Raises StoreError.
    """
    *others, summary = (marked(name, mark) for name in TABLES)
    there = [name for name in others if (folder / name).exists()]
    store.remove(name for name in others if name not in there)
    for name in (*there, summary):
        store.put_file(name, folder / name)


def _copied(url: Url, folder: Path) -> Path:
    """Copy the tables of runs in a store; of journals the first line, of other files only the names."""
    store = Store(url)
    recorded = list(store.names(RECORD))
    names = [*store.names(""), *(f"{RECORD}/{name}" for name in recorded)]
    (folder / RECORD if RECORD in names else folder).mkdir(parents=True)
    for name in _like(names, _NAMES):
        (folder / name).touch()
    for name in filter(is_journal, recorded):
        read_head(store, name, folder / RECORD / name)
    store.fetch_all({name: folder / name for name in _like(names, _COPIED)})
    return folder


def _like(names: Iterable[str], patterns: Iterable[str]) -> list[str]:
    return [name for name in names if any(fnmatch.fnmatch(Path(name).name, one) for one in patterns)]
