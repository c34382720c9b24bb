"""Rebuild the network of a model file for training: unfold the batch normalisation that export folded in."""

import math
from collections.abc import Iterable, Iterator
from copy import deepcopy
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from ctseg.errors import ModelError, first_line, require
from ctseg.model import INPUT, OUTPUT, ModelSpec
from ctseg.phantom import Phantom
from ctseg.prepare import prepare
from ctseg.runtime import open_on_cpu
from ctseg.scan import Slice
from ctseg.training.checkpoint import Checkpoint
from ctseg.training.networks import build, check_parts
from ctseg.training.recipe import Recipe, recipe_from

if TYPE_CHECKING:
    from onnx import GraphProto

_DIFFERENT_AT_MOST = 1e-3
"""The share of a phantom slice's pixels whose label may differ: the order of sums differs, nothing else."""
_FLOAT32_BYTES = 4


def open_model(file: Path) -> Checkpoint:
    """The network of a model file in fp32, and the file's description of its training.

    Its batch normalisations only add the folded bias; before it is trained, they must be `recalibrated`. Raises
    ModelError for a file in another precision, or not by `ctseg export`.
    """
    onnx = require("onnx", "export")
    session, spec = open_on_cpu(file)
    if spec.precision != "fp32":
        raise ModelError(f"{file} is in {spec.precision}, made only to be run: take the same model in fp32")
    if "members" in spec.training:
        raise ModelError(
            f"{file} is the mean over several networks or mirror images, made only to be run: name a single network"
        )
    try:
        recipe, graph = _recipe(spec), onnx.load(file, load_external_data=False).graph
        check_parts(recipe.architecture, len(graph.initializer))
        _check_size(recipe, file)
        net = build(recipe.architecture).eval()
        _fill(net, graph)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError) as error:
        raise ModelError(
            f"{file} holds no network that this ctseg can build ({first_line(error)}): "
            "name a checkpoint of `ctseg train`"
        ) from error
    _prove(net, session, spec, file)
    return Checkpoint(net, recipe, spec.training, spec.scores, {}, spec.temperature)


def recalibrated(net: nn.Module, batches: Iterable[Tensor]) -> nn.Module:
    """A copy whose batch normalisations have the mean and the variance of their inputs on `batches`, (N, 1, H, W).

    It computes the same as `net`, and nearly so in training mode, with statistics of single batches. The weights of
    each convolution are scaled to the size of first weights (He et al. 2015), for which learning rates are chosen.
    """
    net = deepcopy(net).eval()
    sums = {norm: _Moments() for _, norm in _pairs(net)}
    hooks = [norm.register_forward_pre_hook(moments.take) for norm, moments in sums.items()]
    with torch.no_grad():
        for batch in batches:
            net(batch)
    for hook in hooks:
        hook.remove()
    with torch.no_grad():
        for conv, norm in _pairs(net):
            mean, variance = sums[norm].both()
            size = math.sqrt(2) / conv.weight.flatten(1).norm(dim=1).clamp_min(1e-6)
            conv.weight.mul_(size[:, None, None, None])
            norm.running_mean, norm.running_var = size * mean, size**2 * variance
            norm.weight.mul_((norm.running_var + norm.eps).sqrt() / size)
            norm.bias.add_(mean)
    return net


def folded(net: nn.Module) -> nn.Module:
    """A copy whose batch normalisations only add a bias, as in the network of a model file: it computes the same."""
    net = deepcopy(net).eval()
    with torch.no_grad():
        for conv, norm in _pairs(net):
            mean, variance = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
            scale = norm.weight / (variance + norm.eps).sqrt()
            conv.weight.mul_(scale[:, None, None, None])
            norm.bias.sub_(scale * mean)
            _hand_on(norm)
    return net


def is_folded(net: nn.Module) -> bool:
    """Whether batch normalisations only hand on what they get, as in the network of a model file."""
    norms = [norm for _, norm in _pairs(net)]
    return bool(norms) and all(
        torch.allclose(part, torch.full_like(part, value))
        for norm in norms
        for part, value in ((norm.running_mean, 0.0), (norm.running_var, 1 - norm.eps))
        if part is not None
    )


class _Moments:
    """Collects the mean and the variance of each channel."""

    def __init__(self) -> None:
        self._count, self._sum, self._squares = 0, torch.zeros(()), torch.zeros(())

    def take(self, _norm: nn.Module, arguments: tuple[Tensor]) -> None:
        seen = arguments[0].double()
        self._count += seen[:, 0].numel()
        self._sum = self._sum + seen.sum(dim=(0, 2, 3))
        self._squares = self._squares + seen.square().sum(dim=(0, 2, 3))

    def both(self) -> tuple[Tensor, Tensor]:
        mean = self._sum / self._count
        return mean.float(), (self._squares / self._count - mean.square()).clamp_min(0).float()


def _recipe(spec: ModelSpec) -> Recipe:
    """The recipe of a model file, which keeps preparation and clean-up in fields of their own."""
    return recipe_from(
        {**spec.training["recipe"], "preparation": asdict(spec.preparation), "cleanup": asdict(spec.cleanup)}
    )


def _check_size(recipe: Recipe, file: Path) -> None:
    """Raise ValueError if a file is too small to hold a recipe's network, before that takes any memory."""
    with torch.device("meta"):
        weights = [weight.numel() for weight in build(recipe.architecture).parameters() if weight.ndim > 1]
    if _FLOAT32_BYTES * sum(weights) > file.stat().st_size:
        raise ValueError("its recipe describes a larger network")


def _fill(net: nn.Module, graph: "GraphProto") -> None:
    """Load the weights of each convolution; a bias goes to the normalisation that follows, if there is one."""
    from onnx import numpy_helper

    stored = {tensor.name: tensor for tensor in graph.initializer}
    inputs = {node.input[1]: list(node.input) for node in graph.node if node.op_type.startswith("Conv")}
    following = {id(conv): norm for conv, norm in _pairs(net)}
    convolutions = {
        f"{name}.weight": module
        for name, module in net.named_modules()
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d))
    }
    if convolutions.keys() != inputs.keys():
        raise ValueError("its convolutions differ from its recipe")

    def of(name: str, like: Tensor) -> Tensor:
        values = torch.from_numpy(np.array(numpy_helper.to_array(stored[name]), np.float32))
        if values.shape != like.shape:
            raise ValueError(f"{name} has another shape than its recipe says")
        return values

    with torch.no_grad():
        for name, conv in convolutions.items():
            _, weight, *bias = inputs[name]
            conv.weight.copy_(of(weight, conv.weight))
            norm = following.get(id(conv))
            if norm is not None:
                _hand_on(norm)
            biased: Any = conv if norm is None else norm
            if biased.bias is not None:  # export omits a bias of zeros
                biased.bias.copy_(of(bias[0], biased.bias) if bias else torch.zeros(()))


def _hand_on(norm: nn.BatchNorm2d) -> None:
    nn.init.zeros_(norm.running_mean)  # type: ignore[arg-type]
    nn.init.constant_(norm.running_var, 1 - norm.eps)  # type: ignore[arg-type]
    nn.init.ones_(norm.weight)


def _pairs(net: nn.Module) -> Iterator[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """The convolutions that a batch normalisation follows directly, with it."""
    for module in net.modules():
        if isinstance(module, nn.Sequential):
            for one, other in pairwise(module):
                if isinstance(one, nn.Conv2d) and isinstance(other, nn.BatchNorm2d):
                    yield one, other


def _prove(net: nn.Module, session: Any, spec: ModelSpec, file: Path) -> None:
    """Raise ModelError if the network labels a phantom differently from the file."""
    hu, _ = Phantom(seed=0, slices=3).slice(1)
    grey, _ = prepare(Slice(hu, "hu"), spec.preparation)
    with torch.inference_mode():
        ours = net(torch.from_numpy(grey))[0].argmax(dim=0).numpy()
    differing = float(np.mean(session.run([OUTPUT], {INPUT: grey})[0][0] != ours))
    if differing > _DIFFERENT_AT_MOST:
        raise ModelError(f"{file} is not what its recipe makes: {100 * differing:.1f} % of a phantom's labels differ")
