"""The U-Nets: `classic` as published, and `light`, a small residual one that a CPU runs fast.

Both take grey values 0..255, (N, 1, H, W) float32, and give logits (N, classes, H, W) of the same size.
"""

from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from ctseg.classes import CLASSES


class Standardise(nn.Module):
    """Grey values 0..255 to about -1..1. Part of the network, so that no caller can get it wrong."""

    def forward(self, grey: Tensor) -> Tensor:
        """(N, 1, H, W) to the same shape."""
        return grey * (1 / 127.5) - 1


class ConvNormReLU(nn.Sequential):
    """A convolution without bias, batch normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions with a residual connection (He et al. 2016)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = ConvNormReLU(channels, channels)
        self.second = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        return functional.relu(x + self.second(self.first(x)))


class LightUNet(nn.Module):
    """A U-Net whose every level halves the resolution, the first one included.

    Skips are added, not concatenated; the decoder narrows by a 1 x 1 convolution before it enlarges, and
    the logits are enlarged once, at the end: all three keep the wide tensors small. Sides must be multiples of
    2 ** len(widths).
    """

    def __init__(self, widths: tuple[int, ...], blocks: tuple[int, ...]) -> None:
        super().__init__()
        self.standardise = Standardise()
        inputs = (1, *widths[:-1])
        self.encoder = nn.ModuleList(
            nn.Sequential(ConvNormReLU(i, o, stride=2), *(ResidualBlock(o) for _ in range(count)))
            for i, o, count in zip(inputs, widths, blocks, strict=True)
        )
        self.laterals = nn.ModuleList(nn.Conv2d(deep, shallow, 1) for shallow, deep in pairwise(widths))
        self.decoder = nn.ModuleList(ResidualBlock(width) for width in widths[:-1])
        self.head = nn.Conv2d(widths[0], len(CLASSES), 1)
        initialise(self)

    def forward(self, grey: Tensor) -> Tensor:
        """Grey (N, 1, H, W) to logits (N, classes, H, W)."""
        x = self.standardise(grey)
        skips = []
        for level in self.encoder:
            x = level(x)
            skips.append(x)
        for lateral, decode, skip in zip(
            reversed(self.laterals), reversed(self.decoder), reversed(skips[:-1]), strict=True
        ):
            x = decode(skip + functional.interpolate(lateral(x), scale_factor=2.0, mode="nearest"))
        return functional.interpolate(self.head(x), scale_factor=2.0, mode="bilinear", align_corners=False)


class ClassicUNet(nn.Module):
    """The U-Net of Ronneberger et al. 2015, padded so that sizes keep, with batch normalisation.

    Skips are concatenated, the decoder enlarges by transposed convolutions. Sides must be multiples of
    2 ** (len(widths) - 1).
    """

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.standardise = Standardise()
        inputs = (1, *widths[:-1])
        self.encoder = nn.ModuleList(_double(i, o) for i, o in zip(inputs, widths, strict=True))
        pairs = list(pairwise(widths))
        self.enlarge = nn.ModuleList(nn.ConvTranspose2d(deep, shallow, 2, 2) for shallow, deep in pairs)
        self.decoder = nn.ModuleList(_double(2 * shallow, shallow) for shallow, _ in pairs)
        self.head = nn.Conv2d(widths[0], len(CLASSES), 1)
        initialise(self)

    def forward(self, grey: Tensor) -> Tensor:
        """Grey (N, 1, H, W) to logits (N, classes, H, W)."""
        x = self.standardise(grey)
        skips = []
        for depth, level in enumerate(self.encoder):
            x = level(functional.max_pool2d(x, 2) if depth else x)
            skips.append(x)
        for enlarge, decode, skip in zip(
            reversed(self.enlarge), reversed(self.decoder), reversed(skips[:-1]), strict=True
        ):
            x = decode(torch.cat([skip, enlarge(x)], dim=1))
        return cast(Tensor, self.head(x))


def _double(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(ConvNormReLU(inputs, outputs), ConvNormReLU(outputs, outputs))


def initialise(net: nn.Module) -> None:
    """Initialise as for layers before a ReLU (He et al. 2015)."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
