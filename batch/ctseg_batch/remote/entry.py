"""A file of a store, from what fsspec says of it: each store in words of its own."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# What a store calls the state of a file, by store; the first that there is tells it from another.
_STATES = ("ETag", "etag", "md5", "CRC", "LastModified", "last_modified", "updated", "mtime", "created", "date_time")


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a store: its path below the URL that was listed, its size in bytes, and what state it is in."""

    path: str
    size: int
    state: str


def entry_of(top: str, facts: Mapping[str, Any]) -> Entry:
    """A file below `top`."""
    state = next((str(facts[key]) for key in _STATES if facts.get(key) is not None), "")
    return Entry(facts["name"][len(top) :].removeprefix("/"), int(facts.get("size") or 0), state)


def is_file(facts: Mapping[str, Any]) -> bool:
    """Not a folder, nor the object that some programs store to have a folder seen."""
    return facts["type"] not in ("directory", "link to a folder") and not facts["name"].endswith("/")
