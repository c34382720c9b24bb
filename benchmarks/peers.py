"""Other ways to do the job: the program that the project began with, and OpenVINO."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from ctseg.model import INPUT, OUTPUT
from ctseg.training import checkpoint
from ctseg.training.checkpoint import Checkpoint
from ctseg.training.networks import build
from ctseg.training.recipe import SEED


def save_classic(file: Path) -> None:
    """A checkpoint of the classic U-Net with fresh weights: what it computes does not change how fast."""
    torch.manual_seed(0)
    checkpoint.save(Checkpoint(build(SEED.architecture), SEED, {"datasets": [], "seed": 0}, {}, {}), file)


class Eager:
    """The classic U-Net in eager PyTorch, slice by slice, with OpenCV around it."""

    def __init__(self, file: Path) -> None:
        self._net = checkpoint.load(file).net

    def rate(self, files: Sequence[Path], out: Path) -> float:
        """Slices/s over some PNGs, from file to mask."""
        out.mkdir(parents=True, exist_ok=True)
        began = time.perf_counter()
        for file in files:
            grey = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
            with torch.no_grad():
                logits = self._net(torch.from_numpy(np.asarray(grey, np.float32))[None, None])
            cv2.imwrite(str(out / file.name), logits[0].argmax(dim=0).to(torch.uint8).numpy())
        return len(files) / (time.perf_counter() - began)


class OpenVino:
    """OpenVINO's own runtime on the same file: throughput hint, asynchronous queue, float32 kept as such."""

    def __init__(self, model: Path, shape: tuple[int, int], threads: int) -> None:
        import openvino

        core = openvino.Core()
        network = core.read_model(model)
        network.reshape({INPUT: [1, 1, *shape]})
        hints = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
        compiled = core.compile_model(network, "CPU", hints)
        self._output = compiled.output(OUTPUT)
        self._queue = openvino.AsyncInferQueue(compiled)

    def rate(self, batch: Any, count: int) -> float:
        """Slices/s of the network alone."""
        began = time.perf_counter()
        for _ in range(count):
            self._queue.start_async({INPUT: batch})
        self._queue.wait_all()
        return count / (time.perf_counter() - began)
