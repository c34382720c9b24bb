"""The figures of single slices, packed into a short text while a run goes on: there may be millions."""

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SliceFigures:
    """A slice: its file below the root, its mask below the folder of masks, its pixels by class (None: it failed)."""

    source: str
    mask: str
    pixels: tuple[int, ...] | None


def pack(slices: Iterable[SliceFigures]) -> str:
    """Some slices of one scan as a short text; what all file names begin with is stored once."""
    all_of_them = list(slices)
    within = os.path.commonprefix([one.source for one in all_of_them])  # noqa: RUF071 - as long as it can be
    rows = [[one.source[len(within) :], _beyond(one), *(one.pixels or ())] for one in all_of_them]
    return json.dumps([within, *rows] if rows else [], separators=(",", ":"))


def without_figures(slices: Iterable[tuple[str, str]]) -> str:
    """Packed slices, each with its source and its mask's path, of which nothing else is known yet."""
    return pack(SliceFigures(source, mask, None) for source, mask in slices)


def unpack(packed: str) -> Iterator[SliceFigures]:
    """The inverse of `pack`."""
    rows = iter(json.loads(packed))
    within = next(rows, "")
    for tail, beyond, *pixels in rows:
        source = within + tail
        mask = source + beyond if isinstance(beyond, str) else beyond[0]
        yield SliceFigures(source, mask, tuple(pixels) or None)


def _beyond(one: SliceFigures) -> str | list[str]:
    """What the mask's path adds to its source's; the whole path, in a list, if it does not begin with that."""
    return one.mask.removeprefix(one.source) if one.mask.startswith(one.source) else [one.mask]
