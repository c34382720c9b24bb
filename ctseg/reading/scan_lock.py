"""The lock of an open scan, which goes to other processes as results do."""

import threading
from types import TracebackType


class ScanLock:
    """Held by one thread at a time. A pickled copy is another lock, free and for its own process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        """Wait for it."""
        self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of it."""
        self._lock.release()

    def __reduce__(self) -> tuple[type["ScanLock"], tuple[()]]:
        return ScanLock, ()
