"""What the values of a mask stand for: a class each, or several that the mask does not distinguish."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from ctseg.classes import BACKGROUND, CLASSES, Labels, TissueClass, bits, class_named
from ctseg.errors import DatasetError
from ctseg.metrics import Confusion, confusion
from ctseg.printable import first_few

_UNKNOWN = 255


@dataclass(frozen=True)
class MaskMeaning:
    """For each mask value the classes that its pixels may be.

    Pixels with a value for all classes are not compared.
    """

    values: Mapping[int, tuple[TissueClass, ...]]

    @classmethod
    def parse(cls, written: Mapping[str, Any], source: Path) -> Self:
        """Parse the `mask_values` of a description, names of classes by value; raises DatasetError."""
        try:
            values = {_byte(value): _classes(value, names) for value, names in written.items()}
            if len(values) < len(written):
                raise ValueError("mask_values has a value twice, as 2 and 02 are: write each once")
            return cls(values)
        except (ValueError, TypeError, AttributeError) as error:
            raise DatasetError(f"{source}: {error}") from error

    @cached_property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """The classes by index, in groups that the values distinguish: `((0,), (1,), (2, 3))`."""
        owner = {c.index: c.index for c in CLASSES}
        for classes in filter(tells, self.values.values()):
            joined = {owner[c.index] for c in classes}
            owner = {index: min(joined) if group in joined else group for index, group in owner.items()}
        return tuple(tuple(i for i in owner if owner[i] == group) for group in sorted(set(owner.values())))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The name of each group: `ground_glass+consolidation` if the two are not distinguished."""
        return tuple("+".join(CLASSES[index].name for index in group) for group in self.groups)

    @cached_property
    def group_of(self) -> npt.NDArray[np.uint8]:
        """For each class its index into `groups`."""
        return np.array([next(n for n, group in enumerate(self.groups) if c.index in group) for c in CLASSES], np.uint8)

    def allowed(self, mask: npt.NDArray[np.uint8], source: Path) -> npt.NDArray[np.uint8]:
        """Each pixel's classes as a bit field (H, W); raises DatasetError for a value without a meaning."""
        return self._look_up(mask, {value: bits(classes) for value, classes in self.values.items()}, source)

    def grouped(self, mask: npt.NDArray[np.uint8], source: Path) -> npt.NDArray[np.uint8]:
        """Each pixel's `group`, (H, W); raises DatasetError for a value without a meaning."""
        return self._look_up(mask, {value: self.group(classes) for value, classes in self.values.items()}, source)

    def group(self, classes: Sequence[TissueClass]) -> int:
        """The index into `groups` of a value's classes; the number of groups if they are all classes."""
        return int(self.group_of[classes[0].index]) if tells(classes) else len(self.groups)

    def compare(self, true: npt.NDArray[np.uint8], labels: Labels) -> Confusion:
        """Count pixels by (true, predicted) group, of a truth that is grouped."""
        return confusion(true, self.group_of[labels], len(self.groups))

    def _look_up(self, mask: npt.NDArray[np.uint8], table: Mapping[int, int], source: Path) -> npt.NDArray[np.uint8]:
        lookup = np.full(256, _UNKNOWN, np.uint8)
        for value, meaning in table.items():
            lookup[value] = meaning
        result = lookup[mask]
        if (result == _UNKNOWN).any():
            strange = sorted(set(np.unique(mask).tolist()) - set(table))
            told = first_few(list(map(str, strange)))  # a grey picture has nearly all
            raise DatasetError(
                f"{source} has the values {told}, which mask_values does not define: say in dataset.json what they "
                "stand for"
            )
        return result


PLAIN_MEANING = MaskMeaning({c.index: (c,) for c in CLASSES})
"""Mask values that are class indices: what this program writes."""


def classes_in(group: str) -> frozenset[str]:
    """The names of the classes in a group, from the group's name."""
    return frozenset(group.split("+"))


def place_of_group(group: str) -> int:
    """The index of a group's first class, from the group's name; means come last."""
    return next((one.index for one in CLASSES if one.name in classes_in(group)), len(CLASSES))


def is_foreground(group: str) -> bool:
    """Whether a group is without background, by the group's name."""
    return BACKGROUND.name not in classes_in(group)


def tells(classes: Sequence[TissueClass]) -> bool:
    """Whether a mask value for these classes excludes any class."""
    return len(set(classes)) < len(CLASSES)


def _classes(value: str, names: Any) -> tuple[TissueClass, ...]:
    if not isinstance(names, list):
        raise ValueError(f'the value {value} needs a list of classes, like ["{CLASSES[0].name}"], not {names!r}')
    if not names:
        raise ValueError(f"the mask value {value} stands for no class: name all that it may be, or all four")
    return tuple(class_named(name) for name in names)


def _byte(text: str) -> int:
    if not (text.isdecimal() and int(text) <= 255):
        raise ValueError(f"{text} is not a value of an 8-bit mask, 0 to 255")
    return int(text)
