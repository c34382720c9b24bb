"""URLs of inputs and outputs: `s3://bucket/scans`, `sftp://host/scans`, `zip::s3://bucket/scans.zip`."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from posixpath import commonpath

from ctseg.errors import CallError

# The module and the extra that each scheme needs; credentials come from each store's own configuration.
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
}
ARCHIVE = "zip"
_FILE = "file://"
_URL = re.compile(rf"{ARCHIVE}::|[a-z][a-z0-9+.-]+://", re.IGNORECASE)
MACHINES = ("sftp", "ssh")
"""Schemes whose URL names a machine and a folder on it; those of the others, but archives, name a bucket."""


@dataclass(frozen=True)
class Url:
    """A place in a store; its path has no final `/`. If it is inside an archive, `archive` is the place of that."""

    scheme: str
    path: str
    archive: str = ""

    def __str__(self) -> str:
        if not self.archive:
            return f"{self.scheme}://{self.path}"
        return f"{self.scheme}://{self.path}::{self.archive}" if self.path else f"{self.scheme}::{self.archive}"

    def __truediv__(self, path: str) -> "Url":
        return replace(self, path="/".join(part for part in (self.path, path) if part))

    @property
    def name(self) -> str:
        """Its last part."""
        return (self.path or self.archive).rpartition("/")[2]

    @property
    def parent(self) -> "Url":
        """The place that contains it."""
        return replace(self, path=self.path.rpartition("/")[0])

    def below(self, top: "Url") -> str | None:
        """Its path below another place; None if it is not below that."""
        if self == top:
            return ""
        start = f"{top.path}/" if top.path else ""
        is_there = (self.scheme, self.archive) == (top.scheme, top.archive) and self.path.startswith(start)
        return self.path[len(start) :] if is_there else None


Location = Path | Url
"""A place on this machine's file system, or in a store."""


def real(place: Location) -> Location:
    """A place with the links on the way to it followed; a URL as it is."""
    return place if isinstance(place, Url) else Path(os.path.realpath(place))


def is_within(place: Location, folder: Location) -> bool:
    """Whether a place is a folder, or lies in it, by their names."""
    if isinstance(place, Path) and isinstance(folder, Path):
        return place.is_relative_to(folder)
    return isinstance(place, Url) and isinstance(folder, Url) and place.below(folder) is not None


def is_url(written: str) -> bool:
    """Whether a text is a URL rather than a path."""
    return _URL.match(written) is not None


def location(written: str) -> Location:
    """A path or a URL from its text; raises CallError if that is empty, or a URL that can't be used."""
    if not written:  # pathlib takes it for the current folder
        raise CallError("a path is empty: is it a variable that is not set?")
    if written.lower().startswith(_FILE) and "::" not in written:
        return _local(written)
    if not is_url(written):
        return Path(written)
    if any(map(_holds_a_secret, written.split("::"))):
        raise CallError(
            f"{written.partition('://')[0]}://...: a URL must not contain a password, key or token; they are taken "
            "from where the store's own tools find them"
        )
    head, _, archive = written.partition("::")
    scheme, _, path = head.partition("://")
    scheme = scheme.lower()
    if archive and (scheme != ARCHIVE or "::" in archive):
        raise CallError(f"{written}: only {ARCHIVE}::ARCHIVE names something inside something else")
    if scheme == ARCHIVE and not archive:
        raise CallError(f"{written}: say which archive, like {ARCHIVE}::scans.zip or {ARCHIVE}://a::scans.zip")
    if archive:
        place = location(archive)
        archive = str(place) if isinstance(place, Url) else os.path.abspath(place)  # noqa: PTH100 - read from elsewhere
    return _checked(Url(scheme, path.strip("/") if archive else path.rstrip("/"), archive), written)


def path_here(written: str, what: str) -> Path:
    """The path on this machine that a text stands for; raises CallError for a place in a store."""
    place = location(written)
    if isinstance(place, Url):
        raise CallError(f"{what} {written}: this works only with files on this machine: copy them here first")
    return place


def _local(written: str) -> Path:
    """The path of a URL of this machine (RFC 8089)."""
    host, slash, path = written[len(_FILE) :].partition("/")
    if not path:
        raise CallError(f"{written}: it names no path")
    if host.lower() not in ("", "localhost"):
        raise CallError(f"{written}: {host} is another machine; name a path on this one, like file:///{path}")
    return Path(slash + path)


def _holds_a_secret(part: str) -> bool:
    """Whether a URL may hold a secret: a `:` before its path that begins no port, or a query with `=`."""
    scheme, separator, rest = part.partition("://")
    scheme = scheme.lower()
    if not separator or scheme == ARCHIVE:
        return False
    _, colon, port = rest.partition("/")[0].partition(":")
    return (bool(colon) and not (scheme in MACHINES and port.isdecimal())) or "=" in rest.partition("?")[2]


def _checked(url: Url, written: str) -> Url:
    if url.scheme not in EXTRAS:
        known = ", ".join(f"{name}://" for name in EXTRAS)
        raise CallError(f"{written}: unsupported URL: use one of {known}, or download the files first")
    if not url.archive and not url.path.partition("/")[2 if url.scheme in MACHINES else 0]:
        raise CallError(f"{written}: it names no {'folder' if url.scheme in MACHINES else 'bucket'}")
    if url.path and not is_plain(url.path):
        raise CallError(f"{written}: its path can't contain `.`, `..` or `//`")
    return url


def holding(urls: Sequence[Url]) -> Url:
    """The deepest place that contains all; raises CallError if there is none."""
    common = commonpath([url.path for url in urls])
    if len({(url.scheme, url.archive) for url in urls}) > 1 or not (common or urls[0].archive):
        raise CallError("the inputs lie in different stores: call once for each")
    return replace(urls[0], path=common)


def is_plain(path: str) -> bool:
    """Whether a file below a folder can have this path; names of objects may be anything, such as `../a`."""
    pure = PurePath(path)
    return pure.as_posix() == path and not pure.anchor and ".." not in pure.parts and "\0" not in path


def check_writable(out: Url) -> None:
    """Raise CallError for a place that can only be read."""
    if out.scheme == ARCHIVE:
        raise CallError(f"--out {out}: an archive can be read, but not written to; name a folder or a store")
