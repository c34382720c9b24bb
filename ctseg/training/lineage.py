"""What a run takes over from earlier ones: opinions, weights, and with them the groups that those learnt from."""

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from ctseg.errors import DatasetError, ModelError
from ctseg.training import checkpoint
from ctseg.training.checkpoint import Checkpoint
from ctseg.training.recipe import Recipe
from ctseg.training.samples import Samples

Group = tuple[str, str]
"""A data set's name and that of one of its groups (patients)."""


def learnt_groups(source: Checkpoint) -> frozenset[Group]:
    """The groups that a network was trained on."""
    return frozenset((d["name"], group) for d in source.training["datasets"] for group in d["groups"]["train"])


def descent(source: Checkpoint, file: Path) -> dict[str, Any]:
    """What a checkpoint notes of one that it comes from."""
    recipe = source.recipe
    return {"preset": recipe.preset, "seed": recipe.seed, "sha256": sha256(file.read_bytes()).hexdigest()}


def check_learnt(who: str, learnt: frozenset[Group], loaded: Sequence[Samples]) -> None:
    """Raise DatasetError where `who` learnt from a group that does not train here.

    Through it the network would know that group, and figures on it would be too good.
    """
    training = {(data.dataset.name, sample.group) for data in loaded for sample in data.splits["train"] + data.untold}
    if strange := sorted(learnt - training):
        dataset, group = strange[0]
        raise DatasetError(
            f"{who} learnt from {group} of {dataset}, which does not train here ({len(strange)} such groups): "
            "give both runs the same data sets, --seed and --validation-group"
        )


def inherited_scores(start: Checkpoint | None) -> dict[str, Any]:
    """The figures of the network that a run began with, marked as such, for a run that holds no group back."""
    if start is None:
        return {}
    return {name: {**figures, "of": "the network that it began with"} for name, figures in start.scores.items()}


def open_start(file: Path, recipe: Recipe) -> Checkpoint:
    """The checkpoint whose weights a run begins with; raises ModelError where the recipe trains another network."""
    found = checkpoint.load(file)
    for what, theirs, ours in (
        ("network", found.recipe.architecture, recipe.architecture),
        ("preparation of slices", found.recipe.preparation, recipe.preparation),
    ):
        if theirs != ours:
            raise ModelError(
                f"{file} is of another {what} than the preset {recipe.preset} trains: start from one that was made "
                "with the same --preset"
            )
    return found
