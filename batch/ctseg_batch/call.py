"""The call of a run: its options, checked against each other."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ctseg import surface
from ctseg.errors import CallError, require
from ctseg.model import DEFAULT_MODEL, find_model, shipped_models
from ctseg.spacing import Spacing
from ctseg.window import Window
from ctseg_batch import cluster
from ctseg_batch.choices import DEFAULT_KIND, DeviceChoice, DriverChoice, MeasuresChoice, PrecisionChoice
from ctseg_batch.figures.tables import PARQUET_EXTRA, PARQUET_MODULE
from ctseg_batch.inputs.discover import absolute
from ctseg_batch.reporting import require_report
from ctseg_batch.shards import Shard
from ctseg_batch.url import Location, Url


@dataclass(frozen=True)
class Call:
    """The options of `ctseg batch`.

    `inputs` must exist; one of those `listed` may be missing, which is reported as a failure. `root`: the folder that
    scan names are relative to, None for the deepest that contains all inputs. `spacing` (z, y, x in mm) is used where
    files do not give theirs. `window`: the HU that are black and white in 8-bit slices. `workers`: threads, None for
    one per CPU that this process may use; with the driver ray, workers of the cluster, None for as many as there is
    room for. `measures`: of scans that are stacks. `batch_size`: slices per call of the network. `overwrite`: do again
    what was done before. `series_filter` and `best_series` select DICOM series (`ctseg_batch.inputs.selection`).
    `report`: write report.html at the end. `parquet`: write the tables as Parquet too. `shard`: do only this share of
    the scans. `driver` ray: run on the workers of a Ray cluster, the one at `address` or one that is started on this
    machine; each takes a CPU and the fraction `gpus_per_worker` of a GPU.
    """

    inputs: Sequence[Location]
    out: Location
    truth: Path | None = None
    model: str = DEFAULT_MODEL
    device: DeviceChoice = "auto"
    precision: PrecisionChoice = "auto"
    workers: int | None = None
    batch_size: int = 1
    spacing: Spacing | None = None
    window: Window | None = None
    write: Sequence[str] = (DEFAULT_KIND,)
    overwrite: bool = False
    listed: Sequence[Location] = ()
    root: Location | None = None
    series_filter: Sequence[str] = ()
    best_series: bool = False
    report: bool = False
    measures: MeasuresChoice = "basic"
    parquet: bool = False
    shard: Shard | None = None
    driver: DriverChoice = "local"
    address: str | None = None
    gpus_per_worker: float = 0.0


def check(call: Call) -> None:
    """Raise CallError for options that contradict each other, MissingExtraError for an extra that is not installed."""
    _check_extras(call)
    _check_cluster(call)


def with_absolute_paths(call: Call) -> Call:
    """The call with absolute paths, so that it means the same to a process in another folder."""
    file = find_model(call.model)
    model = call.model if file in shipped_models().values() else str(absolute(file))
    out = call.out if isinstance(call.out, Url) else absolute(call.out)
    return replace(call, out=out, truth=call.truth and absolute(call.truth), model=model)


def _check_extras(call: Call) -> None:
    if call.report and (call.shard or isinstance(call.out, Url)):
        joined = "when all shards have ended, call ctseg summarize, then ctseg report"
        fetched = f"it is made from files on this machine, not in {call.out}: call ctseg summarize, then ctseg report"
        raise CallError(f"--report can't be combined with --shard: {joined}" if call.shard else f"--report: {fetched}")
    if call.report:
        require_report()
    if call.parquet:
        require(PARQUET_MODULE, PARQUET_EXTRA)
    if call.truth and call.measures == "full":
        require(surface.MODULE, surface.EXTRA)


def _check_cluster(call: Call) -> None:
    if call.driver == "local" and (call.address or call.gpus_per_worker):
        raise CallError("--address and --gpus-per-worker are for a cluster: call with --engine ray")
    if call.driver == "ray":
        if call.device == "cuda" and not call.gpus_per_worker:
            raise CallError("--device cuda on a cluster: set --gpus-per-worker, each worker's share of a GPU")
        if call.device == "cpu" and call.gpus_per_worker:
            raise CallError("--device cpu and --gpus-per-worker contradict each other: leave one out")
        require(cluster.MODULE, cluster.EXTRA)
