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
    rows = [[one.source[len(within) :], _beyond(one), *(one.pixels or ())] for one in all_of_them]
    return json.dumps([within, *rows] if rows else [], separators=(",", ":"))


def unpack(packed: str) -> Iterator[SliceFigures]:
    """The slices again."""
    rows = iter(json.loads(packed))
    within = next(rows, "")
    for tail, beyond, *pixels in rows:
        source = within + tail
        mask = source + beyond if isinstance(beyond, str) else beyond[0]
        yield SliceFigures(source, mask, tuple(pixels) or None)


def _beyond(one: SliceFigures) -> str | list[str]:
    """What a mask's name has after its source's; in brackets all of it, where an object's first file names the mask."""
    return one.mask.removeprefix(one.source) if one.mask.startswith(one.source) else [one.mask]
