"""How a network is trained: the presets, and all that a run needs to be repeated."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, get_args

from ctseg.classes import class_named
from ctseg.cleanup import Cleanup
from ctseg.errors import CallError
from ctseg.prepare import Preparation

Kind = Literal["classic", "light", "efficient"]
Preset = Literal["light", "teacher", "seed"]
Schedule = Literal["constant", "cosine", "one-cycle"]


@dataclass(frozen=True, slots=True)
class Architecture:
    """`widths`: channels of each level (`efficient`: of its decoder), top down; `blocks`: residual ones (`light`)."""

    kind: Kind
    widths: tuple[int, ...]
    blocks: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Recipe:
    """One way to train. `canvas`: side in pixels of the square that training slices are drawn on.

    `augmentation`: `random` draws a new variant of every slice; `quadruple` adds to each its two mirror images and a
    rotation by 45 degrees, once and for all. `sampling`: `every` slice once an epoch, or `balanced`, as
    many of each data set in every batch. `dice_weight`: of the Dice loss beside the cross-entropy.
    `averaging`: decay a step of the running mean of the weights that is kept, less in the first steps; 0 keeps the
    weights as they are.
    `patience`: epochs without a better validation IoU after which the run ends; 0 for never.
    `plain`: of the `random` slices, the share that is seen as in use, its grey values as they are.
    `cutmix`: the share of `random` slices with a rectangle of another one of their data set.
    `start_share`: how much of the weights that a run starts from there is in those that are kept.
    `logit_offset`: by the name of a class, what is added to its logit in the network that a run starts from.
    """

    preset: str
    architecture: Architecture
    preparation: Preparation
    cleanup: Cleanup
    canvas: int
    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    schedule: Schedule
    augmentation: Literal["quadruple", "random"]
    sampling: Literal["every", "balanced"]
    dice_weight: float
    averaging: float
    patience: int
    seed: int = 0
    plain: float = 0.0
    cutmix: float = 0.0
    start_share: float = 0.0
    logit_offset: Mapping[str, float] = field(default_factory=dict)


SEED = Recipe(
    preset="seed",
    architecture=Architecture("classic", (64, 128, 256, 512, 1024)),
    preparation=Preparation(long_side=512, multiple=16),
    cleanup=Cleanup(),
    canvas=512,
    epochs=35,
    batch_size=5,
    learning_rate=1e-3,
    weight_decay=0.0,
    schedule="constant",
    augmentation="quadruple",
    sampling="every",
    dice_weight=0.0,
    averaging=0.0,
    patience=0,
)
"""The recipe that this project started from, unchanged."""

LIGHT = Recipe(
    preset="light",
    architecture=Architecture("light", (16, 32, 48, 80, 128), (0, 1, 2, 2, 2)),
    preparation=Preparation(long_side=384, multiple=32),
    cleanup=Cleanup(slice_fraction=0.0005, volume_fraction=0.05),
    canvas=320,
    epochs=100,
    batch_size=12,
    learning_rate=3e-3,
    weight_decay=0.02,
    schedule="one-cycle",
    augmentation="random",
    sampling="balanced",
    dice_weight=1.0,
    averaging=0.998,
    patience=0,
)
"""The default: small and fast on a CPU."""

TEACHER = replace(
    LIGHT,
    preset="teacher",
    architecture=Architecture("efficient", (24, 32, 64, 96, 160)),
    epochs=30,
    learning_rate=1e-3,
)
"""Larger and slower, for its soft labels of the slices that `light` learns from."""

PRESETS: Mapping[Preset, Recipe] = {"light": LIGHT, "teacher": TEACHER, "seed": SEED}


def choose_recipe(preset: Preset, changes: Mapping[str, Any]) -> Recipe:
    """The preset with those changes that are not None; raises CallError for an impossible recipe."""
    if (changes.get("canvas") or 32) % 32:
        raise CallError(f"the canvas must be a multiple of 32, not {changes['canvas']}")
    recipe = replace(PRESETS[preset], **{key: value for key, value in changes.items() if value is not None})
    if recipe.batch_size * (recipe.canvas // recipe.preparation.multiple) ** 2 < 2:
        # At its lowest level the network would have a single pixel, on which batch normalisation is impossible.
        raise CallError(
            f"--canvas {recipe.canvas} is too small for --batch-size 1: give --canvas {2 * recipe.canvas}, or "
            "--batch-size 2"
        )
    for option in "plain", "cutmix":
        if getattr(recipe, option) and recipe.augmentation != "random":
            raise CallError(
                f"--{option} does nothing with the preset {preset}, which varies no slice at random: leave it out"
            )
    if recipe.augmentation == "quadruple":
        # `quadruple` draws whole frames unchanged, so slices must be as large in use as in training.
        recipe = replace(recipe, preparation=replace(recipe.preparation, long_side=recipe.canvas))
    return recipe


def logit_offsets(given: Sequence[str]) -> Mapping[str, float]:
    """The offsets by class that a command gives as `background=-0.5`; raises CallError."""
    offsets: dict[str, float] = {}
    for one in given:
        name, _, number = one.partition("=")
        try:
            tissue, offset = class_named(name), float(number)
            _check_number("the offset", offset)
        except ValueError as error:
            raise CallError(f"--logit-offset {one}: {error}; write CLASS=NUMBER, such as background=-0.5") from None
        if name in offsets:
            raise CallError(f"--logit-offset {one}: {tissue.title} has an offset already")
        offsets[name] = offset
    return offsets


def recipe_from(stored: Mapping[str, Any]) -> Recipe:
    """A recipe from its `asdict` form, as a checkpoint holds it; raises what a damaged one provokes."""
    parts = dict(stored)
    architecture = parts.pop("architecture")
    preparation = parts.pop("preparation")
    cleanup = parts.pop("cleanup")
    for one in fields(Recipe):
        if one.type in (int, float) and one.name in parts:
            _check_number(one.name, parts[one.name])
    for name, offset in parts.get("logit_offset", {}).items():
        _check_number(f"the logit offset of {class_named(name).name}", offset)
    if architecture["kind"] not in get_args(Kind):
        raise ValueError(f"no network is called {architecture['kind']!r}")
    return Recipe(
        architecture=Architecture(architecture["kind"], tuple(architecture["widths"]), tuple(architecture["blocks"])),
        preparation=Preparation(tuple(preparation["window"]), preparation["long_side"], preparation["multiple"]),
        cleanup=Cleanup(**cleanup),
        **parts,
    )


def _check_number(name: str, stored: Any) -> None:
    if not isinstance(stored, (int, float)) or not math.isfinite(stored):
        raise ValueError(f"{name} is {stored!r}, which is not a number")
