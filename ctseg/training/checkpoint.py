"""The checkpoint file between training and export: weights and how they were made. No code in it is ever run."""

import os
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ctseg.classes import CLASSES
from ctseg.datasets.learnt_groups import group_digest
from ctseg.errors import CallError, ModelError, first_line
from ctseg.model import check_temperature
from ctseg.process.replacing import replace_with
from ctseg.process.signals import uninterrupted
from ctseg.training.networks import build, check_parts
from ctseg.training.recipe import Recipe, recipe_from

FORMAT = "ctseg checkpoint"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class Checkpoint:
    """A trained network, and how it was made.

    `net` is in evaluation mode. `training`: data sets (name, slices, groups, licence, citation), seed, and the networks
    that it comes from. `scores`: figures on the validation or test groups. `progress`: what a resumed run needs, empty
    otherwise. `temperature`: what the logits are divided by to give calibrated probabilities; None until it is fitted.
    """

    net: nn.Module
    recipe: Recipe
    training: Mapping[str, Any]
    scores: Mapping[str, Any]
    progress: Mapping[str, Any]
    temperature: float | None = None


def save(checkpoint: Checkpoint, file: Path) -> None:
    """A run that is killed meanwhile leaves the former file whole; raises CallError."""
    state = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "classes": [c.name for c in CLASSES],
        "recipe": asdict(checkpoint.recipe),
        "training": dict(checkpoint.training),
        "scores": dict(checkpoint.scores),
        "weights": checkpoint.net.state_dict(),
        "progress": dict(checkpoint.progress),
        "temperature": checkpoint.temperature,
    }
    content = BytesIO()  # not the file itself: for a full disk, torch reports an error of its own
    with uninterrupted():
        torch.save(state, content)
        try:
            replace_with(file, content.getvalue())
        except CallError as error:
            raise CallError(f"{error}; --resume continues once it can") from error


def load(file: Path) -> Checkpoint:
    """Read a checkpoint onto the CPU; raises ModelError for any other file."""
    if not os.path.isfile(file):  # noqa: PTH113 - Path.is_file raises where a folder on the way may not be entered
        raise ModelError(f"no checkpoint {file}: `ctseg train` writes best.pt and last.pt into its run folder")
    state = _unpacked(file)
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise ModelError(f"{file} is not a ctseg checkpoint")
    try:
        if state["format_version"] > FORMAT_VERSION:
            raise ModelError(f"{file} was written by a newer ctseg (format {state['format_version']}): update ctseg")
        if state["classes"] != [c.name for c in CLASSES]:
            raise ModelError(f"{file} has the classes {', '.join(state['classes'])}, not those of this ctseg")
        recipe = recipe_from(state["recipe"])
        if sum(weights.nbytes for weights in state["weights"].values()) > file.stat().st_size:
            raise ValueError("its weights would take more memory than the file")
        _check_shapes(recipe, {name: tuple(weights.shape) for name, weights in state["weights"].items()})
        net = build(recipe.architecture)
        net.load_state_dict(state["weights"])
        if not is_finite(net):
            raise ModelError(
                f"{file} has weights that are not finite, since training diverged: train at a lower --learning-rate"
            )
        scores, temperature = _mapping(state["scores"]), state.get("temperature")
        for figures in scores.values():
            _mapping(figures)
        return Checkpoint(
            net.eval(),
            recipe,
            _training(state["training"]),
            scores,
            _mapping(state["progress"]),
            None if temperature is None else check_temperature(temperature),
        )
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError) as error:
        raise ModelError(f"{file} is a damaged checkpoint: {first_line(error)}") from error


def _unpacked(file: Path) -> Any:
    try:
        _check_sums(file)
        return torch.load(file, map_location="cpu", weights_only=True)
    except ModelError:
        raise
    except Exception as error:  # a damaged file can make the unpickler raise anything
        # Without its message, which advises to read the file unsafely.
        raise ModelError(f"{file} is not a checkpoint of ctseg train, or is damaged") from error


def _check_sums(file: Path) -> None:
    """Raise BadZipFile for a wrong checksum, which torch does not verify, ModelError for what would swell in memory."""
    with zipfile.ZipFile(file) as parts:
        entries = parts.infolist()
        if any(one.compress_type != zipfile.ZIP_STORED for one in entries):  # torch stores them as they are
            raise ModelError(f"{file} was compressed anew: take it as `ctseg train` wrote it")
        if sum(one.file_size for one in entries) > file.stat().st_size:
            raise zipfile.BadZipFile("its parts overlap")
        if damaged := parts.testzip():
            raise zipfile.BadZipFile(damaged)


def is_finite(net: nn.Module) -> bool:
    """Whether all weights are finite."""
    return all(bool(weights.isfinite().all()) for weights in net.state_dict().values())


def _mapping(part: Any) -> Mapping[str, Any]:
    if not isinstance(part, dict):
        raise TypeError("its training record is not a mapping")
    return part


def _training(stored: Any) -> Mapping[str, Any]:
    """The description of the training, if its data sets have all that learning and export need."""
    training = _mapping(stored)
    return {**training, "datasets": [_dataset(described) for described in training.get("datasets", ())]}


def _dataset(described: Mapping[str, Any]) -> Mapping[str, Any]:
    name, groups = described["name"], _mapping(described["groups"])
    if not isinstance(name, str):
        raise TypeError("a data set has no name")
    if "learnt_from" not in described:  # of version 0.1.0, which had the names alone
        return {**described, "learnt_from": sorted(group_digest(name, group) for group in groups["train"])}
    if not isinstance(described["learnt_from"], list):
        raise TypeError(f"the groups of {name} that were learnt from are not listed")
    return described


def _check_shapes(recipe: Recipe, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Raise ValueError unless a recipe's network has weights of these shapes, before it takes any memory.

    Also if it does not take sides of the multiple that slices are padded to.
    """
    check_parts(recipe.architecture, len(shapes))
    side = recipe.preparation.multiple
    with torch.device("meta"):
        net = build(recipe.architecture).eval()
        size = net(torch.empty(1, 1, side, side)).shape[2:]
    if {name: tuple(weights.shape) for name, weights in net.state_dict().items()} != dict(shapes):
        raise ValueError("its weights are not those of the network that its recipe describes")
    if size != (side, side):
        raise ValueError(f"its network does not take sides that are multiples of {side}")
