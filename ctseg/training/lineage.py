"""What a run takes over from other networks: first weights, soft labels, and the groups that those learnt from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import nn

from ctseg.datasets.learnt_groups import group_digest, learnt_groups
from ctseg.errors import DatasetError, ModelError
from ctseg.printable import count
from ctseg.training.batches import first_batches
from ctseg.training.checkpoint import Checkpoint
from ctseg.training.distill import Teacher, open_teacher, with_soft_labels
from ctseg.training.network_file import descent, find_network, open_network
from ctseg.training.networks import with_logit_offset
from ctseg.training.recipe import Recipe
from ctseg.training.results import warn, warn_of_new_names
from ctseg.training.samples import Samples
from ctseg.training.soup import mean_of
from ctseg.training.unfold import is_folded, recalibrated

_FIGURES = {"split", "slices", "iou", "dice"}


@dataclass(frozen=True)
class Lineage:
    """The networks that a run builds on, to start from and as a teacher; either may be missing.

    `start` is the mean of those to start from. `datasets`: what they and the teachers learnt from, as their files
    describe it. `noted`: what recipe.json and the run's checkpoints say of them. `judged`: whose figures and
    temperature stand for those of a run that holds no group back.
    """

    start: nn.Module | None
    judged: Checkpoint | None
    teacher: Teacher | None
    datasets: tuple[Mapping[str, Any], ...]
    noted: Mapping[str, Any]

    def taught(self, loaded: Sequence[Samples]) -> Sequence[Samples]:
        """The data sets with the teacher's soft labels; as they are, without one."""
        return with_soft_labels(loaded, self.teacher) if self.teacher else loaded

    def first_network(self, loaded: Sequence[Samples], recipe: Recipe) -> nn.Module | None:
        """The network that training starts from; that of a model file gets its batch normalisation back."""
        if self.start is None:
            return None
        start = with_logit_offset(self.start, recipe.logit_offset) if recipe.logit_offset else self.start
        return recalibrated(start, first_batches(loaded, recipe)) if is_folded(start) else start


def open_lineage(
    start: Sequence[str],
    teachers: Sequence[str],
    figures_of: str | None,
    recipe: Recipe,
    loaded: Sequence[Samples],
    device: torch.device,
    console: Console,
) -> Lineage:
    """Open the networks by name or file, and warn of patients that they may know under another name.

    `figures_of` names whose figures stand for the run's. Raises ModelError for what is not a network, or not the
    recipe's, or has no figures; DatasetError where one learnt from a group that is held back here.
    """
    noted: dict[str, Any] = {}
    known: dict[str, Sequence[Mapping[str, Any]]] = {}
    teacher = None
    files = list(map(find_network, start))
    first = [open_alike(file, recipe) for file in files]
    for called, one in zip(start, first, strict=True):
        known[called] = one.training.get("datasets", ())
        check_learnt(called, known[called], loaded)
    if first:
        noted["start"] = list(map(descent, first, files))
    if teachers:
        teacher = open_teacher([find_network(one) for one in teachers], device)
        known[" and ".join(teachers)] = teacher.datasets
        check_learnt("the teacher", teacher.datasets, loaded)
        noted["teachers"] = list(teacher.provenance)
    held_back = [data.dataset.name for data in loaded if data.held_out]
    for called, learnt in known.items():
        warn_of_new_names(called, learnt, held_back, console)
    datasets = tuple(chain.from_iterable(known.values()))
    # A mean, or one with an offset, is another network than those that it is of.
    judged = first[0] if len(first) == 1 and not recipe.logit_offset else None
    if figures_of:
        file = find_network(figures_of)
        judged = open_alike(file, recipe)
        if judged.training.get("all_groups"):
            raise ModelError(f"{figures_of} held no groups out, so it has no figures of its own: name one that did")
        theirs = {described.get("name") for described in judged.training.get("datasets", ())}
        if theirs != {data.dataset.name for data in loaded} | {described.get("name") for described in datasets}:
            warn(f"{figures_of} was trained on other data sets: its figures and temperature may not hold here", console)
        noted["figures_of"] = descent(judged, file)
    begin = mean_of([one.net for one in first]) if first else None
    return Lineage(begin, judged, teacher, datasets, noted)


def open_alike(file: Path, recipe: Recipe) -> Checkpoint:
    """A network to start from or to take figures of; raises ModelError if the recipe trains another one."""
    found = open_network(file)
    is_same = found.recipe.preset == recipe.preset
    if is_same and recipe.augmentation == "quadruple" and found.recipe.canvas != recipe.canvas:
        # Its slices must be as large in use as they were in training.
        raise ModelError(
            f"{file} was trained at --canvas {found.recipe.canvas}, and the preset {recipe.preset} uses a network at "
            f"that size: give this run the same, not {recipe.canvas}"
        )
    for what, theirs, ours in (
        ("network", found.recipe.architecture, recipe.architecture),
        ("preparation of slices", found.recipe.preparation, recipe.preparation),
    ):
        if theirs != ours:
            raise ModelError(
                f"{file} has a different {what} from the one that the preset {recipe.preset} trains: name one "
                f"that was made with the same {'version of ctseg' if is_same else '--preset'}"
            )
    return found


def check_learnt(who: str, datasets: Sequence[Mapping[str, Any]], loaded: Sequence[Samples]) -> None:
    """Raise DatasetError if `who` learnt from a group that is held back here, by the description of its `datasets`.

    The new network would know that group through it, and its scores there would be too good.
    """
    learnt = learnt_groups(datasets)
    held_back = {(data.dataset.name, group) for data in loaded for group in data.held_out}
    if known := sorted(one for one in held_back if group_digest(*one) in learnt):
        dataset, group = known[0]
        raise DatasetError(
            f"{who} was trained on {group} of {dataset}, which is held out here ({count(len(known), 'such group')}): "
            "give both runs the same data sets, --seed and --validation-group, or hold none out with --all-groups"
        )


def inherited_datasets(
    theirs: Sequence[Mapping[str, Any]], own: Sequence[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """The data sets that the networks before this one learnt from, as far as they hold groups that its `own` do not.

    A network inherits their knowledge, and the licences of their data hold for it.
    """
    known, result = learnt_groups(own), []
    for described in theirs:
        if more := learnt_groups([described]) - known:
            result.append(described)
            known |= more
    return result


def inherited_scores(lineage: Lineage) -> dict[str, Any]:
    """For a run that holds no group back: the figures of the network that stands for this one, marked as such.

    Empty if the run of that network had not ended: then it has only those of its last epoch, on a few slices.
    """
    judged, is_alike = lineage.judged, "figures_of" in lineage.noted
    whose = "one that was trained alike, but held groups back" if is_alike else "the network that it began with"
    return {
        name: {"of": whose, **figures}  # one that is inherited already says itself whose it is
        for name, figures in (judged.scores.items() if judged else ())
        if isinstance(figures, Mapping) and figures.keys() >= _FIGURES
    }


def warn_of_what_is_not_inherited(judged: str, lineage: Lineage, console: Console) -> None:
    """Warn a run that holds no group back if no network hands its figures and temperature on, or if it lacks them."""
    if lineage.judged is None:
        warn(
            "no group is held out, so this run will have no figures and no temperature, which confidence needs: "
            "name a network that has them by --figures-of, or by a single --start",
            console,
        )
        return
    missing = {"temperature": lineage.judged.temperature is None, "figures": not inherited_scores(lineage)}
    if any(missing.values()):
        lacks = " and no ".join(what for what, is_missing in missing.items() if is_missing)
        warn(
            f"{judged} has no {lacks} to hand on, so this run will have none: only the best.pt "
            "of a finished run that held groups out has both",
            console,
        )
