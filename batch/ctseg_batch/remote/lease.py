"""Hold a place in a store by a lease: stores have no locks, so the run renews an object as long as it lives."""

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from ctseg.errors import CallError
from ctseg.printable import count
from ctseg_batch.layout import RECORD
from ctseg_batch.remote.retry import StoreError
from ctseg_batch.remote.store import Store

_BEAT_S = 15.0
_DEAD_AFTER_S = 90.0
# By then, another run that looked at the same moment has written its lease, too.
_SETTLED_S = 2.0


class Lease:
    """The lease of a run."""

    def __init__(self, store: Store, path: str) -> None:
        self._store, self._path, self._id = store, path, uuid.uuid4().hex
        self._lost = False
        self._renewed = 0.0

    @property
    def content(self) -> bytes:
        """The stored object: the holder, and the time of the last renewal."""
        return json.dumps({"id": self._id, "machine": _machine(), "pid": os.getpid(), "beat": time.time()}).encode()

    def take(self, remark: Callable[[str], None]) -> None:
        """Store it for the first time; raises CallError if another run holds it, or takes it at the same moment."""
        found = remove_dead(self._store, [self._path], remark)
        if not self._store.create(self._path, self.content) and not self._is_own():
            raise _taken(self._store)
        if found or self._store.grows:  # only then two runs may both have created it
            time.sleep(_SETTLED_S)
            if not self._is_own():
                raise _taken(self._store)
        self._renewed = time.time()

    def renew(self) -> None:
        """Renew it, unless another run has taken it."""
        self._lost = self._lost or not self._is_own()
        if not self._lost:
            self._store.put({self._path: self.content})
            self._renewed = time.time()

    def check(self) -> None:
        """Raise CallError if another run took over because this one seemed dead, as after sleep."""
        if time.time() - self._renewed > _DEAD_AFTER_S:
            self.renew()
        if self._lost:
            raise CallError(f"another run has begun to write to {self._store.url}: this one ends; what it did is kept")

    def drop(self) -> None:
        """Release it, if the store answers; else it expires soon."""
        self._store = self._store.hasty()
        with suppress(StoreError):
            if not self._lost and self._is_own():
                self._store.remove([self._path])

    def _is_own(self) -> bool:
        return (_read(self._store, self._path) or {}).get("id") == self._id


@contextmanager
def leased(
    store: Store, lock: str, excludes: Callable[[str], bool], remark: Callable[[str], None] = lambda _: None
) -> Iterator[Lease]:
    """Hold the place of a store by an object with the name of the `lock`; otherwise like `ctseg.process.claim.claim`.

    The lease of a killed run expires after a minute and a half, on the same machine at once. `remark` is called with a
    line before it waits.
    """
    lease, ended = Lease(store, f"{RECORD}/{lock}"), threading.Event()

    def keep_beating() -> None:
        while not ended.wait(_BEAT_S):
            with suppress(Exception):  # the store may answer next time; else storing a file meets the error
                lease.renew()

    beating = threading.Thread(target=keep_beating, daemon=True)
    try:
        lease.take(remark)
        beating.start()
        others = sorted(name for name in store.names(RECORD) if excludes(name) and name != lock)
        remove_dead(store, [f"{RECORD}/{name}" for name in others], remark)
        yield lease
    finally:
        ended.set()
        if beating.is_alive():
            beating.join()
        lease.drop()


def remove_dead(store: Store, paths: Sequence[str], remark: Callable[[str], None]) -> bool:
    """Remove the leases of dead runs, and return whether there were any; raises CallError if a run holds one."""
    held = _read_all(store, paths)
    if {} in held.values():
        time.sleep(_SETTLED_S)  # a run may be writing it at this moment
        held = _read_all(store, held)
    left = {path: told for path, told in held.items() if told and not _is_gone(told)}
    # Clocks of machines may differ: a lease that seems expired, or from the future, is watched for a while.
    if any(abs(time.time() - told["beat"]) <= _DEAD_AFTER_S for told in left.values()):
        raise _taken(store)
    if left:
        they = "it" if len(left) == 1 else "they"
        remark(
            f"{count(len(left), 'earlier run')} into {store.url} did not say that {they} ended: "
            f"waiting {2 * _BEAT_S:.0f} s to see whether any is still running"
        )
        time.sleep(2 * _BEAT_S)
        if any(told != left[path] for path, told in _read_all(store, left).items()):
            raise _taken(store)
    store.remove(held)
    return bool(held)


def _is_gone(told: Mapping[str, Any]) -> bool:
    """Whether the holder was a process of this machine that no longer exists."""
    return told["machine"] == _machine() and not psutil.pid_exists(told["pid"])


def _read_all(store: Store, paths: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The contents of those leases that exist."""
    return {path: told for path in paths if (told := _read(store, path)) is not None}


def _taken(store: Store) -> CallError:
    return CallError(
        f"another run is writing to {store.url}: wait until it has ended, or name another OUT. If it was killed on "
        f"another machine, it counts as dead after {_DEAD_AFTER_S:.0f} s"
    )


def _read(store: Store, path: str) -> dict[str, Any] | None:
    """The content of a lease; None if there is none, empty if a killed run left it incomplete."""
    try:
        told = json.loads(store.read(path))
    except FileNotFoundError:
        return None
    except ValueError:
        return {}
    kinds = {"id": str, "machine": str, "pid": int, "beat": float}
    is_one = isinstance(told, dict) and all(isinstance(told.get(key), kind) for key, kind in kinds.items())
    return told if is_one else {}


def _machine() -> str:
    """An identifier of the machine, or of the container within which process ids are valid."""
    names = Path("/proc/self/ns/pid")
    return f"{socket.gethostname()}/{uuid.getnode():x}/{names.readlink() if names.exists() else ''}"
