"""Warn if a run scores slices that its model was trained on: such scores are too good."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ctseg.datasets.dataset import Dataset, around, read_dataset
from ctseg.datasets.description import read_description
from ctseg.datasets.learnt_groups import group_digest, learnt_groups
from ctseg.datasets.patient_folders import is_patient_layout
from ctseg.errors import DatasetError, ModelError
from ctseg.reading.kind import stem_of
from ctseg_batch.figures.notes import learnt_from
from ctseg_batch.result import PartResult


def leakage_notes(results: Iterable[PartResult], truth: Path, training: Mapping[str, Any]) -> Iterator[str]:
    """A line if the truth belongs to a data set that the model learnt from, with the number of slices if known."""
    top = truth.resolve()
    datasets = [one for one in training.get("datasets", ()) if isinstance(one, Mapping)]
    for folder in around(truth):
        name = _name_of(folder)
        described = [one for one in datasets if one.get("name") == name]
        if name is None or not described:
            continue
        try:
            masks = set(_learnt_masks(folder, described))
        except (DatasetError, ModelError, OSError):
            yield f"the model learnt from {name}: its scores there are not independent"
            return
        real = {parent: parent.resolve() for parent in {mask.parent for mask in masks}}
        paths = {os.path.relpath(real[mask.parent] / stem_of(mask.name), top) for mask in masks}
        sources = (Path(one.source) for part in results for one in part.slice_figures() if one.pixels)
        slices = sum(not paths.isdisjoint({str(one), str(one.with_name(stem_of(one.name)))}) for one in sources)
        if slices:
            yield learnt_from(slices, name)
        return


def _name_of(folder: Path) -> Any:
    """The name of a data set, from its description or else its folder; None if it is not a data set."""
    try:
        described = read_description(folder)
    except DatasetError:
        return folder.resolve().name if is_patient_layout(folder) else None
    return described.values.get("name") if described else None


def _learnt_masks(folder: Path, described: Sequence[Mapping[str, Any]]) -> Iterator[Path]:
    """The masks of the patients that were learnt from; raises DatasetError or ModelError if that is unknown."""
    dataset, learnt = read_dataset(folder), learnt_groups(described)
    if isinstance(dataset, Dataset):
        yield from (one.mask for one in dataset.slices if group_digest(dataset.name, one.group) in learnt)
