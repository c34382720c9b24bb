"""From a checkpoint to a model file: the graph, its proof, its description."""

import copy
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import onnx.helper
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ctseg.errors import CallError
from ctseg.model import WEIGHTS, ModelSpec, Precision, to_metadata
from ctseg.prepare import Preparation
from ctseg.process.replacing import make_room, replace_with
from ctseg.scan import Slice
from ctseg.training.checkpoint import Checkpoint
from ctseg.training.network_file import weights_digest
from ctseg_export.ensemble import open_ensemble
from ctseg_export.graph import OPSET, labels_graph, logits_graph
from ctseg_export.half import check_range, in_half
from ctseg_export.proof import LIMITS, Batch, Difference, Limits, made_up_batches, measure, slice_batches
from ctseg_export.quantise import in_int8

FEWEST_SLICES = 16
"""How many slices of real CT are needed to quantise: half for the ranges, half for the proof."""

NOT_FOR_DIAGNOSIS = "for research, not for diagnosis"


@dataclass(frozen=True, slots=True)
class Exported:
    """A model file that was written, its difference from the network, and the limits of that."""

    file: Path
    spec: ModelSpec
    difference: Difference
    limits: Limits


def export_model(
    checkpoint: Path,
    out: Path,
    *,
    others: Sequence[Path] = (),
    is_mirrored: bool = False,
    precision: Precision = "fp32",
    name: str | None = None,
    version: str = "1",
    licence: str | None = None,
    slices: Sequence[Slice] = (),
) -> Exported:
    """Write the checkpoint's network as a self-describing ONNX file; the same checkpoint gives the same bytes.

    With `others`, checkpoints or model files, the file is the mean of all, and with `is_mirrored` that of what they say
    of a slice and its three mirror images.

    Before it is written the file is proved against the network on a phantom, on noise and on `slices`; int8, which
    knows only the values that slices have, on every second one of the `slices` alone: it takes the range of its values
    from the others. `name` is by default the preset's, `licence` what the training data demand.

    Raises ModelError for a file that is not a checkpoint and for a graph that fails the proof, CallError where `out`
    can't be written, or where there are too few slices for int8, or hardly any lung in those that it is proved on.
    """
    if precision == "int8" and others:
        raise CallError("int8 is for a single network: export the mean of several in fp32 or fp16")
    if precision == "int8" and len(slices) < FEWEST_SLICES:
        raise CallError(
            f"int8 needs at least {FEWEST_SLICES} real slices to take its ranges from: give some with --slices"
        )
    source = open_ensemble([checkpoint, *others], is_mirrored=is_mirrored)
    make_room(out)
    how = source.recipe.preparation
    graph = logits_graph(source.net, how.multiple)
    if precision == "int8":
        graph = in_int8(graph, slice_batches(how, slices[::2]))
        proof: Iterable[Batch] = slice_batches(how, slices[1::2])
    else:
        proof = [*made_up_batches(how), *slice_batches(how, slices)]
    if precision == "fp16":
        check_range(graph, proof)
        graph = in_half(graph)
    model = labels_graph(graph)
    difference = measure(model, source.net, proof)
    limits = LIMITS[precision].at(difference.largest)
    difference.check(limits)
    if precision == "int8" and difference.lung_share <= limits.label_share:
        # A file that finds no lung at all would pass.
        raise CallError(
            f"only {difference.lung_share:.2%} of the slices that int8 is compared on is lung, according to the "
            "network: give slices of the chest with --slices"
        )
    spec = ModelSpec(
        name=name or ("ensemble" if "members" in source.training else source.recipe.preset),
        version=version,
        licence=licence or _licence(source.training),
        precision=precision,
        preparation=how,
        cleanup=source.recipe.cleanup,
        training=_training(source),
        scores={name: _counted(told) for name, told in source.scores.items()},
        export={**_cost(source.net, how), **_bounds(difference)},
        # int8 rounds the logits, so the network's temperature may not calibrate them.
        temperature=None if precision == "int8" else source.temperature,
    )
    if spec.temperature is None:
        del model.graph.output[1:]  # logits without calibrated probabilities are of no use
    onnx.helper.set_model_props(model, to_metadata(spec))
    replace_with(out, model.SerializeToString(deterministic=True))
    return Exported(out, spec, difference, limits)


def _licence(training: Mapping[str, Any]) -> str:
    """The licence of the weights: those of the data sets, and what the weights are not for."""
    terms = [f"{d['name']}: {d['licence']}" for d in training.get("datasets", ()) if d.get("licence")]
    return "; ".join(dict.fromkeys([*terms, NOT_FOR_DIAGNOSIS]))


def _training(source: Checkpoint) -> dict[str, Any]:
    """The data sets, the recipe without preparation and clean-up, which have fields of their own, and the weights."""
    datasets = [{**one, "groups": _counted(one["groups"])} for one in source.training.get("datasets", ())]
    told = {**source.training, "datasets": datasets, WEIGHTS: weights_digest(source)}
    if "members" in source.training:
        return told
    recipe = {k: v for k, v in asdict(source.recipe).items() if k not in ("preparation", "cleanup")}
    return {**told, "recipe": recipe}


def _counted(told: Mapping[str, Any]) -> dict[str, Any]:
    """Groups counted, not named, since a name may be a patient's; from a model file they are counts already."""
    return {key: len(value) if isinstance(value, list) else value for key, value in told.items()}


def _cost(net: nn.Module, how: Preparation) -> dict[str, Any]:
    """The number of weights, and GMAC for a square slice at the working size."""
    side = math.ceil(how.long_side / how.multiple) * how.multiple
    with FlopCounterMode(display=False) as counter:
        copy.deepcopy(net).to("meta")(torch.empty(1, 1, side, side, device="meta"))
    return {
        "opset": OPSET,
        "parameters": sum(p.numel() for p in net.parameters()),
        "gmac": round(counter.get_total_flops() / 2e9, 3),
    }


def _bounds(difference: Difference) -> dict[str, Any]:
    """The differences, rounded up to a power of ten, since more digits would depend on the machine."""

    def bound(value: float) -> float:
        return float(f"1e{math.ceil(math.log10(max(value, 1e-6)))}")

    return {
        "slices_compared": difference.slices,
        "logit_difference_at_most": bound(difference.logit),
        "label_difference_at_most": bound(difference.label_share),
    }
