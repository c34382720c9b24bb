"""What is written for a slice, its mask, its overlay, its confidence: each kind in a folder of its own below OUT."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from ctseg.confidence import Confidence
from ctseg.errors import CallError
from ctseg.scan import Labels, Spacing
from ctseg.stages import stage
from ctseg_batch.layout import FOLDER
from ctseg_batch.outputs.output_files import OutputFiles
from ctseg_batch.outputs.overlay import Grey, overlay
from ctseg_batch.outputs.scan_outputs import SCAN_WRITERS, ScanOutputs

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
class LabelledSlice:
    """A slice that was labelled; and, where an output needs them, how a screen shows it and how sure the labels are."""

    labels: Labels
    grey: Grey | None = None
    confidence: Confidence | None = None


@dataclass(frozen=True, slots=True)
class SliceWriter:
    """A kind of output: the folder below OUT, the bytes of a slice's file, and what they are made of but the labels."""

    folder: str
    encode: Callable[[LabelledSlice], bytes]
    needs: Need | None = None


def _mask(seen: LabelledSlice) -> bytes:
    return _png(seen.labels, _PNG_OF_MASK)


def _overlay(seen: LabelledSlice) -> bytes:
    assert seen.grey is not None
    return _png(overlay(seen.grey, seen.labels), _PNG_OF_PICTURE)


def _confidence(seen: LabelledSlice) -> bytes:
    assert seen.confidence is not None
    return _png(seen.confidence, _PNG_OF_PICTURE)


WRITERS: Mapping[str, SliceWriter] = {
    "mask": SliceWriter("masks", _mask),
    "overlay": SliceWriter("overlays", _overlay, needs="grey"),
    "confidence": SliceWriter("confidence", _confidence, needs="confidence"),
}


KINDS = (*WRITERS, *SCAN_WRITERS)
"""All that may be written: of each slice, and of whole scans."""

FOLDERS = frozenset(w.folder for w in WRITERS.values()) | frozenset(w.folder for w in SCAN_WRITERS.values())
"""What a run calls the folders that it writes to."""


def choose_writers(names: Iterable[str]) -> tuple[str, ...]:
    """The kinds of output in their own order; raises CallError for one that there is not."""
    wanted = set(names)
    if not wanted or wanted - set(KINDS):
        strange = ", ".join(name or "''" for name in sorted(wanted - set(KINDS))) or "nothing"
        raise CallError(f"--write {strange}: choose from {', '.join(KINDS)}")
    return tuple(name for name in KINDS if name in wanted)


class Outputs:
    """The output files of one run: those of slices, and `scans`, those of whole scans."""

    def __init__(
        self, output_files: OutputFiles, kinds: Sequence[str], spacing: Spacing | None, dropped: Collection[str] = ()
    ) -> None:
        """`dropped` are kinds that earlier runs wrote and this one does not: it takes them away of all that it does."""
        self._output_files = output_files
        self._kinds = (*kinds, *sorted(dropped))
        self._writers = [WRITERS[kind] for kind in kinds if kind in WRITERS]
        self._dropped = [WRITERS[kind] for kind in dropped if kind in WRITERS]
        self.scans = ScanOutputs(output_files, kinds, spacing)
        self._dropped_of_scans = [kind for kind in dropped if kind in SCAN_WRITERS]

    @property
    def folders(self) -> tuple[str, ...]:
        """Where files go, below OUT."""
        return (*(writer.folder for writer in self._writers), *self.scans.folders)

    @property
    def _all_folders(self) -> tuple[str, ...]:
        """The same, and where there are files that go."""
        writers, kinds = self._all
        return (*(writer.folder for writer in writers), *(SCAN_WRITERS[kind].folder for kind in kinds))

    @property
    def _all(self) -> tuple[Sequence[SliceWriter], Sequence[str]]:
        """Of slices, and of whole scans, what is written and what goes."""
        return (*self._writers, *self._dropped), (*self.scans.kinds, *self._dropped_of_scans)

    @property
    def kinds(self) -> tuple[str, ...]:
        """What there may be of all that it does, while it is under way: dropped ones, too."""
        return self._kinds

    @property
    def is_of_slices(self) -> bool:
        """Whether anything is written of a slice alone."""
        return bool(self._writers)

    def needs(self, what: Need) -> bool:
        """Whether some output is made of it."""
        return any(writer.needs == what for writer in self._writers)

    def begin(self) -> None:
        """Write what lies beside the scans' files once; raises CallError."""
        self.scans.begin()

    def clear(self) -> None:
        """Take away what a killed run left unfinished."""
        self._output_files.clear(self._all_folders)

    def write(self, name: str, seen: LabelledSlice) -> None:
        """Write a slice's files, called `name` below each kind's folder.

        Raises UnreadableFile where OUT can't hold the name; CallError where OUT can't be written at all.
        """
        for writer in self._writers:
            with stage("encode"):
                encoded = writer.encode(seen)
            self._output_files.write(f"{writer.folder}/{name}", encoded)

    def keep(self, names: Sequence[str], scan: str) -> None:
        """See to it that the files of slices and their scan outlast whatever comes, those that are there.

        Those of kinds that are not written any more go. Raises CallError.
        """
        self._remove(names, [scan], self._dropped, self._dropped_of_scans)
        self._output_files.keep([*self._files(names), *self.scans.files(scan)])

    def remove(self, names: Iterable[str], scans: Iterable[str] = ()) -> None:
        """Take files of slices and scans away, if there are any from an earlier run; raises CallError."""
        self._remove(names, scans, *self._all)

    def _remove(
        self, names: Iterable[str], scans: Iterable[str], writers: Sequence[SliceWriter], kinds: Sequence[str]
    ) -> None:
        for scan in scans:
            self.scans.remove(scan, kinds)
        for name in names:
            for writer in writers:
                self._output_files.remove(f"{writer.folder}/{name}")

    def are_there(self, names: Iterable[str]) -> bool:
        """Whether all files of these slices are in place."""
        return all(map(self._output_files.is_there, self._files(names)))

    def is_any_there(self, names: Iterable[str], scans: Iterable[str] = ()) -> bool:
        """Whether there is any file of these slices and scans, of whatever kind."""
        writers, kinds = self._all
        slices = (f"{writer.folder}/{name}" for name in names for writer in writers)
        return any(map(self._output_files.is_there, slices)) or self.scans.is_any_there(scans, kinds)

    def has_folder(self, name: str) -> bool:
        """Whether some output has a folder of that name, as volumes have for their slices."""
        return any(self._output_files.has_folder(f"{folder}/{name}") for folder in self._all_folders)

    def tell_case(self) -> bool:
        """Whether names that differ by case alone are two; known once OUT is held."""
        return self._output_files.tells_case(FOLDER)

    def _files(self, names: Iterable[str]) -> Iterator[str]:
        return (f"{writer.folder}/{name}" for name in names for writer in self._writers)


def _png(picture: npt.NDArray[np.uint8], options: Sequence[int]) -> bytes:
    done, encoded = cv2.imencode(".png", picture, options)
    if not done:
        raise MemoryError(f"OpenCV could not encode a picture of {picture.shape}")
    return encoded.tobytes()
