"""Calibrate the probabilities of a network by a temperature, and measure how well they are calibrated.

Guo et al. 2017, "On calibration of modern neural networks": one number divides all logits. It changes no label.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor, nn

from ctseg.classes import BACKGROUND, CLASSES, bits
from ctseg.confidence import TEMPERATURES
from ctseg.prepare import Preparation
from ctseg.training.loss import allowed_planes, marginal_cross_entropy
from ctseg.training.predictor import logits_of
from ctseg.training.samples import Sample, Samples
from ctseg.training.score import at_working_size

_BINS = 15
_PIXELS_A_SLICE = 4096


@dataclass(frozen=True, slots=True)
class ValidationPixels:
    """Pixels of one data set: `logits` (P, classes), `allowed` (P,) bit fields, `groups` distinguished by its truth."""

    name: str
    logits: Tensor
    allowed: npt.NDArray[np.uint8]
    groups: tuple[tuple[int, ...], ...]


def collect_logits(
    net: nn.Module, how: Preparation, loaded: Sequence[Samples], device: torch.device
) -> list[ValidationPixels]:
    """The validation slices of each data set as the network sees them, a few thousand pixels of each.

    Pixels that are background by truth and by network are left out: there are many, they are easy, and nobody asks. So
    are those that may be any class, and data sets that have no others.
    """
    found = []
    for data in (data for data in loaded if data.splits["val"]):
        logits, allowed = zip(*_pixels(net, how, data.splits["val"], device), strict=True)
        pixels = ValidationPixels(data.dataset.name, torch.cat(logits), np.concatenate(allowed), data.meaning.groups)
        found += [pixels] if len(pixels.allowed) else []
    return found


def fit_temperature(pixels: Sequence[ValidationPixels]) -> float | None:
    """The temperature in its range with the highest likelihood, data sets weighted equally; None without pixels."""
    if not pixels:
        return None

    def negative_log_likelihood(logarithm: float) -> float:
        return float(np.mean([_negative_log_likelihood(one, float(np.exp(logarithm))) for one in pixels]))

    bounds = (math.log(TEMPERATURES[0]), math.log(TEMPERATURES[1]))
    return round(float(np.exp(minimize_scalar(negative_log_likelihood, bounds=bounds, method="bounded").x)), 3)


def calibration_error(pixels: ValidationPixels, temperature: float) -> float:
    """The expected calibration error: the difference of confidence and accuracy, over 15 bins of confidence.

    Classes that the truth does not distinguish count as one class.
    """
    probability = (pixels.logits / temperature).softmax(dim=1)
    grouped = torch.stack([probability[:, list(group)].sum(dim=1) for group in pixels.groups], dim=1)
    sure, winner = (values.numpy() for values in grouped.max(dim=1))
    fields = np.array([bits([CLASSES[index] for index in group]) for group in pixels.groups], np.uint8)
    right = (pixels.allowed & ~fields[winner] & 0xFF) == 0
    bins = np.minimum((sure * _BINS).astype(int), _BINS - 1)
    gaps = np.bincount(bins, weights=sure - right, minlength=_BINS)
    return float(np.abs(gaps).sum() / len(sure))


def _negative_log_likelihood(pixels: ValidationPixels, temperature: float) -> float:
    logits = (pixels.logits / temperature)[:, :, None, None]
    possible = allowed_planes(torch.from_numpy(pixels.allowed)[:, None, None])
    return float(marginal_cross_entropy(logits, logits.softmax(dim=1), possible))


def _pixels(
    net: nn.Module, how: Preparation, samples: Sequence[Sample], device: torch.device
) -> Iterator[tuple[Tensor, npt.NDArray[np.uint8]]]:
    rng = np.random.default_rng(0)
    for sample in samples:
        grey, allowed, _ = at_working_size(sample, how)
        logits = logits_of(net, device, grey).float()[0].flatten(1).T.cpu()
        asked = (allowed.ravel() != bits([BACKGROUND])) | (logits.argmax(dim=1).numpy() != BACKGROUND.index)
        candidates = np.flatnonzero(asked & (allowed.ravel() != bits(CLASSES)))
        chosen = rng.permutation(candidates)[:_PIXELS_A_SLICE]
        yield logits[torch.from_numpy(chosen)], allowed.ravel()[chosen]
