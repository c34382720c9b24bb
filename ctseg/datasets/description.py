"""The description of a data set, `dataset.json`: reading it, and saying what is wrong with it."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from ctseg.datasets.mask_meaning import MaskMeaning
from ctseg.errors import DatasetError

DESCRIPTION = "dataset.json"
_ALIKE = 0.85
WHERE_TOLD = ": docs/training.md describes the format"


@dataclass(frozen=True, slots=True)
class Description:
    """The JSON object that a `dataset.json`, the `source`, consists of, or one within it."""

    source: Path
    values: Mapping[str, Any]

    def __contains__(self, key: str) -> bool:
        return key in self.values

    def text(self, key: str) -> str:
        """The string under `key`; raises DatasetError if it is missing or something else."""
        return str(self._said(key, str, "a string"))

    def part(self, key: str) -> "Description":
        """The object under `key`; raises DatasetError if it is missing or something else."""
        return Description(self.source, self._said(key, dict, "an object"))

    def mask_meaning(self) -> MaskMeaning:
        """What `mask_values` says; raises DatasetError if it is missing or makes no sense."""
        return MaskMeaning.parse(self.part("mask_values").values, self.source)

    @property
    def licence(self) -> str:
        """Of the data; empty if it is not given."""
        return str(self.values.get("licence", ""))

    @property
    def citation(self) -> str:
        """The source of the data; empty if it is not given."""
        return str(self.values.get("citation", ""))

    def check_spelling(self, known: Set[str]) -> None:
        """Raise DatasetError where a `known` key is slightly misspelt (`license`): it would be passed over."""
        for key in self.values.keys() - known:
            if meant := get_close_matches(key.casefold(), known - self.values.keys(), n=1, cutoff=_ALIKE):
                raise DatasetError(f"{self.source} says {key!r}: write {meant[0]!r}")

    def _said(self, key: str, kind: type, called: str) -> Any:
        if key not in self.values:
            raise DatasetError(f"{self.source} has no key {key!r}{WHERE_TOLD}")
        said = self.values[key]
        if not isinstance(said, kind):
            raise DatasetError(f"{self.source} has {json.dumps(said)} under {key!r}, not {called}{WHERE_TOLD}")
        return said


def read_description(folder: Path) -> Description | None:
    """The description in a folder; None if its `dataset.json` is no JSON object, and so perhaps another program's.

    Raises DatasetError if there is no such file, or it can't be read.
    """
    source = folder / DESCRIPTION
    try:
        written = source.read_text(encoding="utf-8-sig")  # some editors put a mark in front
        values = json.loads(written, object_pairs_hook=_without_repeats)
    except (OSError, ValueError, RecursionError) as error:
        raise DatasetError(f"{source} can't be read: {error}") from error
    return Description(source, values) if isinstance(values, dict) else None


def _without_repeats(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; raises ValueError for one that says something twice, of which JSON would keep the last."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise ValueError(f"{twice!r} occurs twice")
    return found
