"""Places that are no folders: `s3://bucket/scans`, `sftp://host/scans`, `zip::s3://bucket/scans.zip`."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from ctseg.errors import CallError

# What each kind of place needs; credentials come by each one's own means.
EXTRAS = {
    "s3": ("s3fs", "s3"),
    "gs": ("gcsfs", "gs"),
    "gcs": ("gcsfs", "gs"),
    "az": ("adlfs", "az"),
    "abfs": ("adlfs", "az"),
    "abfss": ("adlfs", "az"),
    "sftp": ("paramiko", "sftp"),
    "ssh": ("paramiko", "sftp"),
    "zip": ("fsspec", "zip"),
    "file": ("fsspec", "zip"),
}
_URL = re.compile(r"[a-z][a-z0-9+.-]+(::|://)")


@dataclass(frozen=True)
class Url:
    """A place in a store, as fsspec calls it; no `/` at its end."""

    text: str

    def __str__(self) -> str:
        return self.text

    def __truediv__(self, path: str) -> "Url":
        return Url(f"{self.text}/{path}") if path else self

    @property
    def protocols(self) -> tuple[str, ...]:
        """From the outermost inwards: zip, s3."""
        return tuple(part.partition("://")[0] for part in self.text.split("::") if "://" in part or part in EXTRAS)

    @property
    def name(self) -> str:
        """What it is called, without what it lies in."""
        return self.text.rstrip("/").replace("::", "/").rpartition("/")[2]


Location = Path | Url
"""Where something is: on this machine's file system, or anywhere else."""


def location(written: str) -> Location:
    """A path or a URL, as somebody wrote it; raises CallError for a URL that can't be used."""
    if not _URL.match(written):
        return Path(written)
    url = Url(written.rstrip("/"))
    for part in written.split("::"):
        _check(part, written)
    return url


def _check(part: str, written: str) -> None:
    """Refuse what nobody can fetch from, and what would put a secret on the command line."""
    scheme, separator, rest = part.partition("://")
    if ((separator or part == written) and scheme not in EXTRAS) or (not separator and not rest and not part):
        raise CallError(f"{_without_secrets(written)}: there are {', '.join(f'{name}://' for name in EXTRAS)}")
    if separator:
        split = urlsplit(part)
        if split.password is not None or split.query or split.fragment:
            raise CallError(
                f"{_without_secrets(written)}: no password, key or token belongs on the command line; it is taken from "
                "where the store's own tools take it"
            )


def _without_secrets(written: str) -> str:
    return re.sub(r"(://[^/@:]*):[^@]*@", r"\1:***@", written).partition("?")[0]


def absolute(place: Location) -> Location:
    """The same from wherever it is read."""
    return place if isinstance(place, Url) else Path(os.path.abspath(place))  # noqa: PTH100
