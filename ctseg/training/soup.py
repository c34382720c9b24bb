"""A model soup: one network with the mean of the weights of several."""

from collections.abc import Sequence

import torch
from torch import nn

from ctseg.training.unfold import folded


def mean_of(networks: Sequence[nn.Module]) -> nn.Module:
    """The mean of some networks of one architecture, their batch normalisation folded in; a single one as it is.

    Of networks that were trained from the same one, on the same data with other seeds or recipes, it is about as
    accurate as the best of them or better, at the cost of one (Wortsman et al. 2022, Model soups).
    """
    if len(networks) == 1:
        return networks[0]
    mean = folded(networks[0])
    weights = [folded(net).state_dict() for net in networks]
    with torch.no_grad():
        for name, value in mean.state_dict().items():
            if value.is_floating_point():
                value.copy_(torch.stack([one[name] for one in weights]).mean(dim=0))
    return mean
