"""The section of the page on a scan: pictures, profile, figures, and what is doubtful or has failed."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

from ctseg import flags
from ctseg.classes import LESION
from ctseg_batch.figures.summary import figure_at
from ctseg_batch.figures.totals import ScanEntry
from ctseg_batch.reporting.overview import Trouble, by_reason
from ctseg_batch.reporting.pictures import ScanPictures, draw
from ctseg_batch.reporting.profile import Profile, draw_profile
from ctseg_batch.reporting.regional import Regional, lesions_told, regional
from ctseg_batch.reporting.sources import ScanFiles
from ctseg_batch.reporting.table import share
from ctseg_batch.reporting.words import explain, number, order_told, status_told, with_minus
from ctseg_batch.slice_figures import SliceFigures

_NO_LIST = "Pictures need slices.csv, which this OUT does not hold: the same call of `ctseg batch` writes it."
_NOTHING = "None of it could be read."


@dataclass(frozen=True, slots=True)
class Origin:
    """Where masks and slices are, and the threads that read them."""

    out: Path
    root: Path | None
    pool: Executor


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """A group of classes, or the mean of all, against the truth; distances only where it `is_measured`."""

    name: str
    iou: float | None
    dice: float | None
    is_measured: bool
    hd95_mm: float | None
    assd_mm: float | None
    error_ml: float | None


@dataclass(frozen=True, slots=True)
class ScanSection:
    """A scan's section of the page.

    `index` is that of the scan in the summary; `why` is the reason it was chosen, if only some were.
    """

    index: int
    why: str
    scan: ScanEntry
    status: str
    facts: tuple[tuple[str, str], ...]
    flags: tuple[tuple[str, str], ...]
    regional: Regional | None
    lesions: str
    scores: tuple[ScoreRow, ...]
    has_distances: bool
    pictures: ScanPictures
    profile: Profile | None
    failures: tuple[Trouble, ...]


def scan_section(
    index: int, why: str, scan: ScanEntry, rows: Sequence[SliceFigures] | None, origin: Origin
) -> ScanSection:
    """Draw the section of a scan; `rows` is None if OUT holds no list of slices."""
    spacing = tuple(scan["spacing_mm"]) if scan["spacing_mm"] else None
    profile = None
    if rows is None or scan["status"] == "failed":
        pictures = ScanPictures(notes=(_NOTHING if scan["status"] == "failed" else _NO_LIST,))
    else:
        files = ScanFiles(origin.out, origin.root, scan["scan"], rows, scan["window_hu"])
        right = scan["patients_right"]
        pictures = draw(files, spacing, right, origin.pool, scan["flags"])
        height = pictures.plane.size[0] if pictures.plane else None
        order = order_told(scan["flags"], spacing, right, is_series=bool(scan["series"]))
        area_spacing = None if flags.MIXED_PIXEL_SPACING in scan["flags"] else spacing
        profile = draw_profile(files.rows, order, area_spacing, height, f"profile-{index}")
    return ScanSection(
        index=index,
        why=why,
        scan=scan,
        status=status_told(scan["status"], scan["flags"]),
        facts=_facts(scan),
        flags=tuple((flag, explain(flag)) for flag in scan["flags"]),
        regional=regional(scan),
        lesions=lesions_told(scan["lesions"]),
        scores=tuple(_scores(scan)),
        has_distances=bool(scan["volume_error_ml"]),
        pictures=pictures,
        profile=profile,
        failures=by_reason(scan["errors"]),
    )


def _scores(scan: ScanEntry) -> Iterator[ScoreRow]:
    dice, errors, surfaces = (scan[key] or {} for key in ("dice", "volume_error_ml", "surface"))
    for name, iou in (scan["iou"] or {}).items():
        surface = surfaces.get(name) or {}
        yield ScoreRow(
            name, iou, dice.get(name), name in errors, surface.get("hd95_mm"), surface.get("assd_mm"), errors.get(name)
        )


def _facts(scan: ScanEntry) -> tuple[tuple[str, str], ...]:
    """The figures under a scan's heading."""
    failed, volumes = scan["failed_slices"], scan["volumes_ml"]
    facts = [("Slices", f"{scan['slices'] - failed:,} of {scan['slices']:,}" if failed else f"{scan['slices']:,}")]
    if scan["spacing_mm"]:
        facts.append(
            ("Spacing", " \N{MULTIPLICATION SIGN} ".join(f"{step:.3g}" for step in scan["spacing_mm"]) + " mm")
        )
    if scan["window_hu"]:
        black, white = (with_minus(f"{end:g}") for end in scan["window_hu"])
        facts.append(("Window", f"{black} to {white} HU, as given"))
    if scan["lung_ml"] is not None:
        facts.append(("Lung", f"{number(scan['lung_ml'])} mL"))
    for tissue in LESION:
        part = share(tissue.name, scan)
        if part is not None:
            volume = f"{number(volumes[tissue.name], 1)} mL, " if volumes else ""
            facts.append((tissue.title.capitalize(), f"{volume}{number(part, 1)} % of the lung"))
    if scan["involvement_percent"] is not None:
        facts.append(("Involvement", f"{number(scan['involvement_percent'], 1)} %"))
    if (total := figure_at(scan, "severity", "total")) is not None:
        facts.append(("Severity", f"{total} of 10"))
    return tuple(facts)
