"""A trained network as an ONNX graph: grey slices in, class indices out."""

import warnings
from typing import cast

import onnx.checker
import onnx.parser
import torch
from onnx import ModelProto
from torch import nn
from torch.export import Dim
from torch.onnx import ONNXProgram

from ctseg import __version__
from ctseg.model import INPUT, LOGITS
from ctseg_export.quiet_log import quiet_log

OPSET = 18
"""The operator set of torch's exporter; later ones add nothing that the graph needs."""

# A tree of comparisons is vectorised, while ArgMax goes pixel by pixel and counts in 64 bits. A higher class must be
# strictly greater, so ties go to the lower one, as in torch.argmax.
_DECISION = """
decide (float[N, 4, H, W] logits) => (uint8[N, H, W] labels)
<uint8 zero = {0}, uint8 one = {1}, uint8 two = {2}, uint8 three = {3}, int64[1] channel = {1},
 int64[4] one_each = {1, 1, 1, 1}>
{
    background, normal_lung, ground_glass, consolidation = Split <axis = 1> (logits, one_each)
    best_healthy = Max (background, normal_lung)
    best_lesion = Max (ground_glass, consolidation)
    is_lung = Greater (normal_lung, background)
    is_consolidation = Greater (consolidation, ground_glass)
    is_lesion = Greater (best_lesion, best_healthy)
    healthy = Where (is_lung, one, zero)
    lesion = Where (is_consolidation, three, two)
    winner = Where (is_lesion, lesion, healthy)
    labels = Squeeze (winner, channel)
}
"""


def logits_graph(net: nn.Module, multiple: int) -> ModelProto:
    """The network alone: `slice` (N, 1, H, W) float32 to `logits` (N, 4, H, W) float32.

    `net` is in evaluation mode; its batch normalisation is folded into the convolutions. N is free, H and W
    are free multiples of `multiple`.
    """
    rows, columns = (multiple * Dim(name, min=1) for name in ("rows", "columns"))
    # Torch notes its own deprecations, and packages that are not needed here.
    with quiet_log("torch.onnx"), warnings.catch_warnings(action="ignore"):
        program = torch.onnx.export(
            net,
            # All sizes differ and none is 1, which the exporter would take for a constant.
            (torch.zeros(2, 1, 3 * multiple, 4 * multiple),),
            dynamo=True,
            dynamic_shapes=({0: Dim("batch", min=1), 2: rows, 3: columns},),
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=[LOGITS],
            verbose=False,
        )
    return _tidied(cast(ONNXProgram, program).model_proto)


def labels_graph(logits: ModelProto) -> ModelProto:
    """The graph of a model file: `slice` (N, 1, H, W) float32 to `labels` (N, H, W) uint8 and `logits`; checked.

    `logits` gives float32 or float16 logits of the four classes, (N, 4, H, W), and is left as it is. As they are worked
    out anyway, giving them out as well costs a run that asks for labels alone nothing.
    """
    decision = onnx.parser.parse_graph(_DECISION)
    model = ModelProto()
    model.CopyFrom(logits)
    model.graph.node.extend(decision.node)
    model.graph.initializer.extend(decision.initializer)
    model.graph.output.extend(decision.output)
    model.graph.output.reverse()
    onnx.checker.check_model(model, full_check=True)
    return model


def _tidied(model: ModelProto) -> ModelProto:
    """The graph without the exporter's notes: stack traces, source paths, inferred shapes."""
    graph = model.graph
    graph.name = "ctseg"
    model.producer_name, model.producer_version = "ctseg", __version__
    del graph.value_info[:], graph.metadata_props[:], model.metadata_props[:]
    for part in (*graph.node, *graph.initializer, *graph.input, *graph.output):
        del part.metadata_props[:]
        part.doc_string = ""
    for value in (*graph.input, *graph.output):
        dimensions = value.type.tensor_type.shape.dim
        for index, name in ((0, "N"), (2, "H"), (3, "W")):
            dimensions[index].dim_param = name
    return model
