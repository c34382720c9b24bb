"""Open the file system of a URL, with the libraries' own retries off: all retries are made by `store`."""

import weakref
from pathlib import Path
from typing import Any

from ctseg.errors import require
from ctseg_batch.url import ARCHIVE, EXTRAS, MACHINES, Url, location

AT_ONCE = 16
"""How many files are transferred at the same time."""

_TIMEOUT_S = 10.0
_SLOW_S = 60.0
# Archives are read in blocks of this size, since their members follow one another.
_BLOCK_BYTES = 4 * 2**20
# From keys of ssh's configuration to arguments of paramiko.
_OPTIONS = {"hostname": "hostname", "port": "port", "user": "username", "identityfile": "key_filename"}


def open_files(url: Url) -> tuple[Any, str]:
    """The fsspec file system of a URL, and the path in it; raises MissingExtraError, and the errors of each library."""
    require(*EXTRAS[url.scheme])
    if url.scheme == ARCHIVE:
        return _open_archive(url.archive), url.path
    if url.scheme in MACHINES:
        return _open_machine(url)
    fsspec = require("fsspec.core", "zip")
    files, top = fsspec.url_to_fs(str(url), skip_instance_cache=True, use_listings_cache=False)
    if url.scheme == "s3":
        files.retries = 1
        files.config_kwargs = {
            "retries": {"total_max_attempts": 1},
            "max_pool_connections": AT_ONCE,
            **files.config_kwargs,
        }
    return files, top.rstrip("/")


def _open_archive(written: str) -> Any:
    zipped = require("fsspec.implementations.zip", "zip")
    place = location(written)
    if isinstance(place, Path):
        stream: Any = place.open("rb")
    else:
        files, path = open_files(place)
        stream = files.open(path, "rb", block_size=_BLOCK_BYTES)
    try:
        files = zipped.ZipFileSystem(stream, skip_instance_cache=True)
    except BaseException:
        stream.close()
        raise
    weakref.finalize(files, stream.close)  # its own clean-up comes too late if an error has made a reference cycle
    return files


def _open_machine(url: Url) -> tuple[Any, str]:
    """Connect like ssh: with keys of the agent and of ~/.ssh, and only to known hosts."""
    paramiko, sftp = require("paramiko", "sftp"), require("fsspec.implementations.sftp", "sftp")

    class KnownMachines(sftp.SFTPFileSystem):  # type: ignore[misc,name-defined]
        """Refuses unknown hosts, which fsspec's own class accepts."""

        def _connect(self) -> None:
            self.client = paramiko.SSHClient()
            self.client.load_system_host_keys()
            wanted = {**_configured(paramiko, self.host), **self.ssh_kwargs}
            timeouts = dict.fromkeys(("timeout", "banner_timeout", "auth_timeout"), _TIMEOUT_S)
            self.client.connect(**wanted, **timeouts)
            self.ftp = self.client.open_sftp()
            self.ftp.get_channel().settimeout(_SLOW_S)

    machine, _, path = url.path.partition("/")
    user, _, address = machine.rpartition("@")
    host, _, port = address.partition(":")
    named = {**({"username": user} if user else {}), **({"port": int(port)} if port else {})}
    return KnownMachines(host, **named, skip_instance_cache=True), f"/{path}"


def _configured(paramiko: Any, host: str) -> dict[str, Any]:
    """The settings of a host in ~/.ssh/config, as arguments of paramiko's client."""
    file = Path("~/.ssh/config").expanduser()
    told = paramiko.SSHConfig.from_path(file).lookup(host) if file.is_file() else {}
    wanted = {ours: told[theirs] for theirs, ours in _OPTIONS.items() if theirs in told}
    return {"hostname": host, **wanted, **({"port": int(wanted["port"])} if "port" in wanted else {})}
