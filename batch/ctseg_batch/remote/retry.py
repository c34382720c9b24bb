"""What to do when a store fails: what is retried and how often, and the error if that was in vain."""

import errno
import os
import random
import re
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from ctseg.errors import CallError, first_line
from ctseg_batch.url import Url, location

T = TypeVar("T")

# A store that never answered is given up soon; one that did, after half a minute.
_TRIES_BEFORE_ANSWER, _TRIES = 3, 9
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 10.0
# The libraries of these stores retry themselves, except for interrupted transfers.
_PATIENT_THEMSELVES = ("gs", "gcs", "az", "abfs", "abfss")
# Errors that are regular answers: there is no such file, or there is one already.
_ANSWERS = (FileNotFoundError, FileExistsError)
# Errors that a retry can't cure: the store refuses, or its content can't be used.
_FINAL = (
    PermissionError, IsADirectoryError, NotADirectoryError, zipfile.BadZipFile, zlib.error,
    ValueError, TypeError, LookupError, RuntimeError, ImportError,
)  # fmt: skip
# The same for a lack of room, missing credentials, and an unknown or changed host key.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.ENAMETOOLONG)
_CREDENTIAL_ERRORS = (
    "NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError", "ClientAuthenticationError",
    "ProfileNotFound", "AuthenticationException", "PasswordRequiredException", "BadHostKeyException",
)  # fmt: skip
_LOGIN_REFUSED = re.compile("not found in known_hosts|No authentication methods")
_IS_SECRET = re.compile("KEY|SECRET|TOKEN|PASS|CREDENTIAL|CONNECTION_STRING")
_LEAST_SECRET = 6


class StoreError(CallError):
    """A store does not answer, or refuses; `reason` does not name the store."""

    def __init__(self, url: Url, what: str, reason: str) -> None:
        super().__init__(f"{url} {what}: {reason}")
        self.reason = reason


class Retry:
    """Calls a store, again if need be."""

    def __init__(self, url: Url) -> None:
        self._url = url
        self._tries_after_answer = 2 if url.scheme in _PATIENT_THEMSELVES else _TRIES
        self._tries_before_answer = 1 if url.scheme in _PATIENT_THEMSELVES else _TRIES_BEFORE_ANSWER
        self._is_here = bool(url.archive) and isinstance(location(url.archive), Path)
        self._has_answered = False

    def hurry(self) -> None:
        """Give up sooner from now on."""
        self._tries_after_answer = self._tries_before_answer

    def tried(self, work: Callable[[], T], again: Callable[[], object] = lambda: None) -> T:
        """Call `work`; after a failure call `again`, wait and retry.

        Raises FileNotFoundError and FileExistsError as they are, StoreError for any other error.
        """
        tries = 0
        while True:
            try:
                done = work()
            except _ANSWERS:
                self._has_answered = True
                raise
            except Exception as error:  # each store has errors of its own
                tries += 1
                self._has_answered = self._has_answered or _is_answer(error)
                if self._is_here or _is_final(error):
                    raise StoreError(self._url, "can't be used", reason(error)) from error
                if tries >= (self._tries_after_answer if self._has_answered else self._tries_before_answer):
                    raise StoreError(self._url, "does not answer", reason(error)) from error
            else:
                self._has_answered = True
                return done
            again()
            time.sleep(min(_FIRST_PAUSE_S * 2 ** (tries - 1), _LONGEST_PAUSE_S) * random.uniform(0.5, 1.5))  # noqa: S311


def reason(error: BaseException) -> str:
    """A library's message without secrets from the environment or from the query of a URL."""
    told = error.strerror if isinstance(error, OSError) and error.strerror else first_line(error)
    for name, value in os.environ.items():
        if _IS_SECRET.search(name) and len(value) >= _LEAST_SECRET:
            told = told.replace(value, "***")
    return re.sub(r"(://[^\s\"'?]*)\?[^\s\"']*", r"\1", told)


def _is_answer(error: BaseException) -> bool:
    """Whether the error is an answer of the store itself."""
    sources: tuple[Any, ...] = (error, error.__cause__)
    return any(getattr(source, "response", None) is not None for source in sources)


def _is_final(error: BaseException) -> bool:
    no_room = isinstance(error, OSError) and error.errno in _NO_ROOM
    unknown = type(error).__name__ in _CREDENTIAL_ERRORS or bool(_LOGIN_REFUSED.search(str(error)))
    return no_room or unknown or isinstance(error, _FINAL)
