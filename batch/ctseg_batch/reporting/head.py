"""The marks in the head of a report: that ctseg has written it, and from which summary."""

import json
from hashlib import blake2b
from pathlib import Path

from ctseg.errors import CallError
from ctseg_batch.figures.summary import Summary

_MADE_BY_US = b'<meta name="generator" content="ctseg '
_HEAD_BYTES = 4096


def digest_of(summary: Summary) -> str:
    """A digest of a summary without its times, the same for runs with the same results."""
    told = {key: value for key, value in summary.items() if key != "throughput"}
    return blake2b(json.dumps(told).encode(), digest_size=16).hexdigest()


def is_outdated(file: Path, summary: Summary) -> bool:
    """Whether there is a report of ctseg, but of another summary."""
    head = _head(file) or b""
    return _MADE_BY_US in head and f'<meta name="summary" content="{digest_of(summary)}">'.encode() not in head


def refuse_foreign_report(file: Path) -> None:
    """Raise CallError if there is a file that is not a report of ctseg."""
    head = _head(file)
    if head is not None and _MADE_BY_US not in head:
        raise CallError(f"{file} exists and is not a report by ctseg: rename it, or name another file to ctseg report")


def _head(file: Path) -> bytes | None:
    """The first bytes of a file; None if it is not there, or can't be read."""
    try:
        with file.open("rb") as content:
            return content.read(_HEAD_BYTES)
    except OSError:
        return None
