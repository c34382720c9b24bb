"""Record how long each stage of each slice takes in a real run."""

import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, get_args

import numpy as np
import psutil

from ctseg.stages import Stage
from ctseg_batch.watcher import Watcher

_ORDER: tuple[Stage, ...] = get_args(Stage)


class Event(NamedTuple):
    """One stage of one task, as reported to a Listener; `thread` is the worker's number in order of appearance."""

    stage: Stage
    start: int
    end: int
    thread: int
    slices: int
    pixels: int


@dataclass(frozen=True, slots=True)
class StageTimes:
    """A stage over the run: its number of calls, its share of the time of all stages, percentiles of a call in ms."""

    count: int
    share: float
    p50_ms: float
    p95_ms: float
    p99_ms: float


class Recorder(Watcher):
    """Both a listener to stages and a watcher of a run.

    `slices`: those that are labelled, or have failed. `busy_cores`: the share of the time, 0..1, that each CPU this
    process may use was busy, with whatever process. `taken_by_others`: the share that other programs took of all these.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads: dict[int, int] = {}
        self.slices = 0
        self.events: list[Event] = []
        self._cores = _core_times()
        self.busy_cores = [0.0] * len(self._cores)
        self._own_s = time.process_time()
        self.taken_by_others = 0.0

    def note(self, name: Stage, start: int, end: int, slices: int = 1, pixels: int = 0) -> None:
        """A stage ended, in the thread that calls."""
        thread = threading.get_ident()
        with self._lock:
            number = self._threads.setdefault(thread, len(self._threads))
            self.events.append(Event(name, start, end, number, slices, pixels))

    def advance(self) -> None:
        """A slice is labelled, or has failed."""
        with self._lock:
            self.slices += 1

    def finish(self) -> None:
        """The run is over: its last file is in place."""
        before, after, own_s = self._cores, _core_times(), time.process_time() - self._own_s
        self.busy_cores = [_share(*readings) for readings in zip(before, after, strict=True)]
        began, (busy_s, all_s) = np.sum(before, axis=0).tolist(), np.sum(after, axis=0).tolist()
        self.taken_by_others = _share(began, (busy_s - own_s, all_s))

    @property
    def seconds(self) -> float:
        """From the start of the first stage to the end of the last."""
        return (max(event.end for event in self.events) - min(event.start for event in self.events)) / 1e9

    @property
    def pixels_inferred(self) -> int:
        """The pixels that went through the network, as it was fed them; none of slices that failed before."""
        return sum(event.pixels for event in self._inferred())

    @property
    def seconds_inferring(self) -> float:
        """The time during which at least one slice was in the network."""
        busy = until = 0
        for event in self._inferred():
            busy += max(0, event.end - max(event.start, until))
            until = max(until, event.end)
        return busy / 1e9

    def _inferred(self) -> list[Event]:
        return sorted((event for event in self.events if event.stage == "infer"), key=lambda event: event.start)

    def stages(self) -> dict[Stage, StageTimes]:
        """Each stage that occurred, in the order of a slice's way."""
        lengths: dict[Stage, list[int]] = defaultdict(list)
        for event in self.events:
            lengths[event.stage].append(event.end - event.start)
        total = sum(map(sum, lengths.values())) or 1
        return {
            stage: StageTimes(
                len(took), sum(took) / total, *(float(p) / 1e6 for p in np.percentile(took, [50, 95, 99]))
            )
            for stage, took in sorted(lengths.items(), key=lambda item: _ORDER.index(item[0]))
        }


def _share(before: tuple[float, float], after: tuple[float, float]) -> float:
    """The share of busy seconds between two readings of the times of a CPU, or of several together."""
    total = after[1] - before[1]
    # On Linux, the time that a CPU waited for a disk may decrease now and then (man proc).
    return min(1.0, max(0.0, (after[0] - before[0]) / total)) if total > 0 else 0.0


def chrome_trace(events: Sequence[Event]) -> Mapping[str, Any]:
    """The stages as a trace for Perfetto and chrome://tracing: a row per worker, times in microseconds."""
    began = min((event.start for event in events), default=0)
    return {
        "displayTimeUnit": "ms",
        "traceEvents": [
            {
                "name": event.stage,
                "cat": "stage",
                "ph": "X",
                "pid": 1,
                "tid": event.thread,
                "ts": (event.start - began) / 1000,
                "dur": (event.end - event.start) / 1000,
                "args": {"slices": event.slices},
            }
            for event in events
        ],
    }


def _core_times() -> list[tuple[float, float]]:
    """The busy and the total seconds so far of each CPU that this process may use."""
    times = psutil.cpu_times(percpu=True)
    process = psutil.Process()
    usable = set(process.cpu_affinity()) if hasattr(process, "cpu_affinity") else set(range(len(times)))
    # In a container, the numbers of CPUs may differ between system and process; then all are shown.
    seen = [t for number, t in enumerate(times) if number in usable] if max(usable) < len(times) else times
    return [_busy_and_all(t._asdict()) for t in seen]


def _busy_and_all(spent: Mapping[str, float]) -> tuple[float, float]:
    """The busy and the total seconds of a CPU. Linux counts a guest's time as `user` or `nice`, too (man proc)."""
    every = sum(spent.values()) - spent.get("guest", 0.0) - spent.get("guest_nice", 0.0)
    return every - sum(spent.get(name, 0.0) for name in ("idle", "iowait", "steal")), every
