"""Data sets in memory: slices with, for each pixel, the classes it may be; split by group, never by slice."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ctseg import reading
from ctseg.classes import BACKGROUND, CLASSES, LESION, NORMAL_LUNG, bits
from ctseg.cleanup import Cleanup, clean_volume
from ctseg.datasets.dataset import Dataset, DatasetSlice, SeriesDataset, Split
from ctseg.datasets.mask_meaning import MaskMeaning
from ctseg.errors import CallError, DatasetError
from ctseg.process.signals import uninterrupted
from ctseg.scan import Slice
from ctseg.training.lung_field import lung_field

_VALIDATION_SHARE = 0.15
_TEST_SHARE = 0.15

HEALTHY_MEANING = MaskMeaning({0: (BACKGROUND,), 1: (NORMAL_LUNG,)})
"""The meaning of masks that are derived for slices without disease."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A slice and its `allowed` classes, a bit field (H, W) of the same size, bit i for class i.

    `soft_labels`: a teacher's probability of each class in 1/255, (rows, columns, classes) uint8 at the teacher's
    working size; None without a teacher.
    """

    image: Slice
    allowed: npt.NDArray[np.uint8]
    dataset: str
    group: str
    file: Path
    soft_labels: npt.NDArray[np.uint8] | None = None

    @property
    def is_labelled(self) -> bool:
        """Whether the label excludes any class anywhere."""
        return bool((self.allowed != bits(CLASSES)).any())


class Drawn(NamedTuple):
    """A sample as drawn for a step of training: `grey` values 0..255, float32, and `allowed` classes, (canvas, canvas).

    `soft_labels`: a teacher's, (canvas, canvas, classes).
    """

    grey: npt.NDArray[np.float32]
    allowed: npt.NDArray[np.uint8]
    soft_labels: npt.NDArray[np.uint8] | None


@dataclass(frozen=True)
class Samples:
    """The labelled slices of one data set, by split.

    `unlabelled`: slices of training groups whose labels tell no pixel from another, or in a series may show disease;
    they are of use only with a teacher's soft labels. Those of other groups are of no use. `held_out` are the groups
    that do not train, also those without a labelled slice.
    """

    dataset: Dataset | SeriesDataset
    meaning: MaskMeaning
    splits: dict[Split, tuple[Sample, ...]]
    unlabelled: tuple[Sample, ...] = ()
    held_out: frozenset[str] = frozenset()

    def for_a_teacher(self) -> "Samples":
        """The same with the unlabelled slices among those to train on."""
        train = self.splits["train"] + self.unlabelled
        return replace(self, splits={**self.splits, "train": train}, unlabelled=())


def load_samples(
    dataset: Dataset | SeriesDataset, seed: int, validation_groups: Collection[str] | None = ()
) -> Samples:
    """Read a data set into memory and split it.

    With None for `validation_groups` every group trains. Else these validate in any case, and the `split` column of the
    index decides on the others, in whichever row of a group. All others train or, if none of the data set's groups is
    named, 70 % train, 15 % validate and 15 % test, drawn by `seed`; a group without any label trains. Raises
    DatasetError.
    """
    named = validation_groups or ()
    found: list[tuple[Sample, Split | None]]
    if isinstance(dataset, SeriesDataset):
        series = list(_series_samples(dataset))
        found = [(sample, None) for sample, _ in series]
        unlabelled = {sample.file for sample, told in series if not told}
        meaning = HEALTHY_MEANING
    else:
        if validation_groups is not None:
            _check_groups(one for one in dataset.slices if one.group not in named)
        with ThreadPoolExecutor() as pool:
            reads = dict(_reads(dataset))
            with uninterrupted():
                samples = pool.map(lambda one: _masked_sample(dataset, one, reads[one.image]), dataset.slices)
            found = list(zip(samples, (s.split for s in dataset.slices), strict=True))
        meaning, unlabelled = dataset.meaning, {sample.file for sample, _ in found if not sample.is_labelled}
    of_group = {sample.group: split for sample, split in found if split}
    undecided = {sample.group for sample, _ in found if sample.file not in unlabelled} - of_group.keys()
    is_named = any(sample.group in named for sample, _ in found)
    drawn: dict[str, Split] = dict.fromkeys(undecided, "train") if is_named else split_groups(undecided, seed)
    splits: dict[Split, list[Sample]] = {"train": [], "val": [], "test": []}
    for sample, said in found:
        split = said or of_group.get(sample.group) or drawn.get(sample.group, "train")
        splits["train" if validation_groups is None else "val" if sample.group in named else split].append(sample)
    told = {split: tuple(s for s in samples if s.file not in unlabelled) for split, samples in splits.items()}
    held_out = frozenset(sample.group for sample in splits["val"] + splits["test"])
    return Samples(dataset, meaning, told, tuple(s for s in splits["train"] if s.file in unlabelled), held_out)


def check_known(loaded: Iterable[Samples], named: Collection[str]) -> None:
    """Raise CallError for a validation group that does not exist: if it is misspelt, the one meant would train."""
    unknown = set(named).difference(*(data.dataset.groups for data in loaded))
    if unknown:
        raise CallError(f"--validation-group {min(unknown)}: no data set has a group (patient) of that name")


def training_slices(datasets: Iterable[Samples]) -> list[tuple[Sample, ...]]:
    """The training slices of each data set that has any."""
    return [data.splits["train"] for data in datasets if data.splits["train"]]


def split_groups(groups: Iterable[str], seed: int) -> dict[str, Split]:
    """Draw train, validation and test groups, 70 : 15 : 15; one group trains, two train and validate."""
    # By hash, so that adding or removing a patient moves hardly any other.
    seeded = {group: f"{seed}/{group}".encode(errors="surrogateescape") for group in groups}
    ordered = sorted(seeded, key=lambda group: blake2b(seeded[group], digest_size=8).digest())
    validate = max(round(_VALIDATION_SHARE * len(ordered)), 1 if len(ordered) > 1 else 0)
    test = max(round(_TEST_SHARE * len(ordered)), 1 if len(ordered) > 2 else 0)
    return {
        group: "val" if index < validate else "test" if index < validate + test else "train"
        for index, group in enumerate(ordered)
    }


def _reads(dataset: Dataset) -> Iterator[tuple[Path, Callable[[], Slice]]]:
    """A reader for each image, as one of its folder, which decides as a whole whether it is HU."""
    folders: dict[Path, list[Path]] = defaultdict(list)
    for one in dataset.slices:
        folders[one.image.parent].append(one.image)
    for images in map(reading.open_images, folders.values()):
        yield from ((file, partial(images.read, index)) for index, file in enumerate(images.files))


def _masked_sample(dataset: Dataset, one: DatasetSlice, read: Callable[[], Slice]) -> Sample:
    picture = read()
    allowed = dataset.meaning.allowed(reading.read_mask(one.mask), one.mask)
    if allowed.shape != picture.pixels.shape:
        raise DatasetError(f"{one.mask} is {allowed.shape}, its slice {picture.pixels.shape}: sizes must agree")
    return Sample(picture, allowed, dataset.name, one.group, one.image)


def _series_samples(dataset: SeriesDataset) -> Iterable[tuple[Sample, bool]]:
    """All slices, and whether their pixels are labelled: only if disease is ruled out; then HU tell where lung is."""
    for name, labels in dataset.labels.items():
        folder = dataset.folder / name
        files = sorted(f for f in folder.iterdir() if f.is_file()) if folder.is_dir() else []
        found = reading.open_series([file for file in files if reading.kind_of(file) == "dicom"])
        if found.failed:
            raise found.failed[0]
        if not found.series:
            raise DatasetError(f"{folder} holds no slices of a series")
        if lost := labels.keys() - {file.name for series in found.series for file in series.files}:
            file = folder / min(lost)
            reason = dict(found.skipped).get(file, "it is not a DICOM file" if file in files else "it does not exist")
            raise DatasetError(f"{file} has a slice label, but is not a slice of the series: {reason}")
        for series in found.series:
            with ThreadPoolExecutor() as pool:
                with uninterrupted():
                    read = pool.map(series.read, range(len(series)))
                slices = [one.upright() for one in read]
                fields = list(pool.map(lambda s: lung_field(s.pixels.astype(np.int16)), slices))
            if len({field.shape for field in fields}) > 1:
                raise DatasetError(f"{folder} holds a series of slices of several sizes: leave some out")
            # Bowel gas and pieces of airways look like lung in a slice, but not in the whole scan.
            lungs = clean_volume([field.astype(np.uint8) for field in fields], Cleanup(volume_fraction=0.05))
            for file, picture, lung in zip(series.files, slices, lungs, strict=True):
                if file.name not in labels:
                    raise DatasetError(f"{file} has no row in the table of slice labels of {dataset.name}")
                possible = labels[file.name]
                told, by_hu = not possible & bits(LESION), possible == bits([BACKGROUND, NORMAL_LUNG])
                if by_hu and picture.domain != "hu":
                    raise DatasetError(
                        f"{file} is not in Hounsfield units, which separate lung from the rest where disease is ruled "
                        "out"
                    )
                allowed = HEALTHY_MEANING.allowed(lung, file) if by_hu else np.full_like(lung, possible)
                yield Sample(picture, allowed, dataset.name, name, file), told


def _check_groups(slices: Iterable[DatasetSlice]) -> None:
    """Raise DatasetError where the index puts a group into two splits."""
    first: dict[str, DatasetSlice] = {}
    for one in slices:
        if one.split and (other := first.setdefault(one.group, one)).split != one.split:
            raise DatasetError(
                f"{one.where} puts the group (patient) {one.group} into {one.split}, but {other.where} into "
                f"{other.split}: give all rows of a group the same split"
            )
