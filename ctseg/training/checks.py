"""Checks of data sets before a network is trained on them or scored by them."""

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from itertools import combinations

import numpy as np

from ctseg.datasets.description import DESCRIPTION
from ctseg.errors import CallError, DatasetError
from ctseg.training.doubtful_data import doubtful_slices, joined_in_vain, missing_classes
from ctseg.training.recipe import Recipe
from ctseg.training.samples import Sample, Samples

_LEAST_CONTENT = 0.01
"""A slice with a smaller share of pixels that differ from its commonest value may be equal in several patients."""


def check_enough(loaded: Sequence[Samples], recipe: Recipe, *, is_judged: bool) -> None:
    """Raise DatasetError if there is nothing to train or validate on, CallError for too small a batch."""
    learnt = [data for data in loaded if data.splits["train"]]
    if not learnt and any(data.unlabelled for data in loaded):
        raise DatasetError(
            "by their labels, all training slices may show disease anywhere: they are useful only with a --teacher"
        )
    if not learnt:
        raise DatasetError("no slice is left to train on: there are too few groups (patients)")
    if is_judged and not any(data.splits["val"] for data in loaded):
        raise DatasetError(
            "no labelled slice is left to validate on: name groups (patients) with --validation-group, say `val` in "
            "the index, or hold none out with --all-groups"
        )
    if recipe.sampling == "balanced" and recipe.batch_size < len(learnt):
        raise CallError(
            f"--batch-size {recipe.batch_size} is too small: each step takes a slice of each of {len(learnt)} data sets"
        )
    sets_in_a_batch = len(learnt) if recipe.sampling == "balanced" else 1
    if recipe.cutmix and recipe.batch_size <= sets_in_a_batch:
        raise CallError(
            f"--cutmix mixes slices of one data set, but no batch has two of any set: --batch-size "
            f"{2 * sets_in_a_batch} has two of each"
        )
    for data in loaded:
        if data.splits["val"] or data.splits["test"]:
            check_tells_apart(data)


def check_tells_apart(data: Samples) -> None:
    """Raise DatasetError if the truth tells no classes apart, so that any mask would be right."""
    if len(data.meaning.groups) == 1:
        raise DatasetError(
            f"{data.dataset.folder / DESCRIPTION}: its mask_values distinguish no two classes, so there is nothing to "
            "score: give each value only the classes that it may stand for"
        )


def doubts(loaded: Iterable[Samples]) -> Iterator[str]:
    """A line for everything that makes the figures of a run doubtful."""
    sides: dict[str, list[Sample]] = defaultdict(list)
    for data in loaded:
        yield from doubtful_slices(data, [sample for some in data.splits.values() for sample in some])
        yield from missing_classes(
            data, data.splits["train"], "its training slices", "the network can't learn this from them"
        )
        yield from joined_in_vain(data)
        if data.unlabelled and not data.splits["train"]:
            yield (
                f"{data.dataset.folder}: nothing is learnt from it without a --teacher: by their labels, all its "
                "training slices may show disease anywhere"
            )
        for split, samples in data.splits.items():
            sides[split] += samples
    yield from leaks(sides)


def leaks(sides: Mapping[str, Iterable[Sample]]) -> Iterator[str]:
    """A line for any two groups on different sides that may be one patient, by their names or by equal slices."""
    by_name: dict[tuple[str, str], set[tuple[str, str]]] = defaultdict(set)
    by_pixels: dict[bytes, list[tuple[str, Sample]]] = defaultdict(list)
    for side, samples in sides.items():
        for sample in samples:
            by_name[sample.dataset, _folded(sample.group)].add((side, sample.group))
            for digest in _digests(sample):
                by_pixels[digest].append((side, sample))
    for (dataset, _), groups in sorted(by_name.items()):
        for (side, one), (other_side, other) in combinations(sorted(groups, key=lambda group: group[1]), 2):
            if one != other and side != other_side:
                yield (
                    f"the groups (patients) {one} ({side}) and {other} ({other_side}) of {dataset} have names that "
                    "differ only in case or the encoding of accents: if they are one patient, figures are too good; "
                    "give both the same name"
                )
    yield from _equal_slices(by_pixels.values())


def _equal_slices(found: Iterable[Sequence[tuple[str, Sample]]]) -> Iterator[str]:
    pairs: dict[tuple[tuple[str, str], ...], list[tuple[str, str]]] = defaultdict(list)
    for equal in found:
        if len({side for side, _ in equal}) > 1 and _has_content(equal[0][1]):
            for (side, one), (other_side, other) in combinations(equal, 2):
                if side != other_side:
                    groups = (one.dataset, one.group), (other.dataset, other.group)
                    pair = f"{one.file} ({side})", f"{other.file} ({other_side})"
                    if pair not in pairs[groups]:
                        pairs[groups].append(pair)
    for files in pairs.values():
        more = f", and {len(files) - 1} more of the same two patients" if len(files) > 1 else ""
        yield (
            f"{files[0][0]} and {files[0][1]} are the same slice{more}: figures on training data are "
            "too good; put both into one group (patient), or leave one out"
        )


def _folded(name: str) -> str:
    """A name normalised for case and for the composition of letters."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _digests(sample: Sample) -> Iterator[bytes]:
    """Of the pixels; and of the file where numbers above 8 bits became grey by the range of all in their folder."""
    pixels = sample.image.pixels
    found = blake2b(f"{sample.image.domain} {pixels.shape}".encode(), digest_size=16)
    found.update(pixels.astype(np.float32).tobytes())  # the same HU may be int16 in one file and float in another
    yield found.digest()
    if sample.image.is_stretched:
        yield blake2b(sample.file.read_bytes(), digest_size=16).digest()


def _has_content(sample: Sample) -> bool:
    counts = np.unique(sample.image.pixels, return_counts=True)[1]
    return bool(counts.max() <= (1 - _LEAST_CONTENT) * sample.image.pixels.size)
