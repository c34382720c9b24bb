"""The list of sites that the shards of a run have found: it tells which no shard has done, and their order."""

import gzip
import json
import zlib
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Self

from ctseg.errors import CallError
from ctseg_batch.layout import RECORD
from ctseg_batch.outputs.output_files import OutputFiles


@dataclass(frozen=True, slots=True)
class Inventory:
    """The names of the sites that a run in shards has found, in the order of a run."""

    names: tuple[str, ...]

    @property
    def digest(self) -> str:
        """A digest of the names."""
        return blake2b(self._plain, digest_size=8).hexdigest()

    @property
    def content(self) -> bytes:
        """The bytes of its file, the same for the same names, so that shards may write it at the same time."""
        return gzip.compress(self._plain, mtime=0)

    @property
    def _plain(self) -> bytes:
        return json.dumps(self.names).encode()

    @classmethod
    def read(cls, folder: Path, digest: str) -> Self:
        """Read it from OUT; raises CallError."""
        file = folder / cls.path(digest)
        try:
            found = cls(tuple(json.loads(gzip.decompress(file.read_bytes()))))
        except (OSError, EOFError, ValueError, TypeError, zlib.error) as error:
            raise CallError(f"{file} is lost or damaged: call ctseg batch again, with any of its shards") from error
        if found.digest != digest:
            raise CallError(f"{file} is damaged: call ctseg batch again, with any of its shards")
        return found

    @staticmethod
    def path(digest: str) -> str:
        """Its path below OUT."""
        return f"{RECORD}/found.{digest}.json.gz"


def write_inventory(inventory: Inventory, output_files: OutputFiles) -> None:
    """Write it where `Inventory.read` looks for it, over one that may be damaged; raises CallError."""
    path = Inventory.path(inventory.digest)
    output_files.write(path, inventory.content)
    output_files.sync([path])
