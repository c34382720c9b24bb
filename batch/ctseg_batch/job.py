"""A job: a call whose inputs have been found and whose model is open."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ctseg import __version__
from ctseg.errors import CallError
from ctseg.model import find_model
from ctseg.reading.kind import READABLE
from ctseg_batch.call import Call, check, with_absolute_paths
from ctseg_batch.figures.notes import ignored, set_aside
from ctseg_batch.find import find
from ctseg_batch.foreign import refuse_foreign
from ctseg_batch.inputs.discover import Found, absolute
from ctseg_batch.inputs.input_files import InputFiles
from ctseg_batch.inputs.selection import Selection, parse_condition
from ctseg_batch.inputs.site import Site
from ctseg_batch.inputs.truth import Truth, open_truth
from ctseg_batch.journal.past import Past
from ctseg_batch.journal.record import Journal
from ctseg_batch.network.engine import Engine, open_engine, open_unplaced
from ctseg_batch.network.fallback import FallbackEngine
from ctseg_batch.outputs.output_files import LocalOutputFiles, OutputFiles
from ctseg_batch.outputs.outputs import Outputs, Writers, check_kinds
from ctseg_batch.parts.pipeline import PartContext
from ctseg_batch.parts.plan import Planner
from ctseg_batch.parts.workers import Workers
from ctseg_batch.reporting import REPORT_HTML
from ctseg_batch.reporting.head import refuse_foreign_report
from ctseg_batch.result import Failure, Settings
from ctseg_batch.run_folder import LocalRunFolder, RunFolder
from ctseg_batch.shards import mark_of
from ctseg_batch.url import Location


@dataclass(frozen=True)
class Job:
    """All that a run needs. `most`: stop after so many slices; None for all.

    `dropped`: kinds of output that earlier runs have written and this one removes from the scans that it does.
    """

    call: Call
    found: Found
    engine: Engine
    run_folder: RunFolder
    output_files: OutputFiles
    truth: Truth | None
    settings: Settings
    selection: Selection
    input_files: InputFiles
    most: int | None = None
    dropped: frozenset[str] = frozenset()

    def open_outputs(self) -> Outputs:
        """The outputs, for a driver or a worker to write and to remove; it collects what was removed."""
        return Outputs(self.output_files, self.settings.write, self.dropped)

    @property
    def root(self) -> str:
        """The folder that scan names are relative to."""
        return str(self.found.scan_root)

    @property
    def mark(self) -> str:
        """What the names of its journal, lock and tables in OUT contain: that of its shard, else nothing."""
        return mark_of(self.call.shard)

    @property
    def ignored_endings(self) -> Mapping[str, int]:
        """How many files of each ending are not CT; of several shards only the first counts them."""
        return self.found.ignored_endings if self.call.shard is None or self.call.shard.number == 1 else {}

    def sites(self) -> list[Site]:
        """The sites of this shard; all without shards."""
        shard = self.call.shard
        return [site for site in self.found.sites if shard is None or shard.holds(site.name)]

    def failures(self) -> list[Failure]:
        """The files of this shard that could not be identified, and the inputs that hold no CT."""
        shard = self.call.shard
        return [one for one in self.found.failures if shard is None or shard.holds(one.file)]

    def planner(self, past: Past, outputs: Outputs, journal: Journal | None = None) -> Planner:
        """The planner of its sites; with a journal, it also records how files are sorted and removes stale outputs."""
        # The images of a folder count as a stack if the call gives their distance and asks for anything of stacks.
        is_of_stacks = self.call.measures == "full" or "nifti" in self.settings.write
        return Planner(
            past,
            outputs,
            self.truth,
            journal,
            self.selection,
            self.input_files,
            stack_images=is_of_stacks and self.call.spacing is not None,
        )

    def context(self, workers: Workers, engine: FallbackEngine, outputs: Outputs) -> PartContext:
        """What all parts of the run share."""
        call, meaning = self.call, self.settings.truth
        return PartContext(workers, engine, outputs, meaning, call.spacing, call.batch_size, call.measures, call.window)

    def following(self, past: Past) -> "Job":
        """The same job, which also removes the kinds of output that only earlier runs have written."""
        return replace(self, dropped=frozenset(past.kinds()).difference(self.settings.write))

    def recall(self) -> Past:
        """What earlier runs into OUT have done; raises CallError if their inputs had another root."""
        past = self.run_folder.recall(self.root, self.settings)
        return past.overwritten(self.sites()) if self.call.overwrite else past


def open_job(call: Call) -> Job:
    """Find the inputs and open the model; raises CtsegError before anything is written."""
    kinds = check_kinds(call.write)
    check(call)
    if call.driver == "ray":  # its workers have folders of their own to be in
        call = with_absolute_paths(call)
    mark = mark_of(call.shard)
    run_folder, output_files = _open_out(call.out, mark)
    if call.report and isinstance(call.out, Path):
        refuse_foreign_report(call.out / REPORT_HTML)
    truth = open_truth(absolute(call.truth)) if call.truth else None
    selection = Selection(tuple(map(parse_condition, call.series_filter)), call.best_series)
    found, input_files = find(call, Writers.of(kinds).folders)
    refuse_foreign(call.out, run_folder.names, found.scan_root)
    if not found.sites and not found.failed:
        given = ", ".join(map(str, call.inputs)) or "what is listed"
        if set(found.passed_over) >= {absolute(one) if isinstance(one, Path) else one for one in call.inputs}:
            given += ", only results or reference masks: name the scans themselves"
        notes = [*ignored(found.ignored, found.ignored_endings), *set_aside(found.set_aside)]
        if not notes and not found.passed_over:
            notes = [f"no {READABLE}"]
        raise CallError(": ".join([f"no CT in {given}", *notes]))
    engine = _open_engine(call)
    if "confidence" in kinds and engine.spec.temperature is None:
        raise CallError(f"--write confidence: {engine.spec.why_unsure()}")
    settings = Settings(
        version=__version__,
        model=engine.sha256,
        precision=engine.spec.precision,
        write=kinds,
        spacing=call.spacing,
        window=call.window,
        truth=truth.meaning if truth else None,
        measures=call.measures,
    )
    return Job(call, found, engine, run_folder, output_files, truth, settings, selection, input_files)


def _open_out(out: Location, mark: str) -> tuple[RunFolder, OutputFiles]:
    if isinstance(out, Path):
        return LocalRunFolder(out, mark), LocalOutputFiles(out, mark)
    from ctseg_batch.remote.output_files import StoreOutputFiles
    from ctseg_batch.remote.run_folder import StoreRunFolder
    from ctseg_batch.remote.store import writable

    store = writable(out)
    return StoreRunFolder(store, mark), StoreOutputFiles(store)


def _open_engine(call: Call) -> Engine:
    """The model; for a cluster only its description, since the driver labels nothing."""
    file = find_model(call.model)
    if call.driver == "local":
        return open_engine(file, call.device, call.precision)
    return open_unplaced(file, call.precision, "cuda" if call.gpus_per_worker else "cpu")
