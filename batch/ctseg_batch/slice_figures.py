"""The figures of single slices: packed while a run goes on, since there may be millions, and as rows at its end."""

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SliceFigures:
    """A slice: its file, below the root; its mask, below the masks; its pixels by class, None where it failed."""

    source: str
    mask: str
    pixels: tuple[int, ...] | None


def pack(slices: Iterable[SliceFigures]) -> str:
    """Some slices of one scan as a short text: names without what they have in common."""
    all_of_them = list(slices)
    within = os.path.commonprefix([one.source for one in all_of_them])  # noqa: RUF071 - as long as it can be
    rows = [[one.source[len(within) :], one.mask.removeprefix(one.source), *(one.pixels or ())] for one in all_of_them]
    return json.dumps([within, *rows] if rows else [], separators=(",", ":"))


def unpack(packed: str) -> Iterator[SliceFigures]:
    """The slices again; a mask is called as its source is, and something after that."""
    rows = iter(json.loads(packed))
    within = next(rows, "")
    for tail, ending, *pixels in rows:
        source = within + tail
        yield SliceFigures(source, source + ending, tuple(pixels) or None)
