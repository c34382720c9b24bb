"""Open a model file with onnxruntime, and check what it says and gives."""

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ctseg.classes import CLASSES, Labels
from ctseg.errors import DeviceError, ModelError, first_line
from ctseg.model import INPUT, LOGITS, OUTPUT, ModelSpec, from_metadata
from ctseg.process.signals import uninterrupted

REPAIR = "pip uninstall onnxruntime, then pip install --force-reinstall --no-deps onnxruntime-gpu"
"""What to do where both editions were installed, of which the later one replaces files of the earlier one."""

_CPU = ["CPUExecutionProvider"]
# The limit of protobuf, and so of ONNX.
_LARGEST = 2**31
_NOT_OURS = "it was not made by `ctseg export`; use a model that was"
_PREFIX = re.compile(r"\[ONNXRuntimeError\] : \d+ : \w+ : ")


def load_onnxruntime() -> Any:
    """The package onnxruntime. Its loading can't be interrupted: it would take a signal for a failure of its own.

    Raises DeviceError for what is left of it once onnxruntime, installed over onnxruntime-gpu, is uninstalled.
    """
    with uninterrupted():
        import onnxruntime
    if not hasattr(onnxruntime, "InferenceSession"):
        raise DeviceError(f"onnxruntime is damaged, as by uninstalling another edition of it: {REPAIR}")
    return onnxruntime


def session_options() -> Any:
    """onnxruntime's options: all graph optimisations, one thread a call, and its own log silenced.

    ORT_ENABLE_ALL brings the channel-blocked convolutions, 1.3 to 2.6 times faster than the level below.
    """
    onnxruntime = load_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    # A model must be a single file: weights that it keeps elsewhere are looked for in a folder that does not exist.
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", os.devnull)
    return options


def session_on_cpu(content: bytes) -> Any:
    """An onnxruntime session on the CPU for the bytes of a model that was just made."""
    return load_onnxruntime().InferenceSession(content, session_options(), providers=_CPU)


def open_on_cpu(file: Path) -> tuple[Any, ModelSpec]:
    """An onnxruntime session on the CPU, and the model's spec; raises ModelError for a file that is not a model."""
    return open_session(file, _CPU)


def open_session(file: Path, providers: list[Any]) -> tuple[Any, ModelSpec]:
    """A session on the given execution providers, and the spec; raises ModelError."""
    onnxruntime, content = load_onnxruntime(), _content(file)
    try:
        # The CPU has nothing to fall back to, and onnxruntime would say so on standard output.
        session = onnxruntime.InferenceSession(
            content, session_options(), providers=providers, enable_fallback=int(providers != _CPU)
        )
        metadata = session.get_modelmeta().custom_metadata_map
        takes, gives = _described(session.get_inputs()), _described(session.get_outputs())
    except Exception as error:  # onnxruntime raises classes of its own without a common root
        raise ModelError(f"{file} {_refusal(file, error)}") from error
    spec = from_metadata(metadata, file)
    wanted = [f"{INPUT}: tensor(float) * x 1 x * x *"]
    given = [f"{OUTPUT}: tensor(uint8) * x * x *"]
    if spec.temperature is not None:
        given.append(f"{LOGITS}: tensor({'float16' if spec.precision == 'fp16' else 'float'}) * x 4 x * x *")
    if (takes, gives) != (wanted, given):
        raise ModelError(f"{file} takes {takes} and gives {gives}, not {wanted} and {given}")
    return session, spec


def check_labels(labels: Labels, batch: npt.NDArray[np.float32], name: str) -> None:
    """Raise ModelError unless a model's output for a batch (N, 1, H, W) is a class for each pixel, (N, H, W)."""
    count, _, *size = batch.shape
    if labels.shape != (count, *size):
        given, wanted = (" x ".join(map(str, shape)) for shape in (labels.shape, (count, *size)))
        raise ModelError(f"the model {name} gives labels of {given} for slices of {wanted}: {_NOT_OURS}")
    for extreme in (labels.max(), labels.min()):
        if not 0 <= extreme < len(CLASSES):
            raise ModelError(f"the model {name} gives the label {extreme}, which is not a class: {_NOT_OURS}")


def _content(file: Path) -> bytes:
    try:
        if file.stat().st_size > _LARGEST:
            raise ModelError(f"{file} is not a model: it is larger than any ({file.stat().st_size / 2**30:.1f} GiB)")
        return file.read_bytes()
    except OSError as error:
        raise ModelError(f"{file} can't be read: {error.strerror}") from error


def _described(nodes: list[Any]) -> list[str]:
    """Inputs or outputs with their types and sizes, `*` for a free one: `labels: tensor(uint8) * x * x *`."""
    return [
        f"{node.name}: {node.type} " + " x ".join(str(n) if isinstance(n, int) else "*" for n in node.shape)
        for node in nodes
    ]


def _refusal(file: Path, error: Exception) -> str:
    if file.suffix == ".pt":
        return f"is a checkpoint: `ctseg export {file} --out {file.with_suffix('.onnx')}` makes a model of it"
    reason = _PREFIX.sub("", first_line(error))
    if "xternal data" in reason:
        return "keeps weights in another file: a model must be one file; export it again"
    if "rotobuf parsing failed" in reason:
        return "is not an ONNX file, or is damaged"
    return f"is not a model that onnxruntime can run: {reason}"
