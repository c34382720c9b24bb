"""Values from a DICOM header, in which they may be missing or malformed.

pydicom decodes and checks each element with care. Nearly all are plain, and are decoded here many times faster;
anything odd is left to pydicom.
"""

import math
import struct
from collections.abc import Sequence
from functools import cache
from typing import Any

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.tag import Tag

Numbers = tuple[float, ...]

# The value representations of text in which ASCII without an escape needs no decoding.
_TEXTS = frozenset({"CS", "LO", "SH", "UI"})
_ESCAPE = b"\x1b"
_PADDING = " \0"

tag_of = cache(Tag)
"""The tag of a keyword; pydicom takes as long to look one up as to decode a value."""


def numbers(dataset: Dataset, keyword: str, count: int, below: float = math.inf) -> Numbers | None:
    """The `count` numbers of an element, each finite and in size below `below`; None if it has no such numbers."""
    raw: Any = dataset.get_item(tag_of(keyword))
    if raw is None:
        return None
    found = _plain_numbers(raw)
    if found is None:
        try:
            value = dataset.get(keyword)
            found = tuple(float(v) for v in (value if isinstance(value, MultiValue) else [value]))
        except (TypeError, ValueError):
            return None
    return found if len(found) == count and all(abs(v) < below for v in found) else None


def number(dataset: Dataset, keyword: str, below: float = math.inf) -> float | None:
    """The single number of an element, finite and in size below `below`, or None."""
    found = numbers(dataset, keyword, 1, below)
    return found[0] if found else None


def integer(dataset: Dataset, keyword: str) -> int | None:
    """The single number of an element, cut to an integer, or None."""
    found = number(dataset, keyword)
    return None if found is None else int(found)


def word(dataset: Dataset, keyword: str) -> int | None:
    """The 16 bits of an element that is a number, signed or not, or None; its VR is not trusted."""
    raw: Any = dataset.get_item(tag_of(keyword))
    value = None if raw is None else raw.value
    if isinstance(value, int):
        return value & 0xFFFF
    if not isinstance(raw, RawDataElement) or value is None or len(value) != 2:
        return None
    return int.from_bytes(value, "little" if raw.is_little_endian else "big")


def texts(dataset: Dataset, keyword: str) -> Sequence[str]:
    """The texts of an element; none if it is missing or empty."""
    raw: Any = dataset.get_item(tag_of(keyword))
    if raw is None:
        return ()
    if isinstance(raw, RawDataElement) and raw.VR in _TEXTS and raw.value:
        value = raw.value
        if value.isascii() and _ESCAPE not in value:
            return [part.rstrip(_PADDING) for part in value.decode("ascii").split("\\")]
    value = dataset.get(keyword)
    return [str(part) for part in (value if isinstance(value, MultiValue) else [value]) if part]


def text(dataset: Dataset, keyword: str) -> str:
    """The text of an element; empty if it is missing."""
    return "\\".join(texts(dataset, keyword))


def _plain_numbers(element: Any) -> Numbers | None:
    """The numbers of an element that is not decoded yet and plain; else None."""
    if not isinstance(element, RawDataElement) or not element.value:
        return None
    value = element.value
    try:
        if element.VR == "US":
            order = "<" if element.is_little_endian else ">"
            return tuple(map(float, struct.unpack(f"{order}{len(value) // 2}H", value)))
        return tuple(map(float, value.split(b"\\"))) if element.VR in ("DS", "IS") else None
    except (ValueError, struct.error):
        return None
