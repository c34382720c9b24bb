"""The graph in half precision, for hardware that is faster with it."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import onnx.helper
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from ctseg.errors import ModelError
from ctseg.model import INPUT
from ctseg.runtime import session_on_cpu

# Resize takes its region and scales in float32, whatever its input.
_ALWAYS_FLOAT32 = {"Resize": (1, 2)}

_LARGEST = float(np.finfo(np.float16).max)
# Slices that are not compared may have larger values.
_ROOM = 4


def in_half(model: ModelProto) -> ModelProto:
    """The graph with float16 weights, activations and logits; its input stays float32. `model` is not changed.

    The normalisation, all that comes before the first convolutions, stays float32 too: grey values of 128 and
    more would be rounded to an eighth.
    """
    halved = ModelProto()
    halved.CopyFrom(model)
    graph = halved.graph
    single = _before_convolutions(model)
    nodes, narrowed = [], set()
    weights = set()
    for node in graph.node:
        if not single.issuperset(node.output):
            for index, name in enumerate(node.input):
                if name in single:
                    node.input[index] = f"{name}_half"
                    if name not in narrowed:
                        narrowed.add(name)
                        nodes.append(onnx.helper.make_node("Cast", [name], [f"{name}_half"], to=TensorProto.FLOAT16))
            weights.update(_halved_inputs(node))
        nodes.append(node)
    for tensor in graph.initializer:
        if tensor.name in weights and tensor.data_type == TensorProto.FLOAT:
            half = numpy_helper.to_array(tensor).astype(np.float16)
            tensor.CopyFrom(numpy_helper.from_array(half, tensor.name))
    del graph.node[:]
    graph.node.extend(nodes)
    for output in graph.output:
        output.type.tensor_type.elem_type = TensorProto.FLOAT16
    return halved


def _before_convolutions(model: ModelProto) -> set[str]:
    """The input, and all values that are worked out from it before it reaches a convolution; not its size."""
    constants = {tensor.name for tensor in model.graph.initializer}
    single = {INPUT}
    for node in model.graph.node:
        given = [name for name in node.input if name and name not in constants]
        if node.op_type not in ("Conv", "Shape") and given and single.issuperset(given):
            single.update(node.output)
    return single


def check_range(model: ModelProto, batches: Iterable[npt.NDArray[np.float32]]) -> None:
    """Raise ModelError if a value inside the float32 graph comes near the end of float16, where it would be infinite.

    A CPU runs float16 files in float32, so that their comparison with the network does not show it.
    """
    inside = ModelProto()
    inside.CopyFrom(model)
    single = _before_convolutions(model)
    names = [name for node in inside.graph.node for name in node.output if name not in single]
    del inside.graph.output[:]
    inside.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    session = session_on_cpu(inside.SerializeToString())
    for batch in batches:
        given = (values for values in session.run(names, {INPUT: batch}) if values.dtype == np.float32)
        largest = float(np.max([np.abs(values).max(initial=0) for values in given]))  # NaN if any value is
        if not largest <= _LARGEST / _ROOM:
            raise ModelError(
                f"a value inside the network is {largest:.3g}, too close to {_LARGEST:g}, the limit of float16; "
                "nothing was written. Export it in fp32"
            )


def _halved_inputs(node: NodeProto) -> list[str]:
    kept = _ALWAYS_FLOAT32.get(node.op_type, ())
    return [name for position, name in enumerate(node.input) if position not in kept]
