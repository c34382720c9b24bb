"""Means of the weights of networks of one architecture."""

from collections.abc import Sequence
from copy import deepcopy

import torch
from torch import nn

from ctseg.training.unfold import folded


def blended(net: nn.Module, start: nn.Module, share: float) -> nn.Module:
    """A copy of a network with such a `share` of the weights of the one that it was trained from.

    It keeps more of what that one could do on slices unlike those of the run (Wortsman et al. 2022, WiSE-FT).
    """
    mixed = deepcopy(net)
    first = start.state_dict()
    with torch.no_grad():
        for name, value in mixed.state_dict().items():
            if value.is_floating_point():
                value.lerp_(first[name], share)
    return mixed


def mean_of(networks: Sequence[nn.Module]) -> nn.Module:
    """The equal mean of some networks, their batch normalisation folded in; a single one as it is.

    Of networks that were trained from the same one, on the same data with other seeds or recipes, it is about as
    accurate as the best of them or better, at the cost of one (Wortsman et al. 2022, Model soups).
    """
    first, *others = networks
    if not others:
        return first
    mean = folded(first)
    for count, net in enumerate(others, start=2):
        mean = blended(mean, folded(net), 1 / count)
    return mean
