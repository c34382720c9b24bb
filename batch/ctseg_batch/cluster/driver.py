"""Ray Data streams bundles of scans through a pool of workers; the driver plans them, and notes what comes back.

Back-pressure, the retries of what was lost with a worker or its machine, and how many workers there are is Ray's.
"""

import contextlib
import io
import logging
import os
import socket
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ctseg.errors import CallError, first_line, require
from ctseg.stages import stage
from ctseg_batch.call import Call
from ctseg_batch.cluster.bundles import Bundle, Report, bundled
from ctseg_batch.cluster.gathered import TRIES, Gathered
from ctseg_batch.cluster.worker import Labeller, for_travel
from ctseg_batch.cpus import usable_cpus
from ctseg_batch.job import Job
from ctseg_batch.journal.past import Past, place_at
from ctseg_batch.journal.record import JournalWriter
from ctseg_batch.network.quiet import silenced
from ctseg_batch.signals import awaiting_start
from ctseg_batch.work import Watcher, Worked

MODULE, EXTRA = "ray.data", "ray"

# What a cluster of this machine alone may hold in memory at once; bundles and reports are small.
_STORE_BYTES = 256 * 2**20

_PATIENCE_S = 10.0


def work_on_cluster(
    job: Job, past: Past, journal: JournalWriter, watcher: Watcher, note: Callable[[str], None]
) -> Worked:
    """The driver of a cluster; raises CallError where there is none, or where workers can't write to OUT."""
    planner = job.planner(past, journal)
    with stage("discover"):
        planner.survey(job.found.sites)
        parts = [part for site in job.sites() for part in planner.parts(site)]
        watcher.expect(sum(len(part.files) for part in parts))
        worked = Gathered(parts, planner, journal, watcher, note)
        to_do = list(worked.to_do())
    if to_do:
        journal.open()
        with _cluster(job, watcher) as count:
            outdone = planner.folders.outdone
            bundles = list(bundled(to_do, past, count))
            # Files may be there before a worker tells of them: of a folder, where they would be as one scan.
            outlines = {place_at(site): past.outline(site) for _, site in to_do if site.kind != "volume"}
            known = (noted for bundle in bundles for noted in bundle.past.parts.values())
            journal.take_back(noted for noted in known if noted["part"] not in outlines)
            journal.begin(outlines, job.outputs.kinds)
            for report in _reports(job, bundles, outdone, count):
                worked.take(report)
            # One scan that kills workers took along what was in its bundle.
            alone = [bundle for one in worked.missing() for bundle in bundled([one], past, count)]
            for report in _reports(job, alone, outdone, count) if alone else ():
                worked.take(report)
        # A worker that was killed has left what it was writing; no later run would look for that, since this one ends.
        job.outputs.clear()
    return worked.complete()


def _reports(job: Job, bundles: Sequence[Bundle], outdone: Mapping[str, str], count: int) -> Iterator[Report]:
    """What comes back of the bundles, in whatever order."""
    data: Any = require(MODULE, EXTRA)
    logging.getLogger(MODULE).setLevel(logging.CRITICAL)  # what is lost is told by name
    gpus = job.call.gpus_per_worker
    context = data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    context.max_errored_blocks = -1  # the rest is done
    rows = data.from_items([{"bundle": one} for one in bundles], override_num_blocks=len(bundles))
    # One bundle at a time for each worker: what kills it, takes no other along.
    pool = data.ActorPoolStrategy(min_size=1, max_size=count, initial_size=count, max_tasks_in_flight_per_actor=1)
    with warnings.catch_warnings():
        # How often is tried again, Ray takes no other way yet; the extra ends before the version without this one.
        warnings.filterwarnings("ignore", "`ray_remote_args_fn` is deprecated")
        done = rows.map(
            Labeller,
            fn_constructor_args=(for_travel(job), "cuda" if gpus else "cpu", outdone),
            compute=pool,
            num_cpus=1,
            num_gpus=gpus or None,
            ray_remote_args_fn=lambda: {"max_task_retries": TRIES},
        )
    for batch in done.iter_batches(batch_size=None, batch_format="numpy"):
        yield from batch["report"]


@contextmanager
def _cluster(job: Job, watcher: Watcher) -> Iterator[int]:
    """Join the cluster, or be one of this machine alone; how many workers it may have. Raises CallError."""
    ray: Any = require("ray", EXTRA)
    with contextlib.redirect_stdout(io.StringIO()) as told:  # Ray's threads print there of what was lost
        try:
            _join(ray, job.call)
            count = _most_workers(ray.cluster_resources(), job.call)
            nodes = sum(node["Alive"] for node in ray.nodes())
            watcher.remark(f"on a Ray cluster of {nodes} node{'s' * (nodes > 1)}: up to {count} workers")
            yield count
        finally:
            ray.shutdown()
    if told.getvalue():
        watcher.remark("workers were lost on the way; others did again what these had at hand")


def _join(ray: Any, call: Call) -> None:
    """Connect to the cluster, or start one; raises CallError."""
    address = call.address or os.environ.get("RAY_ADDRESS")
    if address:
        _knock(address)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray would tell its maker
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # it goes to standard error, where people read
    plain = {"log_to_driver": False, "logging_level": logging.ERROR}
    alone = {"num_cpus": call.workers or usable_cpus(), "include_dashboard": False, "object_store_memory": _STORE_BYTES}
    try:
        # Ray has workers import from the driver's folder: what somebody left lying there is not run.
        with silenced(), contextlib.chdir(Path(os.path.abspath(os.curdir)).anchor), awaiting_start():  # noqa: PTH100
            ray.init(address=address, **plain) if address else ray.init(address="local", **plain, **alone)
    except (OSError, RuntimeError, ValueError) as error:
        why = first_line(error, type(error).__name__)
        if not address:
            raise CallError(f"Ray does not start here ({why})") from error
        token = "" if "RAY_AUTH_MODE" in os.environ else "; if it asks for a token, set RAY_AUTH_MODE=token"
        raise CallError(f"{_no_cluster(address)} ({why}){token}") from error


def _knock(address: str) -> None:
    """Raise CallError where nobody listens: Ray would knock for a quarter of an hour."""
    host, _, port = address.rpartition("/")[2].rpartition(":")
    if not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), _PATIENCE_S).close()
    except OSError as error:
        raise CallError(f"{_no_cluster(address)} ({error.strerror or 'nobody answers'})") from error


def _no_cluster(address: str) -> str:
    return f"--address {address}: there is no Ray cluster that can be joined"


def _most_workers(there: Mapping[str, float], call: Call) -> int:
    """As many as were asked for; else as many as there is room for now. Raises CallError where there is none."""
    room = int(there.get("CPU", 0))
    if call.gpus_per_worker:
        room = min(room, int(there.get("GPU", 0) / call.gpus_per_worker))
    if call.workers is None and room < 1:
        has = f"{there.get('CPU', 0):g} CPUs and {there.get('GPU', 0):g} GPUs"
        raise CallError(f"the cluster has {has}, which is not enough for one worker: where it grows, say --workers")
    return call.workers or room
