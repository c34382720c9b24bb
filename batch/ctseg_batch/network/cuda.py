"""Find out whether CUDA works, without the runtime's own error messages on the terminal."""

import contextlib
import ctypes
import io
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import numpy as np

from ctseg.errors import DeviceError, first_line
from ctseg.model import INPUT, OUTPUT, ModelSpec
from ctseg.runtime import REPAIR, load_onnxruntime, open_session
from ctseg_batch.network.quiet import silenced

_PROVIDER = "CUDAExecutionProvider"
# Labels must be reproducible: a search for the fastest convolution may end differently each time, and tf32 is not fp32.
_OPTIONS = {"cudnn_conv_algo_search": "HEURISTIC", "use_tf32": "0"}
_NOT_BUILT_IN = "this onnxruntime is built without it"
_DRIVER = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"


def load_quietly() -> Any:
    """Load onnxruntime without its messages about missing GPUs."""
    with silenced():
        onnxruntime = load_onnxruntime()
        onnxruntime.set_default_logger_severity(4)
    return onnxruntime


def find_trouble() -> str | None:
    """Why CUDA can't work here, as far as that can be told without a trial run; None if it may work."""
    onnxruntime = load_quietly()
    if _PROVIDER not in onnxruntime.get_available_providers():
        is_replaced = all(map(_is_installed, ("onnxruntime", "onnxruntime-gpu")))
        return f"onnxruntime has replaced files of onnxruntime-gpu: {REPAIR}" if is_replaced else _NOT_BUILT_IN
    try:
        driver = ctypes.CDLL(_DRIVER)
    except OSError:
        return f"no NVIDIA driver here ({_DRIVER})"
    count = ctypes.c_int(0)
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)) or not count.value:
        return "the NVIDIA driver finds no GPU"
    said = io.StringIO()
    with silenced(), contextlib.redirect_stdout(said):
        onnxruntime.preload_dlls()
    missing = [
        line.split()[3].rstrip(":") for line in said.getvalue().splitlines() if line.startswith("Failed to load")
    ]
    return f"{', '.join(missing)} missing: ctseg's extra cuda provides them" if missing else None


def _is_installed(package: str) -> bool:
    try:
        distribution(package)
    except PackageNotFoundError:
        return False
    return True


def open_on_cuda(file: Path) -> tuple[Any, ModelSpec]:
    """A session on the first GPU, after a trial run; raises DeviceError if CUDA does not work."""
    with silenced(), contextlib.redirect_stdout(io.StringIO()):
        session, spec = open_session(file, [(_PROVIDER, _OPTIONS)])
        if session.get_providers()[0] != _PROVIDER:
            raise DeviceError("its provider does not start; is cuDNN installed? ctseg's extra cuda provides it")
        session.disable_fallback()
        side = -(-spec.preparation.long_side // spec.preparation.multiple) * spec.preparation.multiple
        try:
            session.run([OUTPUT], {INPUT: np.zeros((1, 1, side, side), np.float32)})
        except Exception as error:  # onnxruntime raises classes of its own without a common root
            raise DeviceError(f"a trial run failed: {first_line(error)}") from error
    return session, spec
