"""Whether the numbers of a scan are HU or grey, if its files do not say: decided once for all slices."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar

from ctseg.errors import UnreadableFile
from ctseg.reading.files import ContentError
from ctseg.reading.scan_lock import ScanLock
from ctseg.reading.values import Glance, Scale, Values, glance_at, scale_of
from ctseg.spread import evenly_spread

_LOOKED_AT = 16

T = TypeVar("T")

ReadNumbers = Callable[[int], Values | None]
"""Reads the numbers of the slice at an index; None if its file says what they are."""


class ScanScale:
    """The scale of a scan, from a sample of its slices; by itself, a slice without air or lung would pass for grey.

    The sample is read when the scale is first asked for, by one thread while others wait.
    """

    def __init__(self) -> None:
        self._lock = ScanLock()
        self._is_decided = False
        self._scale: Scale | None = None

    def decided(self, count: int, numbers: ReadNumbers) -> Scale | None:
        """The scale of a scan of `count` slices; None if each slice decides for itself, as a single one does."""
        with self._lock:
            if not self._is_decided:
                indices = sampled(range(count)) if count > 1 else []
                looked_at = [seen for index in indices if (seen := _glance(numbers, index))]
                self._scale = scale_of(looked_at) if looked_at else None
                self._is_decided = True
            return self._scale


def sampled(slices: Sequence[T]) -> list[T]:
    """The slices of a scan from which its scale is decided."""
    return evenly_spread(slices, _LOOKED_AT)


def _glance(numbers: ReadNumbers, index: int) -> Glance | None:
    with suppress(UnreadableFile, ContentError, MemoryError):  # it will fail when the slice itself is read
        values = numbers(index)
        return None if values is None else glance_at(values)
    return None
