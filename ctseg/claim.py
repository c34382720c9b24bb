"""A folder held by one run alone, so that two never write into it at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ctseg.errors import CallError


@contextmanager
def claim(folder: Path, lock: str) -> Iterator[None]:
    """Hold `folder` by the lock of that name below it, also against other machines where the file system knows locks.

    Raises CallError where another run holds it, or where it can't be written. The system lets go of it when a run dies,
    however it dies.
    """
    from filelock import FileLock, Timeout

    file = folder / lock
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        held = FileLock(file, blocking=False).acquire()
    except Timeout:
        raise CallError(f"another run writes to {folder}: wait until it has ended, or name another folder") from None
    except OSError as error:
        raise CallError(f"{folder} can't be written: {error.strerror}") from error
    with held:
        yield
