"""Build the network of an architecture, and its first weights."""

from torch import nn

from ctseg.training.pretrained import EfficientUNet
from ctseg.training.recipe import Architecture
from ctseg.training.unet import ClassicUNet, LightUNet


def build(architecture: Architecture) -> nn.Module:
    """The network of an architecture with random weights, to be replaced by those of a checkpoint."""
    if architecture.kind == "classic":
        return ClassicUNet(architecture.widths)
    if architecture.kind == "efficient":
        return EfficientUNet(architecture.widths)
    return LightUNet(architecture.widths, architecture.blocks)


def untrained(architecture: Architecture) -> nn.Module:
    """The network with its first weights for training; raises MissingExtraError if these are not installed."""
    net = build(architecture)
    if isinstance(net, EfficientUNet):
        net.load_imagenet_weights()
    return net
