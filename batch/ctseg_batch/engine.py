"""The network on a device: from a slice to its labels."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ctseg.cleanup import clean_slice
from ctseg.confidence import Confidence, restore_confidence, winning_probability
from ctseg.errors import DeviceError, ModelError
from ctseg.model import INPUT, LOGITS, OUTPUT, ModelSpec, Precision
from ctseg.prepare import Restoration, prepare, restore
from ctseg.runtime import open_on_cpu
from ctseg.scan import Labels, Slice
from ctseg_batch import cuda

Device = Literal["cpu", "cuda"]
DeviceWish = Literal["auto", "cpu", "cuda"]
PrecisionWish = Literal["auto", "fp32", "fp16", "int8"]


@dataclass(frozen=True)
class Engine:
    """A model opened on a device. May be used from several threads at once.

    `sha256` is the model file's. `remark` says in one line what was taken, and why not the other.
    """

    session: Any
    spec: ModelSpec
    sha256: str
    device: Device
    remark: str

    def segment(self, source: Slice) -> Labels:
        """The mask (H, W) of a slice, at its own size; raises ModelError for values that the model does not take."""
        grey, undo = self._prepare(source)
        return clean_slice(restore(self.infer(grey)[0], undo), self.spec.cleanup)

    def segment_with_confidence(self, source: Slice) -> tuple[Labels, Confidence]:
        """The mask of a slice, and how sure the network was of each pixel before any rule changed it."""
        assert self.spec.temperature is not None
        grey, undo = self._prepare(source)
        labels, logits = self.session.run([OUTPUT, LOGITS], {INPUT: grey})
        confidence = restore_confidence(winning_probability(logits[0], self.spec.temperature), undo)
        return clean_slice(restore(labels[0], undo), self.spec.cleanup), confidence

    def _prepare(self, source: Slice) -> tuple[npt.NDArray[np.float32], Restoration]:
        if source.domain not in self.spec.domains:
            raise ModelError(f"the model {self.spec.name} takes {' or '.join(self.spec.domains)}, not {source.domain}")
        return prepare(source, self.spec.preparation)

    def infer(self, grey: npt.NDArray[np.float32]) -> Labels:
        """Labels (N, H, W) from the network's input (N, 1, H, W)."""
        labels: Labels = self.session.run([OUTPUT], {INPUT: grey})[0]
        return labels


def open_engine(file: Path, device: DeviceWish, precision: PrecisionWish) -> Engine:
    """Open a model on the device that is asked for; `auto` takes CUDA where it works.

    A precision other than the file's own is looked for beside it, `light.fp16.onnx` beside `light.onnx`. Raises
    DeviceError where the device or the precision is not to be had, ModelError for a file that is no model.
    """
    cuda.load_onnxruntime()
    session, spec = open_on_cpu(file)
    trouble = "not asked for" if device == "cpu" else cuda.find_trouble()
    if trouble is None:
        chosen = choose_file(file, spec.precision, precision, "fp16")
        try:
            return _engine(chosen, *cuda.open_on_cuda(chosen), "cuda", "on CUDA")
        except DeviceError as error:
            trouble = str(error)
    if device == "cuda":
        raise DeviceError(f"--device cuda does not work here: {trouble}; --device cpu needs no GPU")
    chosen = choose_file(file, spec.precision, precision, "fp32")
    if chosen != file:
        session, spec = open_on_cpu(chosen)
    return _engine(chosen, session, spec, "cpu", f"on the CPU (CUDA: {trouble})")


def choose_file(file: Path, own: Precision, wish: PrecisionWish, best: Precision) -> Path:
    """The model file of the precision that is asked for; `auto` wants the `best` of the device, but takes any.

    Raises DeviceError, with what to do, where there is none.
    """
    wanted = best if wish == "auto" else wish
    if wanted == own:
        return file
    stem = file.stem.removesuffix(f".{own}")
    beside = file.with_name(f"{stem}.onnx" if wanted == "fp32" else f"{stem}.{wanted}.onnx")
    if beside.is_file():
        return beside
    if wish == "auto":
        return file
    slices = " --slices SCANS" if wanted == "int8" else ""
    advice = f"`ctseg export CHECKPOINT --precision {wanted}{slices} --out {beside}` makes one"
    raise DeviceError(f"{file} computes in {own}, and there is no {beside.name} beside it: {advice}")


def _engine(file: Path, session: Any, spec: ModelSpec, device: Device, where: str) -> Engine:
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return Engine(session, spec, digest, device, f"model {spec.name} {spec.version} in {spec.precision} {where}")
