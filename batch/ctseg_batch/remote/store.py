"""A store by fsspec: listed, fetched from and put to, several files at once, tried again where the network fails."""

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

from ctseg.errors import CtsegError, first_line, require
from ctseg_batch.remote.url import EXTRAS, Url

T = TypeVar("T")

_AT_ONCE = 16
_TRIES = 5
_FIRST_PAUSE_S = 0.2
# What a store calls the state of a file, by store; the first that there is tells it from another.
_STATES = ("ETag", "etag", "md5", "CRC", "LastModified", "last_modified", "updated", "mtime", "created", "date_time")
_FINAL = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)
# What stores call it that nobody has said who asks; to ask again is of no use.
_NOBODY = ("NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError", "ClientAuthenticationError")
# Where a file that is being written can be seen; stores of objects show them whole or not at all.
_GROWING = ("file", "sftp", "ssh")


class StoreError(CtsegError):
    """A store does not answer, or refuses; the message is for people."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a store: its path below the URL that was listed, its size in bytes, and what state it is in."""

    path: str
    size: int
    state: str


class Store:
    """What lies below a URL. May be used from several threads at once; raises MissingExtraError, StoreError."""

    def __init__(self, url: Url) -> None:
        self.url = url
        for protocol in url.protocols:
            require(*EXTRAS[protocol])
        fsspec = require("fsspec.core", "zip")
        options = {"skip_instance_cache": True, "use_listings_cache": False}
        try:
            self._files, self._top = fsspec.url_to_fs(url.text, **options)
        except Exception as error:  # each store has errors of its own
            raise self._failed("can't be opened", error) from error
        self._top = self._top.rstrip("/")
        # Those that are not made for it can't be used by two threads at once.
        self._one_at_a_time: Any = nullcontext() if self._files.async_impl else Lock()
        self._at_once = _AT_ONCE if self._files.async_impl else 1
        self._grows = url.protocols[0] in _GROWING

    def list(self, path: str = "") -> Iterator[Entry]:
        """All files below a path, or the file itself; nothing where there is none."""
        found = self._tried(lambda: self._files.find(self._full(path), detail=True, withdirs=False))
        start = len(self._top) + 1 if self._top else 0
        for full, facts in sorted(found.items()):
            if facts.get("type") != "directory":
                state = next((str(facts[key]) for key in _STATES if facts.get(key) is not None), "")
                yield Entry(full[start:], int(facts.get("size") or 0), state)

    def is_file(self) -> bool:
        """Whether the URL is a file's."""
        return bool(self._tried(lambda: self._files.isfile(self._top)))

    def names(self, folder: str) -> set[str]:
        """What lies right in a folder; nothing where there is none."""
        try:
            found = self._tried(lambda: self._files.ls(self._full(folder), detail=False))
        except FileNotFoundError:
            return set()
        return {one.rstrip("/").rpartition("/")[2] for one in found}

    def read(self, path: str, count: int | None = None) -> bytes:
        """A file, or its first `count` bytes; raises FileNotFoundError."""
        content: bytes = self._tried(
            lambda: self._files.cat_file(self._full(path), start=0 if count else None, end=count)
        )
        return content

    def fetch(self, files: Mapping[str, Path]) -> dict[str, str]:
        """Copy files to this machine; why, of those that could not be."""

        def copied(path: str, file: Path) -> str | None:
            try:
                self._tried(lambda: self._files.get_file(self._full(path), str(file)))
            except (StoreError, OSError) as error:
                file.unlink(missing_ok=True)
                return "is not there any more" if isinstance(error, FileNotFoundError) else _reason(error)
            return None

        reasons = self._all(lambda pair: copied(*pair), files.items())
        return {path: reason for path, reason in zip(files, reasons, strict=True) if reason is not None}

    def put(self, files: Mapping[str, bytes]) -> None:
        """Store files, each whole or not at all."""
        list(self._all(lambda pair: self._put(*pair), files.items()))

    def put_file(self, path: str, file: Path) -> None:
        """Store a file of this machine, whole or not at all."""
        self._put(path, file.read_bytes())

    def remove(self, paths: Iterable[str]) -> None:
        """Take files away; those that are not there are no trouble."""

        def removed(path: str) -> None:
            with suppress(FileNotFoundError):
                self._tried(lambda: self._files.rm_file(self._full(path)))

        list(self._all(removed, paths))

    def _put(self, path: str, content: bytes) -> None:
        full = self._full(path)
        if not self._grows:
            self._tried(lambda: self._files.pipe_file(full, content))
            return
        folder, _, name = full.rpartition("/")
        part = f"{folder}/.{name}.tmp"
        self._tried(lambda: self._files.makedirs(folder, exist_ok=True))
        self._tried(lambda: self._files.pipe_file(part, content))
        self._tried(lambda: self._files.mv(part, full))

    def _all(self, work: Callable[[Any], T], items: Iterable[Any]) -> Iterator[T]:
        with ThreadPoolExecutor(self._at_once) as threads:
            yield from threads.map(work, items)

    def _full(self, path: str) -> str:
        return "/".join(part for part in (self._top, path) if part)

    def _tried(self, work: Callable[[], T]) -> T:
        """Do it, several times if need be; raises FileNotFoundError and the like as they are, StoreError."""
        for number in range(_TRIES):
            try:
                with self._one_at_a_time:
                    return work()
            except _FINAL as error:
                if isinstance(error, FileNotFoundError):
                    raise
                raise self._failed("refuses", error) from error
            except Exception as error:  # each store has errors of its own
                if number == _TRIES - 1 or type(error).__name__ in _NOBODY:
                    raise self._failed("does not answer", error) from error
            time.sleep(_FIRST_PAUSE_S * 2**number * random.uniform(0.5, 1.5))  # noqa: S311
        raise AssertionError

    def _failed(self, what: str, error: Exception) -> StoreError:
        return StoreError(f"{self.url} {what}: {_reason(error)}")


def _reason(error: BaseException) -> str:
    return first_line(error, type(error).__name__)
