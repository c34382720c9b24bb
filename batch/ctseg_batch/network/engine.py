"""The network on a device: from slices to labels at its working size."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ctseg.classes import Labels
from ctseg.errors import DeviceError, ModelError
from ctseg.model import INPUT, ModelSpec, Precision, file_digest
from ctseg.prepare import Restoration, prepare
from ctseg.runtime import check_labels, open_on_cpu
from ctseg.scan import DOMAINS, Domain, Slice
from ctseg.stages import stage
from ctseg_batch.choices import DeviceChoice, PrecisionChoice
from ctseg_batch.network import cuda

Device = Literal["cpu", "cuda"]


@dataclass(frozen=True, slots=True, eq=False)
class Inferred:
    """What the network of `spec` says of a slice, at its working size: `undo` brings it back to the slice's own.

    `labels` are (H, W) before any clean-up; `logits` (classes, H, W), None unless they were asked for.
    """

    spec: ModelSpec
    undo: Restoration
    labels: Labels
    logits: npt.NDArray[Any] | None = None


@dataclass(frozen=True)
class Engine:
    """A model opened on a device. May be used from several threads at once.

    `file` is the model file in the chosen precision, `sha256` its digest. `remark`: a line on the model, its precision
    and the device, and why that is not CUDA.
    """

    session: Any
    spec: ModelSpec
    file: Path
    sha256: str
    device: Device
    remark: str

    def infer(self, sources: Sequence[Slice], outputs: Sequence[str]) -> list[Inferred]:
        """Prepare slices and run the network, at once for those of one shape.

        `outputs` are names in the graph: OUTPUT, then LOGITS if they are wanted. Raises ModelError for values that the
        model does not take.
        """
        for source in sources:
            self.check(source.domain)
        with stage("prepare"):
            prepared = [prepare(source, self.spec.preparation) for source in sources]
        found: dict[int, list[Any]] = {}
        for shape in dict.fromkeys(grey.shape for grey, _ in prepared):
            members = [number for number, (grey, _) in enumerate(prepared) if grey.shape == shape]
            stacked = [prepared[number][0] for number in members]
            with stage("infer", len(members), sum(one.size for one in stacked)):
                batch = stacked[0] if len(stacked) == 1 else np.concatenate(stacked)
                given = self.session.run(outputs, {INPUT: batch})
            check_labels(given[0], batch, self.spec.name)
            found |= {number: [output[index] for output in given] for index, number in enumerate(members)}
        return [Inferred(self.spec, undo, *found[number]) for number, (_, undo) in enumerate(prepared)]

    def check(self, domain: Domain) -> None:
        """Raise ModelError for values that the model does not take."""
        if domain not in self.spec.domains:
            raise ModelError(
                f"the model {self.spec.name} takes {' or '.join(DOMAINS[one] for one in self.spec.domains)}, "
                f"not {DOMAINS[domain]}"
            )


def open_engine(file: Path, device: DeviceChoice, precision: PrecisionChoice) -> Engine:
    """Open a model on a device; `auto` takes CUDA if it works.

    The file of another precision is looked for beside it: `fast.fp16.onnx` beside `fast.onnx`. Raises DeviceError if
    the device or the precision is not available, ModelError for a file that is not a model, or holds another network
    than the file that was named.
    """
    cuda.load_quietly()
    session, spec = open_on_cpu(file)
    trouble = "not asked for" if device == "cpu" else cuda.find_trouble()
    if trouble is None:
        chosen, wanted = choose_file(file, spec.precision, precision, "fp16")
        try:
            session, found = cuda.open_on_cuda(chosen)
        except DeviceError as error:
            trouble = str(error)
        else:
            _check_alike(chosen, found, wanted, file, spec)
            return _engine(chosen, session, found, "cuda", "on CUDA")
    if device == "cuda":
        raise DeviceError(f"the device cuda does not work here: {trouble}; the device cpu needs no GPU")
    return _open_beside(file, session, spec, precision, "fp32", "cpu", f"on the CPU (CUDA: {trouble})")


def open_unplaced(file: Path, precision: PrecisionChoice, device: Device) -> Engine:
    """A model as `open_engine` would open it on another machine: for its description, not to label anything."""
    cuda.load_quietly()
    best: Precision = "fp16" if device == "cuda" else "fp32"
    where = "on the GPUs of a cluster" if device == "cuda" else "on the CPUs of a cluster"
    return _open_beside(file, *open_on_cpu(file), precision, best, device, where)


def choose_file(file: Path, own: Precision, wish: PrecisionChoice, best: Precision) -> tuple[Path, Precision]:
    """The model file of the requested precision, and that precision, going by the name of the file.

    `auto` takes the `best` one for the device if there is a file of it, else the file's own. int8 is taken only on
    request; to name an int8 file is such a request. Raises DeviceError, with what to do, if there is no such file.
    """
    wanted = best if wish == "auto" else wish
    if wanted == own or (wish == "auto" and own == "int8"):
        return file, own
    stem = file.stem.removesuffix(f".{own}")
    beside = file.with_name(f"{stem}.onnx" if wanted == "fp32" else f"{stem}.{wanted}.onnx")
    if beside != file and beside.is_file():
        return beside, wanted
    if wish == "auto":
        return file, own
    slices = " --slices SCANS" if wanted == "int8" else ""
    advice = f"`ctseg export CHECKPOINT --precision {wanted}{slices} --out {beside}` makes one that does"
    raise DeviceError(f"{file} computes in {own}, not in {wanted}: {advice}")


def _open_beside(
    file: Path, session: Any, spec: ModelSpec, wish: PrecisionChoice, best: Precision, device: Device, where: str
) -> Engine:
    """The engine of an opened file, or of the one beside it with the requested precision."""
    chosen, wanted = choose_file(file, spec.precision, wish, best)
    if chosen == file:
        return _engine(file, session, spec, device, where)
    session, found = open_on_cpu(chosen)
    _check_alike(chosen, found, wanted, file, spec)
    return _engine(chosen, session, found, device, where)


def _check_alike(chosen: Path, found: ModelSpec, wanted: Precision, file: Path, named: ModelSpec) -> None:
    """Raise ModelError if a file that was found by its name is not the same network as `file` in that precision."""
    if found.precision != wanted:
        raise ModelError(f"{chosen} computes in {found.precision}, not in {wanted}: export it again, or remove it")
    if (found.training, found.preparation) != (named.training, named.preparation):
        raise ModelError(f"{chosen} holds another network than {file}: export it again, or remove it")


def _engine(file: Path, session: Any, spec: ModelSpec, device: Device, where: str) -> Engine:
    remark = f"model {spec.name} {spec.version} in {spec.precision} {where}"
    return Engine(session, spec, file, file_digest(file), device, remark)
