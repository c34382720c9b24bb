"""The totals over scans, computed from their entries in summary.json, so that runs can be joined."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ctseg.agreement import agree
from ctseg.classes import CLASSES, LESION, LUNG
from ctseg.datasets.mask_meaning import classes_in, is_foreground
from ctseg.measures import involvement, percent, voxel_ml
from ctseg.metrics import scores

ScanEntry = Mapping[str, Any]
"""An entry of `scans` in summary.json (docs/summary.md)."""

Confusions = Iterable[Sequence[Sequence[float]] | None]

Pairs = Mapping[int, tuple[float, float]]
"""(measured, true) by the index of the scan."""


@dataclass(frozen=True, slots=True)
class Paired:
    """Measured and true volumes of each group and of the lung, and involvement; None if the truth does not tell."""

    volumes_ml: Mapping[str, Pairs]
    lung_ml: Pairs | None
    involvement_percent: Pairs | None


def totals(scans: Sequence[ScanEntry], groups: Sequence[str] | None, measures: str | None) -> dict[str, Any]:
    """The totals; volumes and involvement are over the scans whose volumes are known."""
    known = [scan["volumes_ml"] for scan in scans if scan["volumes_ml"] is not None]
    volumes = {c.name: sum(volumes[c.name] for volumes in known) for c in LUNG} if known else None
    pixels = [sum(scan["pixels"][c.name] for scan in scans) for c in CLASSES]
    return {
        "scans": len(scans),
        "slices": sum(scan["slices"] for scan in scans),
        "failed_slices": sum(scan["failed_slices"] for scan in scans),
        "pixels": {c.name: n for c, n in zip(CLASSES, pixels, strict=True)},
        "volumes_ml": volumes,
        "lung_ml": sum(volumes.values()) if volumes else None,
        "involvement_percent": involvement([0.0, *volumes.values()] if volumes else pixels),
        **scored((scan["confusion"] for scan in scans), groups),
        "agreement": _agreement(scans, groups) if groups and measures == "full" else None,
    }


def scored(confusions: Confusions, groups: Sequence[str] | None) -> dict[str, Any]:
    """IoU and Dice, pooled over the slices that have a truth; None without any."""
    counts = [np.array(one) for one in confusions if one is not None]
    if not counts or groups is None:
        return {"iou": None, "dice": None}
    found = scores(np.sum(counts, axis=0))
    return {
        "iou": {**dict(zip(groups, found.iou, strict=True)), "mean": found.mean_iou},
        "dice": {**dict(zip(groups, found.dice, strict=True)), "mean": found.mean_dice},
    }


def paired(scans: Sequence[ScanEntry], groups: Sequence[str]) -> Paired | None:
    """Mask and truth of each scan with a truth and a spacing, over its slices with a truth; None if there is none."""
    compared = {
        index: scan
        for index, scan in enumerate(scans)
        if scan["confusion"] is not None and scan["spacing_mm"] is not None
    }
    if not compared:
        return None
    classes = [classes_in(group) for group in groups]
    lung = _made_of(classes, frozenset(c.name for c in LUNG))
    lesion = _made_of(classes, frozenset(c.name for c in LESION))
    volumes = {
        name: {index: _volumes(scan, [number]) for index, scan in compared.items()}
        for number, name in enumerate(groups)
        if is_foreground(name)
    }
    return Paired(
        volumes,
        None if lung is None else {index: _volumes(scan, lung) for index, scan in compared.items()},
        None if lung is None or lesion is None else dict(_involved(compared, lesion, lung)),
    )


def _agreement(scans: Sequence[ScanEntry], groups: Sequence[str]) -> dict[str, Any] | None:
    """The agreement of volumes and involvement, over the scans that have a truth and a spacing."""
    pairs = paired(scans, groups)
    if pairs is None:
        return None
    return {
        "volumes_ml": {name: _agree(of) for name, of in pairs.volumes_ml.items()},
        "lung_ml": _agree(pairs.lung_ml),
        "involvement_percent": _agree(pairs.involvement_percent),
    }


def _made_of(groups: Sequence[frozenset[str]], classes: frozenset[str]) -> list[int] | None:
    """The groups that together are exactly these classes; None if one holds other classes too."""
    touched = [number for number, group in enumerate(groups) if group & classes]
    return touched if all(groups[number] <= classes for number in touched) else None


def _volumes(scan: ScanEntry, groups: Sequence[int]) -> tuple[float, float]:
    """The volume of some groups in mL in the mask and in the truth, over the slices that have a truth."""
    counts, ml = np.array(scan["weighted_confusion"] or scan["confusion"]), voxel_ml(scan["spacing_mm"])
    return float(counts[:, groups].sum() * ml), float(counts[groups].sum() * ml)


def _involved(
    scans: Mapping[int, ScanEntry], lesion: Sequence[int], lung: Sequence[int]
) -> Iterator[tuple[int, tuple[float, float]]]:
    """Involvement in per cent in the mask and in the truth, for the scans that have lung in both."""
    for index, scan in scans.items():
        mask, true = map(percent, _volumes(scan, lesion), _volumes(scan, lung))
        if mask is not None and true is not None:
            yield index, (mask, true)


def _agree(pairs: Pairs | None) -> dict[str, Any] | None:
    measured, true = zip(*pairs.values(), strict=True) if pairs else ((), ())
    agreement = agree(measured, true)
    return None if agreement is None else asdict(agreement)
