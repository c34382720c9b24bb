"""What the page says of a scan that it shows: pictures, profile, figures, and what is doubtful or failed."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ctseg.classes import LESION
from ctseg_batch.reporting.overview import Trouble, by_reason
from ctseg_batch.reporting.pictures import ScanPictures, draw
from ctseg_batch.reporting.profile import Profile, draw_profile
from ctseg_batch.reporting.results import SliceRow
from ctseg_batch.reporting.table import share
from ctseg_batch.reporting.words import explain, number

_NO_LIST = "Pictures need slices.csv, which this OUT does not hold: the same call of `ctseg batch` writes it."
_NOTHING = "Nothing of it could be read."


@dataclass(frozen=True, slots=True)
class Origin:
    """Where masks and slices are found, and who looks for them."""

    out: Path
    root: Path | None
    pool: Executor


@dataclass(frozen=True, slots=True)
class ScanPart:
    """A scan's part of the page; `place` is its place in the summary, `why` it was chosen, where not all are."""

    place: int
    why: str
    scan: Mapping[str, Any]
    facts: tuple[tuple[str, str], ...]
    flags: tuple[tuple[str, str], ...]
    scores: tuple[tuple[str, float | None, float | None], ...]
    pictures: ScanPictures
    profile: Profile | None
    failures: tuple[Trouble, ...]


def scan_part(
    place: int, why: str, scan: Mapping[str, Any], rows: Sequence[SliceRow] | None, origin: Origin
) -> ScanPart:
    """Draw what there is of a scan; `rows` None: OUT holds no list of slices."""
    spacing = tuple(scan["spacing_mm"]) if scan["spacing_mm"] else None
    profile = None
    if rows is None or scan["status"] == "failed":
        pictures = ScanPictures(notes=(_NOTHING if scan["status"] == "failed" else _NO_LIST,))
    else:
        pictures = draw(origin.out, origin.root, rows, spacing, origin.pool)
        height = pictures.plane.size[0] if pictures.plane else None
        profile = draw_profile(rows, spacing, height, f"profile-{place}")
    scores = [(name, iou, (scan["dice"] or {}).get(name)) for name, iou in (scan["iou"] or {}).items()]
    flags = tuple((flag, explain(flag)) for flag in scan["flags"])
    return ScanPart(place, why, scan, _facts(scan), flags, tuple(scores), pictures, profile, by_reason(scan["errors"]))


def _facts(scan: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """The figures under a scan's heading."""
    failed, volumes = scan["failed_slices"], scan["volumes_ml"]
    facts = [("Slices", f"{scan['slices'] - failed:,} of {scan['slices']:,}" if failed else f"{scan['slices']:,}")]
    if scan["spacing_mm"]:
        facts.append(
            ("Spacing", " \N{MULTIPLICATION SIGN} ".join(f"{step:.3g}" for step in scan["spacing_mm"]) + " mm")
        )
    if scan["lung_ml"] is not None:
        facts.append(("Lung", f"{number(scan['lung_ml'])} mL"))
    for tissue in LESION:
        part = share(tissue.name, scan)
        if part is not None:
            volume = f"{number(volumes[tissue.name], 1)} mL, " if volumes else ""
            facts.append((tissue.title.capitalize(), f"{volume}{part:.1f} %"))
    if scan["involvement_percent"] is not None:
        facts.append(("Involvement", f"{scan['involvement_percent']:.1f} %"))
    return tuple(facts)
