"""What the head of a report says of it, for whoever finds one: that ctseg has written it, and of which summary."""

import json
from hashlib import blake2b
from pathlib import Path

from ctseg.errors import CallError
from ctseg_batch.figures.summary import Summary

_MADE_BY_US = b'<meta name="generator" content="ctseg '
_HEAD_BYTES = 4096


def digest_of(summary: Summary) -> str:
    """The same for all runs that come to the same, however long they took."""
    told = {key: value for key, value in summary.items() if key != "throughput"}
    return blake2b(json.dumps(told).encode(), digest_size=16).hexdigest()


def is_outdated(file: Path, summary: Summary) -> bool:
    """Whether a report of ctseg is there and tells of another summary."""
    head = _head(file) or b""
    return _MADE_BY_US in head and f'<meta name="summary" content="{digest_of(summary)}">'.encode() not in head


def refuse_foreign_report(file: Path) -> None:
    """Raise CallError where a file is there that is no report of ctseg."""
    head = _head(file)
    if head is not None and _MADE_BY_US not in head:
        raise CallError(f"{file} is there and is no report of ctseg: rename it, or name another file to ctseg report")


def _head(file: Path) -> bytes | None:
    """Where a report says what it is; None where there is none, or who writes it finds out."""
    try:
        with file.open("rb") as content:
            return content.read(_HEAD_BYTES)
    except OSError:
        return None
