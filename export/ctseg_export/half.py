"""The graph in half precision, for hardware that is faster with it."""

import numpy as np
import onnx.helper
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

# Resize takes its region and scales in float32, whatever its input.
_ALWAYS_FLOAT32 = {"Resize": (1, 2)}


def in_half(model: ModelProto) -> ModelProto:
    """The graph with float16 weights, activations and logits; its input stays float32. `model` is not changed.

    The normalisation, all that comes before the first convolution, stays float32 too: grey values of 128 and
    more would be rounded to an eighth.
    """
    halved = ModelProto()
    halved.CopyFrom(model)
    graph = halved.graph
    first = next(index for index, node in enumerate(graph.node) if node.op_type == "Conv")
    normalised = graph.node[first].input[0]
    weights = {name for node in graph.node[first:] for name in _halved_inputs(node)}
    for tensor in graph.initializer:
        if tensor.name in weights and tensor.data_type == TensorProto.FLOAT:
            half = numpy_helper.to_array(tensor).astype(np.float16)
            tensor.CopyFrom(numpy_helper.from_array(half, tensor.name))
    narrow = onnx.helper.make_node("Cast", [normalised], [f"{normalised}_half"], to=TensorProto.FLOAT16)
    graph.node[first].input[0] = narrow.output[0]
    graph.node.insert(first, narrow)
    for output in graph.output:
        output.type.tensor_type.elem_type = TensorProto.FLOAT16
    return halved


def _halved_inputs(node: NodeProto) -> list[str]:
    kept = _ALWAYS_FLOAT32.get(node.op_type, ())
    return [name for position, name in enumerate(node.input) if position not in kept]
