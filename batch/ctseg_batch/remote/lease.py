"""A place in a store held by one run: stores know no locks, so that it says again and again that it lives."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from os import getpid
from typing import Any
from uuid import uuid4

import psutil

from ctseg.errors import CallError
from ctseg_batch.past import FOLDER
from ctseg_batch.remote.store import Store, StoreError

_BEAT_S = 15.0
_DEAD_AFTER_S = 90.0


@contextmanager
def leased(store: Store, lock: str, excludes: Callable[[str], bool]) -> Iterator[threading.Event]:
    """Hold what lies below a URL by the object of that name; as `ctseg.claim.claim` otherwise.

    A run that was killed lets go of it after a minute and a half, on the same machine at once. The event is set where
    another run took it over: it began at the same moment, or thought this one dead.
    """
    path, own, lost = f"{FOLDER}/{lock}", uuid4().hex, threading.Event()

    def beat() -> None:
        told = {"id": own, "host": socket.gethostname(), "pid": getpid(), "beat": time.time()}
        store.put({path: json.dumps(told).encode()})

    def keep_beating() -> None:
        while not ended.wait(_BEAT_S):
            try:
                if _read(store, path).get("id") != own:
                    lost.set()
                    return
                beat()
            except StoreError:
                continue  # it may answer the next time; who writes to it finds out

    try:
        _refuse_if_held(store, path)
        beat()
        for other in store.names(FOLDER):
            if excludes(other) and other != lock:
                _refuse_if_held(store, f"{FOLDER}/{other}")
    except StoreError as error:
        raise CallError(str(error)) from error
    ended = threading.Event()
    beating = threading.Thread(target=keep_beating, daemon=True)
    beating.start()
    try:
        yield lost
    finally:
        ended.set()
        beating.join()
        if not lost.is_set():
            store.remove([path])


def is_leased(store: Store, lock: str) -> bool:
    """Whether a run holds it."""
    told = _read(store, f"{FOLDER}/{lock}")
    if not told:
        return False
    if told.get("host") == socket.gethostname() and not psutil.pid_exists(int(told.get("pid", 0))):
        return False
    return time.time() - float(told.get("beat", 0)) < _DEAD_AFTER_S


def _refuse_if_held(store: Store, path: str) -> None:
    if is_leased(store, path.rpartition("/")[2]):
        raise CallError(
            f"another run writes to {store.url}: wait until it has ended, or name another OUT. If it was killed on "
            f"another machine, it counts as dead after {_DEAD_AFTER_S:.0f} s"
        )


def _read(store: Store, path: str) -> dict[str, Any]:
    try:
        told = json.loads(store.read(path))
    except (FileNotFoundError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}
