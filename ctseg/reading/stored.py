"""The voxels of a volume in a file: where they are, and how to read them safely."""

import gzip
import math
import os
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from ctseg.errors import UnreadableFile
from ctseg.reading.files import Stamp, check_regular, check_same, refusing
from ctseg.reading.signatures import is_gzip

Voxels = npt.NDArray[Any]

# The largest ratio of deflate (RFC 1951: 258 bytes from two bits): a header that promises more is wrong.
_DEFLATE_RATIO = 1032
_READ, _PIECE = 2**20, 2**24


@dataclass(frozen=True, slots=True)
class Stored:
    """The voxels of `file`: `shape` (first axis fastest) numbers of `dtype`.

    The data begin at byte `start` of the file. If they are deflated (gzip or zlib) they are inflated first; the voxels
    begin at byte `skip` of the result. `stamp`: the state of the file when its header was read.
    """

    file: Path
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    start: int = 0
    skip: int = 0
    is_deflated: bool = False
    stamp: Stamp | None = None

    @property
    def size(self) -> int:
        """Bytes of all voxels."""
        return math.prod(self.shape) * self.dtype.itemsize

    def at_end(self) -> "Stored":
        """The same, with the voxels at the end of the file."""
        return replace(self, start=max(check_regular(self.file)[0] - self.size, 0))

    def check_size(self) -> None:
        """Raise UnreadableFile, before any memory is taken, for a file that is too small for its voxels."""
        held = max(check_regular(self.file)[0] - self.start, 0)
        if self.skip + self.size > held * (_DEFLATE_RATIO if self.is_deflated else 1):
            reason = f"is cut off: its header promises {self.size} bytes of voxels, but the file is too short"
            raise UnreadableFile(self.file, reason)

    def read(self) -> Voxels:
        """The stored numbers in the file's own order of axes; raises UnreadableFile if some are missing."""
        with refusing(self.file), self.file.open("rb") as stream:
            check_same(self.file, stream, self.stamp)
            stream.seek(self.start)
            try:
                data = self._inflated(stream) if self.is_deflated else _taken(stream, self.skip, self.size)
            except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                raise UnreadableFile(self.file, "is cut off or damaged: it can't be unpacked") from error
        if len(data) < self.size:
            reason = f"is cut off: it holds {len(data)} of the {self.size} bytes of its voxels"
            raise UnreadableFile(self.file, reason)
        return np.frombuffer(data, self.dtype).reshape(self.shape, order="F")

    def _inflated(self, stream: IO[bytes]) -> bytearray:
        is_gzipped = is_gzip(stream.read(3))
        stream.seek(self.start)
        if not is_gzipped:
            return _from_zlib(stream, self.skip + self.size)[self.skip :]
        with gzip.open(stream, "rb") as inflated:
            data = _taken(inflated, self.skip, self.size)
            inflated.read(1)  # at the end of the stream, this verifies the checksum
        return data


def _taken(stream: IO[bytes] | gzip.GzipFile, skip: int, size: int) -> bytearray:
    """The `size` bytes after `skip`, or fewer; memory is taken only for what is there."""
    stream.seek(skip, os.SEEK_CUR)
    data = bytearray()
    while len(data) < size and (piece := stream.read(min(_PIECE, size - len(data)))):
        data += piece
    return data


def _from_zlib(stream: IO[bytes], size: int) -> bytearray:
    """The first `size` bytes of a zlib stream; if these are all, its checksum is verified.

    Raises zlib.error, and EOFError for a stream without its end.
    """
    inflate, inflated = zlib.decompressobj(), bytearray()
    data = stream.read(_READ)
    while data and not inflate.eof and len(inflated) <= size:
        inflated += inflate.decompress(data, min(_PIECE, size + 1 - len(inflated)))
        data = inflate.unconsumed_tail or stream.read(_READ)
    if not inflate.eof and len(inflated) <= size:
        raise EOFError("its end is missing")
    return inflated[:size]
