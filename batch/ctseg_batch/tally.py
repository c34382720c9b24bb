"""The figures of a part, added up slice by slice from several threads."""

import threading
from collections.abc import Sequence

from ctseg.classes import CLASSES, LUNG
from ctseg.errors import UnreadableFile
from ctseg.measures import count_pixels
from ctseg.metrics import Confusion
from ctseg.scan import Labels, Spacing
from ctseg_batch.result import Failure, PartResult
from ctseg_batch.todo import Todo
from ctseg_batch.truth import Truth


class Tally:
    """Counts the pixels of each slice, compares it with its truth, and keeps what failed."""

    def __init__(self, todo: Todo, truth: Truth | None) -> None:
        self._todo, self._truth = todo, truth
        self._lock = threading.Lock()
        self._pixels: dict[int, tuple[int, ...]] = {}
        self._failed: dict[int, Failure] = {}
        self._confusion: Confusion | None = None
        self._scored = 0
        self._bad_truth: set[Failure] = set()

    def add(self, index: int, labels: Labels) -> None:
        """A slice is written: count it."""
        pixels = count_pixels(labels)
        scored = self._compare(index, labels) if self._truth else None
        with self._lock:
            self._pixels[index] = pixels
            if isinstance(scored, UnreadableFile):
                self._bad_truth.add(Failure(str(scored.file), scored.reason))
            elif scored is not None:
                self._confusion = scored if self._confusion is None else self._confusion + scored
                self._scored += 1

    def fail(self, index: int, reason: str) -> None:
        """A slice came to nothing."""
        with self._lock:
            self._failed[index] = Failure(self._todo.sources[index], reason)

    @property
    def labelled(self) -> Sequence[int]:
        """The slices that came to something."""
        return sorted(self._pixels)

    def result(self, spacing: Spacing | None, stack: bool, device: str, precision: str) -> PartResult:
        """The figures, once all slices are in; the same whatever their order was."""
        labelled = [self._pixels[index] for index in self.labelled]
        lung = [sum(pixels[c.index] for c in LUNG) for pixels in labelled]
        return PartResult(
            scan=self._todo.scan,
            slices=len(self._todo.names),
            failed_slices=len(self._failed),
            failures=tuple(sorted(set(self._failed.values()))),
            spacing_mm=spacing,
            stack=stack,
            pixels=tuple(sum(pixels[c.index] for pixels in labelled) for c in CLASSES),
            lung=(lung[0], max(lung), lung[-1]) if lung else (0, 0, 0),
            flags=self._todo.slices.flags,
            confusion=None if self._confusion is None else tuple(map(tuple, self._confusion.tolist())),
            unscored=len(labelled) - self._scored if self._truth else 0,
            bad_truth=tuple(sorted(self._bad_truth)),
            device=device,
            precision=precision,
        )

    def _compare(self, index: int, labels: Labels) -> Confusion | UnreadableFile | None:
        """The counts against the slice's truth; None where it has none."""
        masks = self._todo.masks
        file = masks.find(index) if masks else None
        if masks is None or file is None or self._truth is None:
            return None
        try:
            return self._truth.compare(masks.read(index, len(self._todo.names)), file, labels)
        except UnreadableFile as error:
            return error
