"""What a run takes over from earlier ones: soft labels, weights, and with them the groups that those learnt from."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ctseg.dataset import group_digest, learnt_groups
from ctseg.errors import DatasetError, ModelError
from ctseg.model import file_digest, find_model
from ctseg.training import checkpoint
from ctseg.training.checkpoint import Checkpoint
from ctseg.training.recipe import Recipe
from ctseg.training.samples import Samples

_FIGURES = {"split", "slices", "iou", "dice"}


def find_network(name_or_file: str) -> Path:
    """A checkpoint by its ending .pt, else a model's file; raises ModelError naming what there is."""
    return Path(name_or_file) if name_or_file.endswith(".pt") else find_model(name_or_file)


def is_model(file: Path) -> bool:
    """Whether a file is an exported model rather than a checkpoint, by its ending."""
    return file.suffix != ".pt"


def open_network(file: Path) -> Checkpoint:
    """The network of a checkpoint or of a model file; raises ModelError."""
    if not is_model(file):
        return checkpoint.load(file)
    from ctseg.training.unfold import open_model

    return open_model(file)


def descent(source: Checkpoint, file: Path) -> dict[str, Any]:
    """What a checkpoint notes of one that it comes from."""
    recipe = source.recipe
    return {"preset": recipe.preset, "seed": recipe.seed, "sha256": file_digest(file)}


def check_learnt(who: str, datasets: Sequence[Mapping[str, Any]], loaded: Sequence[Samples]) -> None:
    """Raise DatasetError where `who` learnt, by what it says of its `datasets`, from a group that is held back here.

    Through it the network would know that group, and figures on it would be too good.
    """
    learnt = learnt_groups(datasets)
    held_back = {(data.dataset.name, s.group) for data in loaded for s in data.splits["val"] + data.splits["test"]}
    if known := sorted(one for one in held_back if group_digest(*one) in learnt):
        dataset, group = known[0]
        raise DatasetError(
            f"{who} learnt from {group} of {dataset}, which is held back here ({len(known)} such groups): "
            "give both runs the same data sets, --seed and --validation-group, or hold none back by --all-groups"
        )


def inherited_datasets(
    theirs: Sequence[Mapping[str, Any]], own: Sequence[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """Which of the data sets that a run's forebears learnt from tell of groups that its `own` do not.

    A network knows what those knew that it comes of, and the licences of their data hold for it.
    """
    known, result = learnt_groups(own), []
    for described in theirs:
        if more := learnt_groups([described]) - known:
            result.append(described)
            known |= more
    return result


def inherited_scores(start: Checkpoint | None) -> dict[str, Any]:
    """The figures of the network that a run began with, marked as such, for a run that holds no group back.

    None of a network whose run had not ended: it has those of its last epoch alone, on a few slices.
    """
    if start is None:
        return {}
    return {
        name: {**figures, "of": "the network that it began with"}
        for name, figures in start.scores.items()
        if isinstance(figures, Mapping) and figures.keys() >= _FIGURES
    }


def not_inherited(start: Checkpoint) -> list[str]:
    """What a run that holds no group back lacks after such a start."""
    missing = {"temperature": start.temperature is None, "figures": not inherited_scores(start)}
    return [what for what, is_missing in missing.items() if is_missing]


def open_start(file: Path, recipe: Recipe) -> Checkpoint:
    """What a run begins with the weights of; raises ModelError where the recipe trains another network."""
    found = open_network(file)
    is_same = found.recipe.preset == recipe.preset
    if is_same and recipe.augmentation == "quadruple" and found.recipe.canvas != recipe.canvas:
        # Its slices are as large in use as they were in training.
        raise ModelError(
            f"{file} was trained at --canvas {found.recipe.canvas}, and by the preset {recipe.preset} is used at that "
            f"size: give this run the same, not {recipe.canvas}"
        )
    for what, theirs, ours in (
        ("network", found.recipe.architecture, recipe.architecture),
        ("preparation of slices", found.recipe.preparation, recipe.preparation),
    ):
        if theirs != ours:
            raise ModelError(
                f"{file} is of another {what} than the preset {recipe.preset} trains: start from one that was made "
                f"with the same {'version of ctseg' if is_same else '--preset'}"
            )
    return found
