"""A loss for labels that may leave open which of several classes a pixel is."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from ctseg.classes import CLASSES, LESION

_SMOOTH = 64.0
"""Pixels added to both sides of Dice, so that a class with hardly a pixel in the batch does not rule the loss."""

_LEAST = 1e-30
"""The least probability that a logarithm is taken of; what is below is worked out from the logits."""


def partial_label_loss(
    logits: Tensor, allowed: Tensor, dice_weight: float, soft_labels: Tensor | None = None
) -> Tensor:
    """Marginal cross-entropy, plus `dice_weight` times a Dice loss where the label tells a class apart.

    `logits` (N, C, H, W); `allowed` (N, H, W) uint8, bit i set where the pixel may be class i. Where just one
    class is allowed everywhere, the first part is the common cross-entropy. `soft_labels`: a teacher's probabilities in
    1/255, (N, C, H, W) uint8; the cross-entropy with them is added (Hinton et al. 2015).
    """
    logits = logits.float()
    probabilities = functional.softmax(logits, dim=1)
    possible = allowed_planes(allowed)
    loss = marginal_cross_entropy(logits, probabilities, possible)
    if dice_weight:
        loss = loss + dice_weight * partial_dice(probabilities, possible)
    if soft_labels is not None:
        loss = loss - (functional.log_softmax(logits, dim=1) * (soft_labels / 255)).sum(dim=1).mean()
    return loss


def allowed_planes(allowed: Tensor) -> Tensor:
    """Bit fields (N, H, W) to a plane for each class, (N, C, H, W) float32: 1 where the pixel may be it, else 0."""
    return torch.stack([(allowed >> c.index) & 1 for c in CLASSES], dim=1).float()


def marginal_cross_entropy(logits: Tensor, probabilities: Tensor, possible: Tensor) -> Tensor:
    """Mean of -log(sum of the probabilities of the allowed classes), all (N, C, H, W) float32; a scalar.

    Shi et al. 2021, "Marginal loss and exclusion loss for partially supervised multi-organ segmentation".
    """
    share = (probabilities * possible).sum(dim=1)
    loss = -share.clamp_min(_LEAST).log()
    if (lost := share < _LEAST).any():
        # From the logits, or the worst pixels would have no slope; for all, that would take several times as long.
        here = logits.movedim(1, -1)[lost]
        allowed = here.masked_fill(possible.movedim(1, -1)[lost] == 0, -math.inf)
        loss = loss.masked_scatter(lost, here.logsumexp(dim=-1) - allowed.logsumexp(dim=-1))
    return loss.mean()


def partial_dice(probabilities: Tensor, possible: Tensor) -> Tensor:
    """Mean soft Dice loss over the classes and over lesion as a whole, pooled over the batch; a scalar.

    A class takes part where the label says that a pixel is it or is not it; pixels that leave it open are left
    out of its term. Lesion is a term of its own because some masks tell it apart and its two classes not.
    """
    lesion = [c.index for c in LESION]
    ways = possible.sum(dim=1, keepdim=True)
    together, lesion_ways = (planes[:, lesion].sum(dim=1, keepdim=True) for planes in (probabilities, possible))
    terms = _dice_terms(probabilities, possible, ways), _dice_terms(together, lesion_ways, ways)
    return torch.cat(terms).mean()


def _dice_terms(probability: Tensor, inside: Tensor, ways: Tensor) -> Tensor:
    """A term for each of K groups of classes, (K,); `inside` (N, K, H, W): how many of the `ways` are of the group."""
    left_open = ((inside > 0) & (inside < ways)).float()
    truth = inside.clamp_max(1) - left_open
    overlap, predicted = ((probability * weight).sum(dim=(0, 2, 3)) for weight in (truth, 1 - left_open))
    return 1 - (2 * overlap + _SMOOTH) / (truth.sum(dim=(0, 2, 3)) + predicted + _SMOOTH)
