"""The figures of one scan, added up from its parts: an entry of `scans` in summary.json."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from ctseg import flags
from ctseg.datasets.mask_meaning import is_foreground
from ctseg.lungs import LUNGS, THIRDS, absent
from ctseg.measures import FAR_APART_MM, Measures, doubts, measure, voxel_ml
from ctseg.printable import count
from ctseg.regions import Amounts, Lungs, describe, grade, total
from ctseg.spacing import Spacing
from ctseg_batch.figures.totals import scored
from ctseg_batch.result import PartResult, StackFigures


def scan_figures(name: str, parts: Sequence[PartResult], groups: list[str] | None) -> dict[str, Any]:
    """The entry of a scan in summary.json, without the flag for other folders; `groups` are those of the truth."""
    slices, failed = sum(part.slices for part in parts), sum(part.failed_slices for part in parts)
    errors = sorted({failure for part in parts for failure in (*part.failures, *part.bad_truth)})
    done = [part for part in parts if part.labelled]
    spacing, whole = spacing_of(parts), next((part.whole for part in done if part.whole), None)
    pixels = [sum(counts) for counts in zip(*(part.pixels for part in parts), strict=True)]
    voxels = [sum(counts) for counts in zip(*(part.voxels for part in parts), strict=True)]
    measures = measure(pixels, spacing, voxels)
    confusion = _pooled(part.confusion for part in parts) if groups else None
    weighted = _pooled(part.weighted_confusion for part in parts) if groups else None
    return {
        "scan": name,
        "status": "failed" if not done else "partial" if errors else "ok",
        "slices": slices,
        "failed_slices": failed,
        "spacing_mm": spacing,
        "window_hu": next((part.window_hu for part in done if part.window_hu), None),
        "pixels": measures.pixels,
        "volumes_ml": measures.volumes_ml,
        "lung_ml": measures.lung_ml,
        "involvement_percent": measures.involvement_percent,
        **_regional(whole, spacing),
        **scored([confusion], groups),
        "confusion": confusion,
        **_distances(whole, spacing, weighted or confusion, groups),
        "flags": _flags(done, failed, measures, needs_scores=groups is not None, is_scored=confusion is not None),
        "device": done[0].device if done else None,
        "precision": done[0].precision if done else None,
        "errors": [asdict(error) for error in errors],
        "series": next((part.series for part in parts if part.series), None),
        "patients_right": next((part.patients_right for part in parts if part.patients_right), None),
        "slice_weights": _weights(parts),
        "weighted_confusion": weighted,
        "left_out": [asdict(one) for one in sorted({one for part in parts for one in part.left_out})],
    }


def _regional(whole: StackFigures | None, spacing: Spacing | None) -> dict[str, Any]:
    """HU and mass, the lungs, their severity, the lesions; None if not asked for, or if the scan is not a stack."""
    if whole is None or spacing is None:
        return dict.fromkeys(("mean_hu", "mass_g", "regions", "severity", "lesions"))
    both = describe(whole.both, spacing)
    known_of_both = {"mean_hu": both.mean_hu, "mass_g": both.mass_g}
    lesions = None if whole.lesions is None else asdict(whole.lesions)
    if whole.lungs is None:
        return {**known_of_both, "regions": None, "severity": None, "lesions": lesions}
    regions = dict(zip(LUNGS, _lungs(whole.lungs, spacing), strict=True))
    grades = {name: grade(None if lung is None else lung["involvement_percent"]) for name, lung in regions.items()}
    known = [one for one in grades.values() if one is not None]
    return {
        **known_of_both,
        "regions": regions,
        "severity": {**grades, "total": sum(known) if len(known) == len(LUNGS) else None},
        "lesions": lesions,
    }


def _lungs(lungs: Lungs, spacing: Spacing) -> Iterator[dict[str, Any] | None]:
    """The figures of each lung and of its thirds; None for a lung that is absent."""

    def described(amounts: Amounts) -> dict[str, Any]:
        return asdict(describe(amounts, spacing))

    wholes = [total(lung) for lung in lungs]
    voxels = [sum(amount.voxels for amount in whole) for whole in wholes]
    gone = absent(voxels)
    for name, lung, whole, own in zip(LUNGS, lungs, wholes, voxels, strict=True):
        by_third = {third: described(amounts) for third, amounts in zip(THIRDS, lung, strict=True)}
        yield {**described(whole), "thirds": by_third} if own and name not in gone else None


def _pooled(tables: Iterable[Sequence[Sequence[float]] | None]) -> list[list[float]] | None:
    """The sum of some tables; None if there are none, or if no pixel of the references is labelled."""
    counts = [np.array(table) for table in tables if table is not None]
    pooled: list[list[float]] = np.sum(counts, axis=0).tolist() if counts else []
    return pooled if np.any(pooled) else None


def _weights(parts: Sequence[PartResult]) -> list[float] | None:
    """The weights of all slices; None if all count the same."""
    weights = [weight for part in parts for weight in part.weights or (1.0,) * part.slices]
    return weights if any(part.weights for part in parts) else None


def _distances(
    whole: StackFigures | None, spacing: Spacing | None, confusion: list[list[float]] | None, groups: list[str] | None
) -> dict[str, Any]:
    """The distance of a stack's surfaces, and the error of its volumes, for each group except background."""
    if whole is None or spacing is None or confusion is None or groups is None:
        return {"surface": None, "volume_error_ml": None}
    counts = np.array(confusion)
    errors = (counts.sum(axis=0) - counts.sum(axis=1)) * voxel_ml(spacing)
    lung = [number for number, group in enumerate(groups) if is_foreground(group)]
    surfaces = whole.surfaces
    return {
        "surface": None
        if surfaces is None
        else {groups[n]: None if (one := surfaces[n]) is None else asdict(one) for n in lung},
        "volume_error_ml": {groups[n]: float(errors[n]) for n in lung},
    }


def _flags(
    done: Sequence[PartResult], failed: int, measures: Measures, *, needs_scores: bool, is_scored: bool
) -> list[str]:
    """The flags of a scan."""
    found = [flag for part in done for flag in part.flags]
    if done and measures.involvement_percent is None:
        found.append(flags.NO_LUNG_FOUND)
    if done and done[0].stack:
        if failed:
            found.append(flags.failed(count(failed, "slice")))
        largest = max(part.lung[1] for part in done)
        found += doubts(measures, done[0].lung[0], largest, done[-1].lung[2])
    if len({sum(one.pixels) for part in done for one in part.slice_figures() if one.pixels}) > 1:
        found.append(flags.MIXED_SIZES)
    if done and sum(part.slices for part in done) > 1 and (done[0].spacing_mm or (0,))[0] > FAR_APART_MM:
        found.append(flags.FAR_APART)
    unscored = sum(part.unscored for part in done)
    if done and needs_scores and not is_scored:
        found.append(flags.NOT_SCORED)
    elif needs_scores and unscored:
        found.append(flags.no_truth_for(count(unscored, "slice")))
    return list(dict.fromkeys(found))


def spacing_of(parts: Iterable[PartResult]) -> Spacing | None:
    """The spacing of a scan: that of its first part with a labelled slice."""
    return next((part.spacing_mm for part in parts if part.labelled), None)
