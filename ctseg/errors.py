"""The errors that ctseg raises itself, under one root. Each message says what was wrong and what to do."""

import importlib
from pathlib import Path
from types import ModuleType


class CtsegError(Exception):
    """The root of all: the command prints such an error in one line and ends with exit status 2."""


class CallError(CtsegError, ValueError):
    """The call itself was wrong: options that contradict each other, an output folder that can't be used."""


class UnreadableFile(CtsegError):  # noqa: N818 - named for the file, which is what is wrong
    """A file could not be read as what it claims to be; it fails alone, and a run continues."""

    def __init__(self, file: Path, reason: str) -> None:
        super().__init__(f"{file}: {reason}")
        self.file = file
        self.reason = reason

    def __reduce__(self) -> tuple[type["UnreadableFile"], tuple[Path, str]]:
        """From another process, as one of a pool, it comes as it was raised there."""
        return type(self), (self.file, self.reason)


class ModelError(CtsegError):
    """A model file or a checkpoint was refused."""


class DatasetError(CtsegError):
    """A data set's description, index or masks do not fit together."""


class DeviceError(CtsegError):
    """The device or precision that was asked for is not available on this machine."""


class MissingExtraError(CtsegError, ImportError):
    """An optional dependency is absent."""


def first_line(error: BaseException, otherwise: str = "") -> str:
    """The first line of an exception's message; if it is empty `otherwise`, or the name of its class."""
    return (str(error).splitlines() or [otherwise or type(error).__name__])[0]


def unforeseen(error: BaseException) -> str:
    """An unexpected exception in one line: its class and its message."""
    return f"{type(error).__name__}: {first_line(error, 'no reason given')}"


def require(module: str, extra: str) -> ModuleType:
    """Import an optional `module`; where it is absent, the error names the extra that brings it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != module.partition(".")[0]:
            raise
        raise MissingExtraError(
            f"this needs {module}, which is not installed: install ctseg with its extra {extra}: "
            f"in a clone of its repository, run pip install '.[{extra}]'"
        ) from error
