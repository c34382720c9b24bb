"""The driver of a cluster: it plans bundles of sites, and records what comes back.

Ray Data streams the bundles through a pool of workers. Back-pressure, the size of the pool, and retries after the loss
of a worker or its machine are its job.
"""

import contextlib
import io
import logging
import os
import socket
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from ctseg.errors import CallError, first_line, require
from ctseg.printable import count
from ctseg.process.signals import awaiting_start
from ctseg.stages import stage
from ctseg_batch.call import Call
from ctseg_batch.cluster import EXTRA, MODULE
from ctseg_batch.cluster.bundles import Bundle, Report, bundled
from ctseg_batch.cluster.gathered import TRIES, Gathered
from ctseg_batch.cluster.worker import Labeller, for_travel
from ctseg_batch.cpus import usable_cpus
from ctseg_batch.job import Job
from ctseg_batch.journal.entries import part_id_at
from ctseg_batch.journal.past import Past
from ctseg_batch.journal.record import Journal
from ctseg_batch.network.quiet import silenced
from ctseg_batch.watcher import Watcher
from ctseg_batch.work import Worked

# The object store of a cluster on this machine alone; bundles and reports are small.
_STORE_BYTES = 256 * 2**20

_PATIENCE_S = 10.0


def work_on_cluster(job: Job, past: Past, journal: Journal, watcher: Watcher, note: Callable[[str], None]) -> Worked:
    """The driver of a cluster; raises CallError if there is none, or if workers can't write to OUT."""
    outputs = job.open_outputs()
    planner = job.planner(past, outputs, journal)
    with stage("discover"):
        planner.survey(job.found.sites)
        pieces = [piece for site in job.sites() for piece in planner.pieces(site)]
        watcher.expect(sum(len(piece.files) for piece in pieces))
        worked = Gathered(pieces, planner, journal, watcher, note)
        to_do = list(worked.to_do())
    if to_do:
        journal.announce_change()
        with _cluster(job, watcher) as most:
            job = replace(job, selection=planner.selection)
            bundles = list(bundled(to_do, past, most))
            # Workers write files before they report them: record what there may be, for a folder as for a single scan.
            outlines = {part_id_at(site): past.outline(site) for _, site in to_do if site.kind != "volume"}
            known = (noted for bundle in bundles for noted in bundle.past.parts.values())
            journal.revoke(noted for noted in known if noted["part"] not in outlines)
            journal.begin(outlines, outputs.kinds)
            for report in _reports(job, bundles, most):
                worked.take(report)
            # A scan that kills its worker takes the rest of its bundle with it: try these sites one by one.
            alone = [bundle for one in worked.missing() for bundle in bundled([one], past, most)]
            for report in _reports(job, alone, most) if alone else ():
                worked.take(report)
        # Remove the unfinished files of killed workers: no later run would look for them, since this one ends well.
        outputs.remove_unfinished()
    return worked.complete()


def _reports(job: Job, bundles: Sequence[Bundle], most: int) -> Iterator[Report]:
    """The reports on the bundles, in any order."""
    data: Any = require(MODULE, EXTRA)
    logging.getLogger(MODULE).setLevel(logging.CRITICAL)  # lost sites are reported by name
    gpus = job.call.gpus_per_worker
    context = data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    context.max_errored_blocks = -1  # go on with the rest
    rows = data.from_items([{"bundle": one} for one in bundles], override_num_blocks=len(bundles))
    # One bundle at a time per worker: if it is killed, no other bundle is lost.
    pool = data.ActorPoolStrategy(min_size=1, max_size=most, initial_size=most, max_tasks_in_flight_per_actor=1)
    with warnings.catch_warnings():
        # Ray has no other way yet to set the number of retries; the extra ends before the version without this one.
        warnings.filterwarnings("ignore", "`ray_remote_args_fn` is deprecated")
        done = rows.map(
            Labeller,
            fn_constructor_args=(for_travel(job), "cuda" if gpus else "cpu"),
            compute=pool,
            num_cpus=1,
            num_gpus=gpus or None,
            ray_remote_args_fn=lambda: {"max_task_retries": TRIES},
        )
    for batch in done.iter_batches(batch_size=None, batch_format="numpy"):
        yield from batch["report"]


@contextmanager
def _cluster(job: Job, watcher: Watcher) -> Iterator[int]:
    """Join the cluster, or start one on this machine; yields how many workers it may have. Raises CallError."""
    ray: Any = require("ray", EXTRA)
    with contextlib.redirect_stdout(io.StringIO()) as told:  # Ray's threads print losses there
        try:
            _join(ray, job.call)
            most = _most_workers(ray.cluster_resources(), job.call)
            nodes = sum(node["Alive"] for node in ray.nodes())
            watcher.remark(f"on a Ray cluster of {count(nodes, 'node')}: up to {count(most, 'worker')}")
            yield most
        finally:
            ray.shutdown()
    if told.getvalue():
        watcher.remark("workers were lost on the way; their work was redone by others")


def _join(ray: Any, call: Call) -> None:
    """Connect to the cluster, or start one; raises CallError."""
    address = call.address or os.environ.get("RAY_ADDRESS")
    if address:
        _knock(address)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # else Ray would report to its maker
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # it logs to standard error, which is for people
    plain = {"log_to_driver": False, "logging_level": logging.ERROR}
    alone = {"num_cpus": call.workers or usable_cpus(), "include_dashboard": False, "object_store_memory": _STORE_BYTES}
    try:
        # Ray's workers import from the driver's current folder: files that happen to lie there must not be run.
        with silenced(), contextlib.chdir(Path(os.path.abspath(os.curdir)).anchor), awaiting_start():  # noqa: PTH100
            ray.init(address=address, **plain) if address else ray.init(address="local", **plain, **alone)
    except (OSError, RuntimeError, ValueError) as error:
        why = first_line(error)
        if not address:
            raise CallError(f"Ray does not start here ({why})") from error
        token = "" if "RAY_AUTH_MODE" in os.environ else "; if it asks for a token, set RAY_AUTH_MODE=token"
        raise CallError(f"{_no_cluster(address)} ({why}){token}") from error


def _knock(address: str) -> None:
    """Raise CallError if nobody listens at the address: Ray would try for a quarter of an hour."""
    host, _, port = address.rpartition("/")[2].rpartition(":")
    if not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), _PATIENCE_S).close()
    except OSError as error:
        raise CallError(f"{_no_cluster(address)} ({error.strerror or 'nothing answers'})") from error


def _no_cluster(address: str) -> str:
    return f"--address {address}: there is no Ray cluster that can be joined"


def _most_workers(there: Mapping[str, float], call: Call) -> int:
    """The number of workers that was asked for, else what there is room for now. Raises CallError if there is none."""
    room = int(there.get("CPU", 0))
    if call.gpus_per_worker:
        room = min(room, int(there.get("GPU", 0) / call.gpus_per_worker))
    if call.workers is None and room < 1:
        has = f"{there.get('CPU', 0):g} CPUs and {there.get('GPU', 0):g} GPUs"
        raise CallError(
            f"the cluster has {has}, which is not enough for one worker: if it scales on demand, set --workers"
        )
    return call.workers or room
