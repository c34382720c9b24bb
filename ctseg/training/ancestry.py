"""What a run begins with: the network that it continues from, and the teachers whose soft labels it learns from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import nn

from ctseg.training.batches import first_batches
from ctseg.training.checkpoint import Checkpoint
from ctseg.training.lineage import check_learnt, descent, find_network, is_model, not_inherited, open_start
from ctseg.training.recipe import Recipe
from ctseg.training.results import warn, warn_of_new_names
from ctseg.training.samples import Samples
from ctseg.training.teach import Teacher, open_teacher, with_soft_labels
from ctseg.training.unfold import recalibrated


@dataclass(frozen=True)
class Ancestry:
    """The networks that a run builds on; either may be missing.

    `datasets`: what they learnt from, as their files describe it. `noted`: what recipe.json and the run's checkpoints
    say of them.
    """

    start: Checkpoint | None
    start_file: Path | None
    teacher: Teacher | None
    datasets: tuple[Mapping[str, Any], ...]
    noted: Mapping[str, Any]

    def taught(self, loaded: Sequence[Samples]) -> Sequence[Samples]:
        """The data sets with the teacher's soft labels; as they are, without one."""
        return with_soft_labels(loaded, self.teacher) if self.teacher else loaded

    def first_network(self, loaded: Sequence[Samples], recipe: Recipe) -> nn.Module | None:
        """What a run trains first; a model file's network gets its batch normalisation back."""
        if self.start is None or self.start_file is None:
            return None
        net = self.start.net
        return recalibrated(net, first_batches(loaded, recipe)) if is_model(self.start_file) else net


def open_ancestry(
    start: str | None,
    teachers: Sequence[str],
    recipe: Recipe,
    loaded: Sequence[Samples],
    device: torch.device,
    console: Console,
) -> Ancestry:
    """Open the networks by name or file, and warn of patients that they may know under another name.

    Raises ModelError for what is no network or not the recipe's, DatasetError where one learnt from a group that is
    held back here.
    """
    noted: dict[str, Any] = {}
    datasets: list[Mapping[str, Any]] = []
    first, file, teacher = None, None, None
    if start:
        file = find_network(start)
        first = open_start(file, recipe)
        datasets += first.training.get("datasets", ())
        check_learnt(start, datasets, loaded)
        noted["start"] = descent(first, file)
    if teachers:
        teacher = open_teacher([find_network(one) for one in teachers], device)
        datasets += teacher.datasets
        check_learnt("the teacher", teacher.datasets, loaded)
        noted["teachers"] = list(teacher.provenance)
    if forebears := dict.fromkeys([*([start] if start else []), *teachers]):
        held_back = [data.dataset.name for data in loaded if data.splits["val"] or data.splits["test"]]
        warn_of_new_names(" and ".join(forebears), datasets, held_back, console)
    return Ancestry(first, file, teacher, tuple(datasets), noted)


def warn_of_what_is_not_inherited(start: str, ancestry: Ancestry, console: Console) -> None:
    """For a run that holds no group back: its figures and temperature can only be those of its start."""
    if ancestry.start and (missing := not_inherited(ancestry.start)):
        warn(
            f"{start} has no {' and no '.join(missing)} to hand on, so this run will have none: only the best.pt "
            "of a run that held groups back, and ended, has both",
            console,
        )
