"""What makes a data set doubtful by itself: slices that are no plain CT, and classes that its masks do not have."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence

from ctseg.classes import CLASSES, TissueClass, bits
from ctseg.datasets.dataset import Dataset
from ctseg.datasets.description import DESCRIPTION
from ctseg.datasets.mask_meaning import MaskMeaning, tells
from ctseg.training.samples import Sample, Samples


def doubtful_slices(data: Samples, samples: Sequence[Sample]) -> Iterator[str]:
    """A line if any of a data set's `samples` are in colour, and one if numbers of any were stretched to grey."""
    if coloured := [sample for sample in samples if sample.image.is_coloured]:
        yield (
            f"{data.dataset.folder} has slices in colour ({_how_many(coloured, samples)}), which CT is not: if their "
            "masks or anything else is painted on them, figures mean nothing; save the plain slices"
        )
    if stretched := [sample for sample in samples if sample.image.is_stretched]:
        yield (
            f"{data.dataset.folder} has slices whose numbers are not of 8 bits and can be no HU "
            f"({_how_many(stretched, samples)}): they are stretched to grey by the range of each folder, so one tissue "
            "may differ between folders; save HU, or 8 bits in a lung window"
        )


def missing_classes(data: Samples, samples: Sequence[Sample], whose: str, consequence: str) -> Iterator[str]:
    """A line if no mask of the `samples` has a class that `mask_values` defines.

    `whose` says what slices these are, `consequence` what follows.
    """
    if not isinstance(data.dataset, Dataset):  # what is known of a series does not come from masks
        return
    values: dict[frozenset[TissueClass], list[str]] = defaultdict(list)  # several may mean the same
    for value, classes in data.meaning.values.items():
        if tells(classes):
            values[frozenset(classes)].append(str(value))
    found = [classes for classes in values if _is_used(classes, samples)]
    missing = frozenset().union(*values).difference(*found)
    if found and missing:
        held = ", ".join(f"{' or '.join(values[classes])} ({_titles(classes)})" for classes in found)
        yield (
            f"{data.dataset.folder}: no mask of {whose} has {_titles(missing)}, only {held}, so {consequence}; if the "
            f"values mean something else, say so in {DESCRIPTION}"
        )


def joined_in_vain(data: Samples) -> Iterator[str]:
    """A line if classes are scored as one because of values that no mask has."""
    samples = [sample for some in data.splits.values() for sample in some]
    held = {
        value: classes
        for value, classes in data.meaning.values.items()
        if len(set(classes)) == 1 or not tells(classes) or _is_used(classes, samples)
    }
    apart = MaskMeaning(held).names
    if joined := [name.replace("+", ", ") for name in data.meaning.names if name not in apart]:
        idle = ", ".join(str(value) for value in data.meaning.values if value not in held)
        yield (
            f"{data.dataset.folder / DESCRIPTION}: {' and '.join(joined)} are scored as one because of value {idle} "
            "of mask_values, which no mask has: remove it"
        )


def _how_many(some: Sequence[Sample], samples: Sequence[Sample]) -> str:
    return f"{len(some):,} of {len(samples):,}, the first is {min(sample.file for sample in some)}"


def _titles(classes: Collection[TissueClass]) -> str:
    return " or ".join(one.title for one in CLASSES if one in classes)


def _is_used(classes: Iterable[TissueClass], samples: Iterable[Sample]) -> bool:
    """Whether any pixel has a mask value for these classes."""
    return any((sample.allowed == bits(classes)).any() for sample in samples)
