from copy import deepcopy

import pytest
import torch
from torch import nn

from ctseg.training.networks import build
from ctseg.training.recipe import Architecture
from ctseg.training.soup import mean_of
from ctseg.training.unfold import folded, is_folded

KINDS = Architecture("light", (8, 8), (0, 1)), Architecture("classic", (4, 8))


@pytest.fixture(params=KINDS, ids=lambda one: one.kind)
def trained(request):
    """A network whose batch normalisations have seen something."""
    torch.manual_seed(0)
    net = build(request.param)
    for norm in (one for one in net.modules() if isinstance(one, nn.BatchNorm2d)):
        for part, low, high in ((norm.weight, 0.5, 2), (norm.bias, -1, 1), (norm.running_var, 0.2, 3)):
            nn.init.uniform_(part, low, high)
        nn.init.uniform_(norm.running_mean, -1, 1)
    return net.eval()


@pytest.fixture
def grey():
    return 255 * torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(1))


def test_a_folded_network_computes_the_same(trained, grey):
    assert not is_folded(trained)
    assert is_folded(folded(trained))
    with torch.no_grad():
        torch.testing.assert_close(folded(trained)(grey), trained(grey), rtol=1e-4, atol=1e-4)


def test_the_mean_of_networks_is_that_of_their_weights_wherever_normalisation_has_put_them(trained, grey):
    # A last layer that is three times as large gives logits that are.
    other = deepcopy(trained)
    *_, last = (one for one in other.modules() if isinstance(one, nn.Conv2d))
    with torch.no_grad():
        last.weight.mul_(3)
        last.bias.mul_(3)
        torch.testing.assert_close(mean_of([trained, other])(grey), 2 * trained(grey), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(mean_of([trained, folded(trained)])(grey), trained(grey), rtol=1e-4, atol=1e-4)


def test_the_mean_leaves_the_networks_as_they_are(trained):
    before = deepcopy(trained.state_dict())
    mean_of([trained, trained])
    assert all(torch.equal(value, before[name]) for name, value in trained.state_dict().items())
    assert mean_of([trained]) is trained
