"""Choose the scans to show, and the slices of a scan, if there are too many for all."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain, zip_longest
from typing import Any

import numpy as np

from ctseg.classes import LESION, LUNG
from ctseg.flags import doubts_among
from ctseg_batch.figures.summary import figure_at
from ctseg_batch.figures.totals import ScanEntry
from ctseg_batch.slice_figures import SliceFigures

_TILES = 8
_MOST_DISEASED = 3
# Slices shown as the most diseased lie further apart than this share of the lung, or they would all look the same.
_APART = 0.08


def choose_scans(scans: Sequence[ScanEntry], most: int) -> dict[int, str]:
    """The scans to show, by their index in the summary, each with the reason; all of them if they are few.

    Scans that are doubtful for several reasons take turns: what failed in part, flags, the lowest Dice, the highest
    involvement. Scans that came to nothing have nothing to show.
    """
    shown = [index for index, scan in enumerate(scans) if scan["status"] != "failed"]
    if len(scans) <= most:
        return dict.fromkeys(range(len(scans)), "")
    queues = [_queue(scans, shown, why, rank) for why, rank in _RANKS.items()]
    chosen: dict[int, str] = {}
    for index, why in filter(None, chain.from_iterable(zip_longest(*queues))):  # by turns
        if len(chosen) == most:
            break
        chosen.setdefault(index, why)
    return dict(sorted(chosen.items()))


def choose_slices(rows: Sequence[SliceFigures]) -> dict[int, str]:
    """The slices to show, by their index in `rows`, with the reason: the most diseased, and others along the lung."""
    lung, lesion = ([_pixels(row, classes) for row in rows] for classes in (LUNG, LESION))
    seen = [index for index, pixels in enumerate(lung) if pixels] or [p for p, row in enumerate(rows) if row.pixels]
    if not seen:
        return {}
    apart = max(1, round(_APART * len(seen)))
    chosen: dict[int, str] = {}
    for index in sorted(seen, key=lambda index: (-lesion[index], index)):
        if len(chosen) == _MOST_DISEASED or not lesion[index]:
            break
        if all(abs(index - other) >= apart for other in chosen):
            chosen[index] = "next largest diseased area" if chosen else "largest diseased area"
    others = [index for index in seen if all(abs(index - other) >= apart for other in chosen)]
    wanted = _TILES - len(chosen)
    # In the middle of as many equal lengths of the lung: its ends show little of it.
    at = (np.arange(wanted) + 0.5) * len(others) / wanted - 0.5 if len(others) > wanted else np.arange(len(others))
    chosen |= {others[round(float(one))]: "" for one in at}
    return dict(sorted(chosen.items()))


def _pixels(row: SliceFigures, classes: Iterable[Any]) -> int:
    return 0 if row.pixels is None else sum(row.pixels[tissue.index] for tissue in classes)


def _dice(scan: ScanEntry) -> float | None:
    mean = figure_at(scan, "dice", "mean")
    return None if mean is None else -float(mean)


_RANKS: Mapping[str, Callable[[ScanEntry], float | None]] = {
    "failed in part": lambda scan: scan["failed_slices"] or (1 if scan["status"] == "partial" else None),
    "flagged": lambda scan: len(doubts_among(scan["flags"])) or None,
    "low Dice": _dice,
    "high involvement": lambda scan: scan["involvement_percent"],
}


def _queue(
    scans: Sequence[ScanEntry], shown: Sequence[int], why: str, rank: Callable[[ScanEntry], float | None]
) -> list[tuple[int, str]]:
    """The scans that have a rank, the highest first."""
    ranked = [(value, index) for index in shown if (value := rank(scans[index])) is not None]
    return [(index, why) for _, index in sorted(ranked, key=lambda one: (-one[0], one[1]))]
