"""Which groups (patients) a network learnt from, so that none of them is taken for one that it has not seen."""

import json
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any

from ctseg.errors import ModelError


def group_digest(dataset: str, group: str) -> str:
    """A digest by which a model file recognises a group without holding its name, which may be a patient's."""
    return blake2b(json.dumps([dataset, group]).encode(), digest_size=8).hexdigest()


def learnt_groups(datasets: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """The digests of the groups that a network learnt from, by its checkpoint's or model file's list of data sets.

    Raises ModelError if that does not list them.
    """
    try:
        return frozenset(digest for described in datasets for digest in described["learnt_from"])
    except (LookupError, TypeError) as error:
        raise ModelError(
            "the model's list of data sets lacks the patients that it was trained on: export it again"
        ) from error
