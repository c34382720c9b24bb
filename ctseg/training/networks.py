"""Build the network of an architecture, and its first weights."""

from collections.abc import Mapping
from copy import deepcopy

import torch
from torch import nn

from ctseg.classes import class_named
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


def check_parts(architecture: Architecture, tensors: int) -> None:
    """Raise ValueError if a network has more levels and blocks than a file has tensors, before it is built at all."""
    if len(architecture.widths) + sum(max(0, count) for count in architecture.blocks) > tensors:
        raise ValueError("its recipe describes a larger network")


def untrained(architecture: Architecture) -> nn.Module:
    """The network with its first weights for training; raises MissingExtraError if these are not installed."""
    net = build(architecture)
    if isinstance(net, EfficientUNet):
        net.load_imagenet_weights()
    return net


def with_logit_offset(net: nn.Module, offsets: Mapping[str, float]) -> nn.Module:
    """A copy of a network with offsets added to the logits of classes, by name, for more or less of these.

    At no cost, since its last convolution has a bias. Menon et al. 2021, "Long-tail learning via logit adjustment".
    """
    shifted = deepcopy(net)
    bias = shifted.get_parameter("head.bias")
    with torch.no_grad():
        for name, offset in offsets.items():
            bias[class_named(name).index] += offset
    return shifted
