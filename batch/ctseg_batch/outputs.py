"""What is written for a slice, its mask, its overlay, its confidence: each kind in a folder of its own below OUT."""

import errno
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from ctseg.confidence import Confidence
from ctseg.errors import CallError, UnreadableFile
from ctseg.scan import Labels
from ctseg.stages import stage
from ctseg_batch.files import keep, refused, write_whole
from ctseg_batch.overlay import Grey, overlay

# Masks are long runs of few values: RLE and no filter. The filter has to be named, else OpenCV 5 is four times slower
# as soon as a level is given.
_PNG_OF_MASK = (
    cv2.IMWRITE_PNG_COMPRESSION, 1,
    cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE,
    cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_NONE,
)  # fmt: skip
_PNG_OF_PICTURE = (cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_SUB)


Need = Literal["grey", "confidence"]
"""What a file may be made of besides the labels."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A slice that was labelled; and, where an output needs them, how a screen shows it and how sure the labels are."""

    labels: Labels
    grey: Grey | None = None
    confidence: Confidence | None = None


@dataclass(frozen=True, slots=True)
class SliceWriter:
    """A kind of output: the folder below OUT, the bytes of a slice's file, and what they are made of but the labels."""

    folder: str
    encode: Callable[[Seen], bytes]
    needs: Need | None = None


def _mask(seen: Seen) -> bytes:
    return _png(seen.labels, _PNG_OF_MASK)


def _overlay(seen: Seen) -> bytes:
    assert seen.grey is not None
    return _png(overlay(seen.grey, seen.labels), _PNG_OF_PICTURE)


def _confidence(seen: Seen) -> bytes:
    assert seen.confidence is not None
    return _png(seen.confidence, _PNG_OF_PICTURE)


WRITERS: Mapping[str, SliceWriter] = {
    "mask": SliceWriter("masks", _mask),
    "overlay": SliceWriter("overlays", _overlay, needs="grey"),
    "confidence": SliceWriter("confidence", _confidence, needs="confidence"),
}


def choose_writers(names: Iterable[str]) -> tuple[str, ...]:
    """The kinds of output in their own order; raises CallError for one that there is not."""
    wanted = set(names)
    if not wanted or wanted - WRITERS.keys():
        strange = ", ".join(sorted(wanted - WRITERS.keys())) or "nothing"
        raise CallError(f"--write {strange}: there are {', '.join(WRITERS)}")
    return tuple(name for name in WRITERS if name in wanted)


class Outputs:
    """The files of one run, below OUT."""

    def __init__(self, out: Path, kinds: Sequence[str]) -> None:
        self._out = out
        self._writers = [WRITERS[kind] for kind in kinds]

    @property
    def folders(self) -> tuple[Path, ...]:
        """Where files go."""
        return tuple(self._out / writer.folder for writer in self._writers)

    def need(self, what: Need) -> bool:
        """Whether some output is made of it."""
        return any(writer.needs == what for writer in self._writers)

    def write(self, name: str, seen: Seen) -> None:
        """Write a slice's files, called `name` below each kind's folder.

        Raises UnreadableFile where the name is too long for the file system; CallError where OUT can't be written
        at all.
        """
        for writer in self._writers:
            file = self._out / writer.folder / name
            with stage("encode"):
                encoded = writer.encode(seen)
            try:
                with stage("write"):
                    write_whole(file, encoded)
            except OSError as error:
                if error.errno == errno.ENAMETOOLONG:
                    raise UnreadableFile(file, "has too long a name for a mask to be named after it") from error
                raise refused(file, error) from error

    def keep(self, names: Sequence[str]) -> None:
        """See to it that slices' files outlast a power failure, those that are there; raises CallError."""
        for folder in self.folders:
            try:
                with stage("keep"):
                    keep(folder / name for name in names)
            except OSError as error:
                raise refused(folder, error) from error

    def remove(self, names: Iterable[str]) -> None:
        """Take slices' files away, if there are any from an earlier run; raises CallError where that is forbidden."""
        for file in (folder / name for name in names for folder in self.folders):
            try:
                file.unlink(missing_ok=True)
            except OSError as error:
                if error.errno != errno.ENAMETOOLONG:  # no run can have left such a file
                    raise refused(file, error) from error

    def are_there(self, names: Iterable[str]) -> bool:
        """Whether all files of these slices are in place."""
        # Not Path.is_file, which raises for a name that is too long.
        return all(os.path.isfile(folder / name) for name in names for folder in self.folders)  # noqa: PTH113

    def is_any_there(self, name: str) -> bool:
        """Whether any file of a slice is in place."""
        return any(os.path.isfile(folder / name) for folder in self.folders)  # noqa: PTH113


def _png(picture: npt.NDArray[np.uint8], options: Sequence[int]) -> bytes:
    done, encoded = cv2.imencode(".png", picture, options)
    if not done:
        raise MemoryError(f"OpenCV could not encode a picture of {picture.shape}")
    return encoded.tobytes()
