"""The full measures of a scan: each lung by thirds, its severity, its lesions."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

from ctseg.classes import LESION
from ctseg.lesions import SMALLEST_ML
from ctseg.lungs import LUNGS, THIRDS
from ctseg.printable import count
from ctseg_batch.figures.totals import ScanEntry
from ctseg_batch.reporting.words import number

Region = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Share:
    """A class's share of a place in per cent, and that of the classes before it."""

    name: str
    title: str
    percent: float
    before: float


@dataclass(frozen=True, slots=True)
class Place:
    """A lung or a third of it; `involved` per cent of it are diseased, shared out by class."""

    volume_ml: float | None = None
    involved: float | None = None
    by_class: tuple[Share, ...] = ()
    mean_hu: int | None = None


@dataclass(frozen=True, slots=True)
class Lung:
    """`places`: its thirds, then all of it; none where there is no such lung."""

    name: str
    places: tuple[Place, ...]
    severity: int | None
    lesions: int | None
    mass_g: float | None


@dataclass(frozen=True, slots=True)
class Regional:
    """The lungs as one sees them from the front, the right one first; `places` names the rows of each.

    `has_hu`: there are Hounsfield units, and so mean HU and mass.
    """

    places: tuple[str, ...]
    lungs: tuple[Lung, ...]
    has_hu: bool


def regional(scan: ScanEntry) -> Regional | None:
    """The regions of a scan; None if its summary has none."""
    regions, severity, lesions = (scan[key] for key in ("regions", "severity", "lesions"))
    if not (regions and severity):
        return None
    lungs = tuple(_lung(name, regions[name], severity[name], lesions and lesions[name]) for name in LUNGS)
    if scan["slices"] - scan["failed_slices"] < len(THIRDS):
        lungs = tuple(map(_without_thirds, lungs))
    return Regional(
        places=(*(third.capitalize() for third in THIRDS), "Whole"),
        lungs=lungs,
        has_hu=any(region["mean_hu"] for region in regions.values() if region),
    )


def _lung(name: str, region: Region | None, severity: int | None, lesions: int | None) -> Lung:
    if region is None:
        return Lung(name, (), severity, lesions, None)
    places = tuple(_place(one) for one in (*(region["thirds"][third] for third in THIRDS), region))
    return Lung(name, places, severity, lesions, (region["mass_g"] or {}).get("lung"))


def _place(region: Region) -> Place:
    percents = [region["percent"][tissue.name] or 0.0 for tissue in LESION]
    shares = tuple(
        Share(tissue.name, tissue.title, percent, before)
        for tissue, percent, before in zip(LESION, percents, accumulate(percents, initial=0.0), strict=False)
    )
    hu = (region["mean_hu"] or {}).get("lung")
    return Place(region["lung_ml"], region["involvement_percent"], shares, None if hu is None else round(hu))


def _without_thirds(lung: Lung) -> Lung:
    """A lung in so few slices that what is between them can't be shared out by thirds."""
    whole = lung.places[len(THIRDS) :]
    return replace(lung, places=(*(Place() for _ in THIRDS), *whole)) if whole else lung


def lesions_told(lesions: Mapping[str, Any] | None) -> str:
    """A line on the number and size of lesions, and on those too small to count; empty if they are not known."""
    if not lesions:
        return ""
    smaller = lesions["smaller"]
    left_out = f"{count(smaller, 'piece')} below {SMALLEST_ML:g} mL not counted" if smaller else ""
    if not lesions["count"]:
        return f"No lesion{f'; {left_out}' if left_out else ''}."
    sizes = f"{count(lesions['count'], 'lesion')}, {number(lesions['volume_ml'], 1)} mL in all"
    if lesions["count"] > 1:
        sizes += f": median {number(lesions['median_ml'], 1)} mL, largest {number(lesions['largest_ml'], 1)} mL"
    return f"{sizes}{f'; {left_out}' if left_out else ''}."
