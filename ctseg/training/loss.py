"""A loss for labels that may leave open which of several classes a pixel is."""

import torch
from torch import Tensor
from torch.nn import functional

from ctseg.classes import CLASSES, LESION, bits

_SMOOTH = 64.0
"""Pixels added to both sides of Dice, so that a class with hardly a pixel in the batch does not rule the loss."""


def partial_label_loss(
    logits: Tensor, allowed: Tensor, dice_weight: float, soft_labels: Tensor | None = None
) -> Tensor:
    """Marginal cross-entropy, plus `dice_weight` times a Dice loss where the label tells a class apart.

    `logits` (N, C, H, W); `allowed` (N, H, W) uint8, bit i set where the pixel may be class i. Where just one
    class is allowed everywhere, the first part is the common cross-entropy. `soft_labels`: a teacher's probabilities in
    1/255, (N, C, H, W) uint8; the cross-entropy with them is added (Hinton et al. 2015).
    """
    log_probabilities = functional.log_softmax(logits.float(), dim=1)
    loss = marginal_cross_entropy(log_probabilities, allowed)
    if dice_weight:
        loss = loss + dice_weight * partial_dice(log_probabilities.exp(), allowed)
    if soft_labels is not None:
        loss = loss - (log_probabilities * (soft_labels / 255)).sum(dim=1).mean()
    return loss


def marginal_cross_entropy(log_probabilities: Tensor, allowed: Tensor) -> Tensor:
    """Mean of -log(sum of the probabilities of the allowed classes), from (N, C, H, W); a scalar.

    Shi et al. 2021, "Marginal loss and exclusion loss for partially supervised multi-organ segmentation".
    """
    ruled_out = torch.stack([(allowed & (1 << c.index)) == 0 for c in CLASSES], dim=1)
    return -torch.logsumexp(log_probabilities.masked_fill(ruled_out, -torch.inf), dim=1).mean()


def partial_dice(probabilities: Tensor, allowed: Tensor) -> Tensor:
    """Mean soft Dice loss over the classes and over lesion as a whole, pooled over the batch; a scalar.

    A class takes part where the label says that a pixel is it or is not it; pixels that leave it open are left
    out of its term. Lesion is a term of its own because some masks tell it apart and its two classes not.
    """
    terms = [_dice_term(probabilities[:, c.index], allowed, bits([c])) for c in CLASSES]
    lesion = probabilities[:, [c.index for c in LESION]].sum(dim=1)
    terms.append(_dice_term(lesion, allowed, bits(LESION)))
    return torch.stack(terms).mean()


def _dice_term(probability: Tensor, allowed: Tensor, group: int) -> Tensor:
    inside = (allowed & ~group & 0xFF) == 0
    told = inside | ((allowed & group) == 0)
    truth, predicted = inside.float(), probability * told
    overlap = (truth * predicted).sum()
    return 1 - (2 * overlap + _SMOOTH) / (truth.sum() + predicted.sum() + _SMOOTH)
