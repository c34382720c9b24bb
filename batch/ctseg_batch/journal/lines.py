"""The lines of a journal: JSON objects, each with a checksum, since OUT's figures are made of them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

JournalEntry = dict[str, Any]
"""A line of a journal."""

_SUM = b',"crc32":'


def line_of(noted: JournalEntry) -> bytes:
    """The line for an entry; its last key is the CRC-32 of the object without that."""
    content = json.dumps(noted, separators=(",", ":")).encode()
    return b"%s%s%d}\n" % (content[:-1], _SUM, crc32(content))


def whole_lines(journal: Path) -> Iterator[tuple[int, JournalEntry]]:
    """The entries of the lines that are whole, each with the offset of its line's end.

    Without those that a killed run left incomplete, or a power failure, a disk or an editor damaged.
    """
    end = 0
    with journal.open("rb") as lines:
        for line in lines:
            end += len(line)
            content, _, told = line.rpartition(_SUM)
            content += b"}"
            if told == b"%d}\n" % crc32(content):
                yield end, json.loads(content)
