"""Which slices make up each batch, and their drawing, ahead of the network, in threads."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ctseg.process.signals import uninterrupted
from ctseg.training.augment import QUADRUPLE, quadruple, randomise
from ctseg.training.cutmix import partners
from ctseg.training.recipe import Recipe
from ctseg.training.samples import Drawn, Sample, Samples, training_slices

_AHEAD = 4
_FIRST = 24
_THREADS = 2
_MIXED = 99  # with the seed of a batch's first slice, the seed of which of them are mixed


class Draw(NamedTuple):
    """A sample to draw: `variant` of the quadruple, and the `seed` of all that is random about it."""

    sample: Sample
    variant: int
    seed: tuple[int, ...]


def plan_epoch(datasets: Sequence[Sequence[Sample]], recipe: Recipe, epoch: int) -> list[list[Draw]]:
    """The batches of an epoch, a function of the recipe's seed and the epoch alone."""
    rng = np.random.default_rng([recipe.seed, epoch])
    is_every = recipe.sampling == "every"
    order = _every(datasets, recipe, rng) if is_every else _balanced(datasets, recipe.batch_size, epoch, rng)
    draws = [Draw(sample, variant, (recipe.seed, epoch, n)) for n, (sample, variant) in enumerate(order)]
    return [draws[start : start + recipe.batch_size] for start in range(0, len(draws), recipe.batch_size)]


class Batch(NamedTuple):
    """The input of a training step.

    `grey`: (N, 1, canvas, canvas) float32, 0..255. `allowed`: (N, canvas, canvas) uint8. `soft_labels`: the teacher's
    probabilities in 1/255, (N, classes, canvas, canvas) uint8; None unless all samples have them.
    """

    grey: Tensor
    allowed: Tensor
    soft_labels: Tensor | None


def first_batches(datasets: Sequence[Samples], recipe: Recipe) -> Iterator[Tensor]:
    """The inputs of the network (N, 1, canvas, canvas) in the first steps of a run."""
    plan = plan_epoch(training_slices(datasets), recipe, epoch=1)
    return (batch.grey for batch in load_epoch(plan[:_FIRST], recipe))


def load_epoch(plan: Sequence[Sequence[Draw]], recipe: Recipe) -> Iterator[Batch]:
    """The batches of an epoch, drawn."""
    batches = iter(plan)
    with ThreadPoolExecutor(_THREADS) as pool:

        def hand_over(count: int) -> list[Future[Batch]]:
            with uninterrupted():
                return [pool.submit(_draw_batch, batch, recipe) for batch in islice(batches, count)]

        waiting = hand_over(_AHEAD)
        while waiting:
            yield waiting.pop(0).result()
            waiting += hand_over(1)


def _every(datasets: Sequence[Sequence[Sample]], recipe: Recipe, rng: np.random.Generator) -> list[tuple[Sample, int]]:
    variants = QUADRUPLE if recipe.augmentation == "quadruple" else 1
    pairs = [(sample, variant) for samples in datasets for sample in samples for variant in range(variants)]
    return [pairs[index] for index in rng.permutation(len(pairs))]


def _balanced(
    datasets: Sequence[Sequence[Sample]], batch_size: int, epoch: int, rng: np.random.Generator
) -> list[tuple[Sample, int]]:
    """As many batches as all slices would fill, but each with an equal share of every data set.

    Places that do not divide evenly go to the data sets in turn, over the whole run.
    """
    steps = -(-sum(map(len, datasets)) // batch_size)
    starts = range((epoch - 1) * steps * batch_size, epoch * steps * batch_size, batch_size)
    turns = [n for start in starts for n in sorted(index % len(datasets) for index in range(start, start + batch_size))]
    streams = [iter(_cycle(samples, turns.count(n), rng)) for n, samples in enumerate(datasets)]
    return [(next(streams[n]), 0) for n in turns]


def _cycle(samples: Sequence[Sample], count: int, rng: np.random.Generator) -> list[Sample]:
    rounds = -(-count // len(samples))
    order = np.concatenate([rng.permutation(len(samples)) for _ in range(rounds)])[:count]
    return [samples[index] for index in order]


def _draw_batch(draws: Sequence[Draw], recipe: Recipe) -> Batch:
    rng = np.random.default_rng((*draws[0].seed, _MIXED))
    mixed_with = partners([d.sample.dataset for d in draws], recipe.cutmix, rng)
    drawn = [
        _draw(one, recipe, None if index is None else draws[index].sample)
        for one, index in zip(draws, mixed_with, strict=True)
    ]
    grey, allowed, given = zip(*drawn, strict=True)
    told = [one for one in given if one is not None]
    soft_labels = torch.from_numpy(np.stack(told)).permute(0, 3, 1, 2) if len(told) == len(draws) else None
    return Batch(torch.from_numpy(np.stack(grey)[:, None]), torch.from_numpy(np.stack(allowed)), soft_labels)


def _draw(one: Draw, recipe: Recipe, partner: Sample | None) -> Drawn:
    if recipe.augmentation == "quadruple":
        return quadruple(one.sample, one.variant, recipe.preparation, recipe.canvas)
    rng = np.random.default_rng(one.seed)
    return randomise(one.sample, rng, recipe.preparation, recipe.canvas, recipe.plain, partner)
