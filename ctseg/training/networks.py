"""Which network an architecture names, and what it starts from."""

from torch import nn

from ctseg.training.pretrained import EfficientUNet
from ctseg.training.recipe import Architecture
from ctseg.training.unet import ClassicUNet, LightUNet


def build(architecture: Architecture) -> nn.Module:
    """The network of an architecture, with random weights: those of a checkpoint go into it."""
    if architecture.kind == "classic":
        return ClassicUNet(architecture.widths)
    if architecture.kind == "efficient":
        return EfficientUNet(architecture.widths)
    return LightUNet(architecture.widths, architecture.blocks)


def untrained(architecture: Architecture) -> nn.Module:
    """The network as training begins with it; raises MissingExtraError where its first weights are not installed."""
    net = build(architecture)
    if isinstance(net, EfficientUNet):
        net.load_photographs()
    return net
