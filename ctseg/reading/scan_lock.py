"""A lock that can be pickled, so that open scans can be sent to other processes."""

import threading


class ScanLock:
    """A threading.Lock as a context manager; a pickled copy is a new lock, not held, for its own process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        """Acquire it."""
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        """Release it."""
        self._lock.release()

    def __reduce__(self) -> tuple[type["ScanLock"], tuple[()]]:
        return ScanLock, ()
