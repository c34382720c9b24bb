"""What a run is asked to do, and the same once its inputs are found and its model is open."""

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from ctseg import __version__, surface
from ctseg.errors import CallError, require
from ctseg.model import DEFAULT_MODEL, find_model
from ctseg.scan import Spacing
from ctseg_batch.discover import Found, discover
from ctseg_batch.engine import DeviceWish, Engine, PrecisionWish, open_engine
from ctseg_batch.outputs import Outputs, choose_writers
from ctseg_batch.record import FOLDER, Past, recall
from ctseg_batch.reporting import require_report
from ctseg_batch.result import MeasuresWish, Settings
from ctseg_batch.selection import Selection, parse_condition
from ctseg_batch.sheets import PARQUET_EXTRA, PARQUET_MODULE
from ctseg_batch.truth import Truth, open_truth


@dataclass(frozen=True)
class Call:
    """What is wanted. `out` belongs to the run; `spacing` (mm, z y x) holds for scans whose files do not say theirs.

    `workers` None: one for each CPU that this process may use. `batch_size`: slices that go through the network at
    once. `overwrite`: do again what was done before. `listed`: inputs of which one may be missing, and has failed then.
    `root`: the folder that scans are named from; None for the deepest that holds all. `series_filter`, `best_series`:
    which DICOM series are wanted, as `ctseg_batch.selection` has it. `report`: write report.html at the end.
    `measures`: what is told of scans that are stacks. `parquet`: write the tables as Parquet too.
    """

    inputs: Sequence[Path]
    out: Path
    truth: Path | None = None
    model: str = DEFAULT_MODEL
    device: DeviceWish = "auto"
    precision: PrecisionWish = "auto"
    workers: int | None = None
    batch_size: int = 1
    spacing: Spacing | None = None
    write: Sequence[str] = ("mask",)
    overwrite: bool = False
    listed: Sequence[Path] = ()
    root: Path | None = None
    series_filter: Sequence[str] = ()
    best_series: bool = False
    report: bool = False
    measures: MeasuresWish = "basic"
    parquet: bool = False


@dataclass(frozen=True)
class Job:
    """A call whose inputs were found and whose model is open. `most`: after so many slices it ends; None for all."""

    call: Call
    found: Found
    engine: Engine
    outputs: Outputs
    truth: Truth | None
    settings: Settings
    selection: Selection
    most: int | None = None

    @property
    def stack_images(self) -> bool:
        """Whether the images of a folder are looked at as a stack: somebody says how far apart they lie, and asks."""
        return self.call.measures == "full" and self.call.spacing is not None

    def recall(self) -> Past:
        """What earlier runs into OUT have done of it; raises CallError where that was another root."""
        past = recall(self.call.out, self.found.root, self.settings)
        return Past() if self.call.overwrite else past


def open_job(call: Call) -> Job:
    """Find and open all that a call names; raises CtsegError before anything is written."""
    outputs = Outputs(call.out, choose_writers(call.write), call.spacing)
    if call.report:
        require_report()
    if call.parquet:
        require(PARQUET_MODULE, PARQUET_EXTRA)
    if call.truth and call.measures == "full":
        require(surface.MODULE, surface.EXTRA)
    truth = open_truth(call.truth) if call.truth else None
    selection = Selection(tuple(map(parse_condition, call.series_filter)), call.best_series)
    truths = [call.truth] if call.truth else []
    _keep_apart([*call.inputs, *call.listed, *truths], call.out, outputs.folders)
    found = discover(call.inputs, [call.out, *truths], call.listed, call.root)
    if not found.sites and not found.failed:
        given = ", ".join(map(str, call.inputs)) or "what is listed"
        raise CallError(f"no CT in {given}: {found.ignored} files of other kinds were ignored")
    engine = open_engine(find_model(call.model), call.device, call.precision)
    if outputs.need("confidence") and engine.spec.temperature is None:
        raise CallError(f"--write confidence: the model {engine.spec.name} gives no probabilities: export it again")
    settings = Settings(
        version=__version__,
        model=engine.sha256,
        precision=engine.spec.precision,
        write=choose_writers(call.write),
        spacing=call.spacing,
        truth=truth.meaning if truth else None,
        measures=call.measures,
    )
    return Job(call, found, engine, outputs, truth, settings, selection)


def _keep_apart(read: Collection[Path], out: Path, folders: Collection[Path]) -> None:
    """Refuse an OUT whose files would lie among what is read; within an input, OUT is left out of the search."""
    home = Path(os.path.realpath(out))
    owned = [Path(os.path.realpath(folder)) for folder in (*folders, out / FOLDER)]
    for given in read:
        real = Path(os.path.realpath(given))
        if real == home or any(real.is_relative_to(folder) for folder in owned):
            raise CallError(f"--out {out}: {given} is read, and would be written to; name another folder")
