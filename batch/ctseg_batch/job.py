"""What a run is asked to do, and the same once its inputs are found and its model is open."""

import os
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from ctseg import __version__, surface
from ctseg.errors import CallError, require
from ctseg.model import DEFAULT_MODEL, find_model, shipped_models
from ctseg.scan import Spacing
from ctseg_batch.figures.sheets import PARQUET_EXTRA, PARQUET_MODULE
from ctseg_batch.home import FolderHome, Home
from ctseg_batch.inputs.discover import Found, absolute, discover, ignored_told
from ctseg_batch.inputs.listing import Listing
from ctseg_batch.inputs.selection import Selection, parse_condition
from ctseg_batch.inputs.site import Site
from ctseg_batch.inputs.supply import AtHand, Supply
from ctseg_batch.inputs.truth import Truth, open_truth
from ctseg_batch.journal.leavings import Lost
from ctseg_batch.journal.past import Past
from ctseg_batch.layout import FOLDER
from ctseg_batch.network.engine import DeviceWish, Engine, PrecisionWish, open_engine, open_unplaced
from ctseg_batch.outputs.shelf import FolderShelf, Shelf
from ctseg_batch.outputs.slice_outputs import Outputs, choose_writers
from ctseg_batch.parts.plan import Planner
from ctseg_batch.remote.url import Location, Url
from ctseg_batch.reporting import require_report
from ctseg_batch.result import Failure, MeasuresWish, Settings
from ctseg_batch.shards import Shard, mark_of

EngineWish = Literal["local", "ray"]


@dataclass(frozen=True)
class Call:
    """What is wanted. `out` belongs to the run; `spacing` (mm, z y x) holds for scans whose files do not say theirs.

    `workers` None: one for each CPU that this process may use. `batch_size`: slices that go through the network at
    once. `overwrite`: do again what was done before. `listed`: inputs of which one may be missing, and has failed then.
    `root`: the folder that scans are named from; None for the deepest that holds all. `series_filter`, `best_series`:
    which DICOM series are wanted, as `ctseg_batch.inputs.selection` has it. `report`: write report.html at the end.
    `measures`: what is told of scans that are stacks. `parquet`: write the tables as Parquet too. `shard`: do this
    share of the scans alone. `engine`: ray has the workers of a cluster do it, the one at `address` or one of this
    machine alone; each has a CPU, and `gpus_per_worker` of a GPU.
    """

    inputs: Sequence[Location]
    out: Location
    truth: Path | None = None
    model: str = DEFAULT_MODEL
    device: DeviceWish = "auto"
    precision: PrecisionWish = "auto"
    workers: int | None = None
    batch_size: int = 1
    spacing: Spacing | None = None
    write: Sequence[str] = ("mask",)
    overwrite: bool = False
    listed: Sequence[Location] = ()
    root: Location | None = None
    series_filter: Sequence[str] = ()
    best_series: bool = False
    report: bool = False
    measures: MeasuresWish = "basic"
    parquet: bool = False
    shard: Shard | None = None
    engine: EngineWish = "local"
    address: str | None = None
    gpus_per_worker: float = 0.0


@dataclass(frozen=True)
class Job:
    """A call whose inputs were found and whose model is open. `most`: after so many slices it ends; None for all."""

    call: Call
    found: Found
    engine: Engine
    home: Home
    shelf: Shelf
    outputs: Outputs
    truth: Truth | None
    settings: Settings
    selection: Selection
    supply: Supply = field(default_factory=AtHand)
    most: int | None = None

    @property
    def root(self) -> str:
        """The folder that scans are named from."""
        return str(self.found.place or self.found.root)

    @property
    def mark(self) -> str:
        """What its files in OUT bear in their names that are not of one scan."""
        return mark_of(self.call.shard)

    @property
    def ignored(self) -> int:
        """How many files are no CT: they are told by one of several shares."""
        return self.found.ignored if self.call.shard is None or self.call.shard.number == 1 else 0

    def sites(self) -> list[Site]:
        """Those that are its own."""
        shard = self.call.shard
        return [site for site in self.found.sites if shard is None or shard.holds(site.name)]

    def failures(self) -> list[Failure]:
        """What could not be told, of what is its own."""
        shard = self.call.shard
        return [one for one in self.found.failures if shard is None or shard.holds(one.file)]

    def planner(
        self,
        past: Past,
        listed: Callable[[str, str, Listing], None] = lambda *_: None,
        lost: Lost = lambda *_: None,
    ) -> Planner:
        """Who plans its sites; `listed` and `lost` are told as Planner has it."""
        # The images of a folder are a stack where somebody says how far apart they lie, and asks what a stack tells.
        stack_images = self.call.measures == "full" and self.call.spacing is not None
        return Planner(
            past, self.outputs, self.truth, listed, lost, self.selection, self.supply, stack_images=stack_images
        )

    def recall(self) -> Past:
        """What earlier runs into OUT have done of it; raises CallError where that was another root."""
        past = self.home.recall(self.root, self.settings)
        return Past(run=past.run, outdated=past.outdated) if self.call.overwrite else past


def open_job(call: Call) -> Job:
    """Find and open all that a call names; raises CtsegError before anything is written."""
    kinds = choose_writers(call.write)
    _check_extras(call)
    _check_cluster(call)
    if call.engine == "ray":  # its workers have folders of their own to be in
        call = _from_anywhere(call)
    home, shelf = _open_out(call.out, mark_of(call.shard))
    outputs = Outputs(shelf, kinds, call.spacing)
    truth = open_truth(call.truth) if call.truth else None
    selection = Selection(tuple(map(parse_condition, call.series_filter)), call.best_series)
    found, supply = _find(call, outputs.folders)
    if not found.sites and not found.failed:
        given = ", ".join(map(str, call.inputs)) or "what is listed"
        raise CallError(f"no CT in {given}{f': {ignored_told(found.ignored)}' if found.ignored else ''}")
    engine = _open_engine(call)
    if outputs.need("confidence") and engine.spec.temperature is None:
        raise CallError(f"--write confidence: the model {engine.spec.name} gives no probabilities: export it again")
    settings = Settings(
        version=__version__,
        model=engine.sha256,
        precision=engine.spec.precision,
        write=kinds,
        spacing=call.spacing,
        truth=truth.meaning if truth else None,
        measures=call.measures,
    )
    return Job(call, found, engine, home, shelf, outputs, truth, settings, selection, supply)


def _check_extras(call: Call) -> None:
    """Raise CallError for what can't be told of, MissingExtraError for what is not installed."""
    if call.report and (call.shard or isinstance(call.out, Url)):
        what = "of all scans, not of a share" if call.shard else f"by what lies on this machine, not in {call.out}"
        raise CallError(f"--report tells {what}: call ctseg summarize, then ctseg report, when all is done")
    if call.report:
        require_report()
    if call.parquet:
        require(PARQUET_MODULE, PARQUET_EXTRA)
    if call.truth and call.measures == "full":
        require(surface.MODULE, surface.EXTRA)


def _open_out(out: Location, mark: str) -> tuple[Home, Shelf]:
    if isinstance(out, Path):
        return FolderHome(out, mark), FolderShelf(out, mark)
    from ctseg_batch.remote.home import StoreHome
    from ctseg_batch.remote.shelf import StoreShelf
    from ctseg_batch.remote.store import writable

    store = writable(out)
    return StoreHome(store, mark), StoreShelf(store)


def _find(call: Call, folders: Collection[str]) -> tuple[Found, Supply]:
    """The inputs, and who has their files; raises CallError where OUT would lie among them."""
    given = [*call.inputs, *call.listed]
    truths = [call.truth] if call.truth else []
    urls, paths = _urls(given), _paths(given)
    if any(os.path.realpath(truth) == os.path.realpath(path) for truth in truths for path in paths):
        raise CallError(f"--truth {call.truth}: it is the INPUT itself; name the folder of its masks")
    if isinstance(call.out, Path):
        _keep_apart([*paths, *truths], call.out, [call.out / folder for folder in (*folders, FOLDER)])
    else:
        _keep_urls_apart(urls, call.out, (*folders, FOLDER))
    if not urls:
        if isinstance(call.root, Url):
            raise CallError(f"--root {call.root}: the inputs are not below it")
        never = [*_paths([call.out]), *truths]
        return discover(_paths(call.inputs), never, _paths(call.listed), call.root), AtHand()
    from ctseg_batch.remote.discover import discover_urls

    if paths or isinstance(call.root, Path):
        raise CallError("inputs on this machine and in a store: call once for each")
    return discover_urls(_urls(call.inputs), _urls([call.out]), _urls(call.listed), call.root)


def _urls(places: Iterable[Location]) -> list[Url]:
    return [place for place in places if isinstance(place, Url)]


def _paths(places: Iterable[Location]) -> list[Path]:
    return [place for place in places if isinstance(place, Path)]


def _open_engine(call: Call) -> Engine:
    """The model; for a cluster, only to know it, since the driver labels nothing."""
    file = find_model(call.model)
    if call.engine == "local":
        return open_engine(file, call.device, call.precision)
    return open_unplaced(file, call.precision, "cuda" if call.gpus_per_worker else "cpu")


def _check_cluster(call: Call) -> None:
    """Raise CallError for what contradicts itself."""
    if call.engine == "local" and (call.address or call.gpus_per_worker):
        raise CallError("--address and --gpus-per-worker are for a cluster: call with --engine ray")
    if call.gpus_per_worker < 0:
        raise CallError(f"--gpus-per-worker {call.gpus_per_worker:g}: give a part of a GPU, like 0.25, or more")
    if call.engine == "ray":
        if call.device == "cuda" and not call.gpus_per_worker:
            raise CallError("--device cuda on a cluster: say by --gpus-per-worker how much of a GPU each worker gets")
        if call.device == "cpu" and call.gpus_per_worker:
            raise CallError("--device cpu and --gpus-per-worker contradict each other: leave one out")
        require("ray.data", "ray")


def _from_anywhere(call: Call) -> Call:
    """A call that means the same in whichever folder it is read."""
    file = find_model(call.model)
    model = call.model if file in shipped_models().values() else str(absolute(file))
    out = call.out if isinstance(call.out, Url) else absolute(call.out)
    return replace(call, out=out, truth=call.truth and absolute(call.truth), model=model)


def _keep_apart(read: Collection[Path], out: Path, folders: Collection[Path]) -> None:
    """Refuse an OUT whose files would lie among what is read; within an input, OUT is left out of the search."""
    home = Path(os.path.realpath(out))
    owned = [Path(os.path.realpath(folder)) for folder in folders]
    for given in read:
        real = Path(os.path.realpath(given))
        if real == home or any(real.is_relative_to(folder) for folder in owned):
            raise CallError(f"--out {out}: {given} is read, and would be written to; name another folder")


def _keep_urls_apart(read: Collection[Url], out: Url, folders: Collection[str]) -> None:
    """The same of URLs."""
    for given in read:
        below = given.below(out)
        if below is not None and below.partition("/")[0] in ("", *folders):
            raise CallError(f"--out {out}: {given} is read, and would be written to; name another place")
