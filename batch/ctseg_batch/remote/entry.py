"""A file of a store, from fsspec's description, which differs from store to store."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# The keys under which stores describe the state of a file; the first one that is there is taken.
_STATES = ("ETag", "etag", "md5", "CRC", "LastModified", "last_modified", "updated", "mtime", "created", "date_time")


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a store: its path below the URL that was listed, its size in bytes, and its state."""

    path: str
    size: int
    state: str


def entry_of(top: str, facts: Mapping[str, Any]) -> Entry:
    """A file below `top`."""
    state = next((str(facts[key]) for key in _STATES if facts.get(key) is not None), "")
    return Entry(facts["name"][len(top) :].removeprefix("/"), int(facts.get("size") or 0), state)


def is_file(facts: Mapping[str, Any]) -> bool:
    """Whether it is a file: neither a folder, nor the object that some programs store as a sign of one."""
    return facts["type"] not in ("directory", "link to a folder") and not facts["name"].endswith("/")
