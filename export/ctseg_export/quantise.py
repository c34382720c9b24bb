"""The same graph computed in 8-bit integers, for processors that are faster at them."""

import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import ModelProto
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from ctseg.model import INPUT
from ctseg_export.quiet_log import quiet_log

_OPERATORS = ["Conv", "Add", "Relu", "Resize"]


class _Slices(CalibrationDataReader):  # type: ignore[misc] # onnxruntime has no types
    """Hands batches to the quantiser."""

    def __init__(self, batches: Iterable[npt.NDArray[np.float32]]) -> None:
        self._batches = iter(batches)

    def get_next(self) -> dict[str, npt.NDArray[np.float32]] | None:
        """The next network input, None after the last."""
        batch = next(self._batches, None)
        return None if batch is None else {INPUT: batch}


def in_int8(model: ModelProto, batches: Iterable[npt.NDArray[np.float32]]) -> ModelProto:
    """The graph with int8 weights, scaled per channel, and uint8 activations; `model` is not changed.

    The range of every value is taken from `batches`, network inputs (N, 1, H, W) as they will come. The first and the
    last convolution stay float32, and so do the logits: what is rounded there is lost for good.
    """
    convolutions = [node.name for node in model.graph.node if node.op_type == "Conv"]
    enlarging = [node.name for node in model.graph.node if node.op_type == "Resize"]
    # The quantiser advises to prepare the graph, which is folded and has no shapes to infer.
    with tempfile.TemporaryDirectory() as folder, quiet_log("root"):
        # By files, since the quantiser modifies a graph that it is given.
        whole, out = Path(folder) / "fp32.onnx", Path(folder) / "int8.onnx"
        onnx.save(model, whole)
        quantize_static(
            whole,
            out,
            _Slices(batches),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=_OPERATORS,
            per_channel=True,
            # Seven bits for the weights: without VNNI, AVX2 adds pairs of products in 16 bits, and they overflow.
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=[convolutions[0], convolutions[-1], *enlarging[-1:]],
        )
        quantised = onnx.load(out)
    quantised.producer_name, quantised.producer_version = model.producer_name, model.producer_version
    return quantised
