"""The tables of runs in a store: fetched to be read, and stored once they are made."""

import fnmatch
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ctseg.errors import CallError
from ctseg_batch.past import FOLDER, is_journal
from ctseg_batch.remote.scratch import Scratch
from ctseg_batch.remote.store import Store, StoreError
from ctseg_batch.remote.url import Location, Url

_TABLES = ("summary*.json", "slices*.csv", "found.*.json.gz", "journal*.jsonl")


@contextmanager
def at_hand(places: list[Location]) -> Iterator[list[Path]]:
    """The folders that runs wrote to; of those in a store, copies of what tells of the runs. Raises CallError."""
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
    """A folder whose tables are at `place` in the end, summary.json last; raises CallError."""
    if isinstance(place, Path):
        yield place
        return
    scratch, store = Scratch(), Store(place)
    try:
        folder = scratch.folder / "out"
        yield folder
        for file in sorted(folder.iterdir(), key=lambda file: (file.suffix == ".json", file.name)):
            store.put_file(file.name, file)
    except StoreError as error:
        raise CallError(str(error)) from error
    finally:
        scratch.close()


def _copied(url: Url, folder: Path) -> Path:
    """What tells of the runs in a store; of a journal only that it is there."""
    store = Store(url)
    try:
        names = [*store.names(""), *(f"{FOLDER}/{name}" for name in store.names(FOLDER))]
        files = {name: folder / name for name in names if any(fnmatch.fnmatch(_last(name), one) for one in _TABLES)}
        for name, file in files.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            if is_journal(_last(name)):
                file.touch()
        lost = store.fetch({name: file for name, file in files.items() if not is_journal(_last(name))})
    except StoreError as error:
        raise CallError(str(error)) from error
    for name, why in lost.items():
        raise CallError(f"{url}/{name} can't be fetched: {why}")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _last(name: str) -> str:
    return name.rpartition("/")[2]
