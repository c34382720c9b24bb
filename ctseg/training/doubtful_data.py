"""What makes a data set doubtful by itself: slices that are no plain CT."""

from collections.abc import Iterator, Sequence

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


def _how_many(some: Sequence[Sample], samples: Sequence[Sample]) -> str:
    return f"{len(some):,} of {len(samples):,}, the first is {min(sample.file for sample in some)}"
