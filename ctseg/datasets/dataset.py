"""Data sets: which slices and masks a folder holds, of which patients, and what the mask values stand for."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from ctseg.classes import TissueClass, bits
from ctseg.datasets.description import DESCRIPTION, WHERE_TOLD, Description, read_description
from ctseg.datasets.mask_meaning import PLAIN_MEANING, MaskMeaning
from ctseg.datasets.patient_folders import images_with_masks, is_patient_layout
from ctseg.datasets.tables import Row, read_rows
from ctseg.errors import DatasetError

Split = Literal["train", "val", "test"]


@dataclass(frozen=True, slots=True)
class DatasetSlice:
    """One slice of a data set: `group` (the patient) is never split; `split` is None where the index has none.

    `where`: the line of the index that it is from; empty without an index.
    """

    image: Path
    mask: Path
    group: str
    split: Split | None = None
    where: str = ""


@dataclass(frozen=True)
class Dataset:
    """A folder of slices with masks."""

    name: str
    folder: Path
    meaning: MaskMeaning
    slices: tuple[DatasetSlice, ...]
    licence: str = ""
    citation: str = ""

    @property
    def groups(self) -> frozenset[str]:
        """The groups (patients)."""
        return frozenset(one.group for one in self.slices)

    def holds(self, path: Path) -> bool:
        """Whether a path is the data set itself, or is among its slices or masks."""
        return _is_among(path, self.folder, {file.parent for one in self.slices for file in (one.image, one.mask)})


@dataclass(frozen=True)
class SeriesDataset:
    """A folder of DICOM series without masks; tables say which classes the pixels of each slice may be.

    `labels[series][file name]` is the bit field of the classes that the pixels of that slice may be.
    """

    name: str
    folder: Path
    labels: Mapping[str, Mapping[str, int]]
    licence: str = ""
    citation: str = ""

    @property
    def groups(self) -> frozenset[str]:
        """The groups (patients), one for each series."""
        return frozenset(self.labels)

    def holds(self, path: Path) -> bool:
        """Whether a path is the data set itself, or is among its slices."""
        return _is_among(path, self.folder, {self.folder / series for series in self.labels})


def read_dataset(folder: Path) -> Dataset | SeriesDataset:
    """Read a folder with a `dataset.json`, or one laid out as `image/<patient>/<slice>`, `mask/<patient>/<slice>`.

    The latter goes by its own name, and its masks' values are class indices. Raises DatasetError where there is
    neither, or where the description and the files do not fit together.
    """
    if (folder / DESCRIPTION).is_file():
        described = read_description(folder)
        if described is None:
            raise DatasetError(f"{folder / DESCRIPTION} does not contain a JSON object{WHERE_TOLD}")
        described.check_spelling({"licence", "citation"})  # all others have to be there
        return _series_dataset(folder, described) if "series" in described else _described(folder, described)
    if is_patient_layout(folder):
        slices = (DatasetSlice(image, mask, image.parent.name) for image, mask in images_with_masks(folder))
        return Dataset(folder.resolve().name, folder, PLAIN_MEANING, tuple(slices))
    alike = all((folder / name).is_dir() for name in ("images", "masks"))
    hint = f"; for images/ and masks/, an index and a {DESCRIPTION} say what they hold{WHERE_TOLD}" if alike else ""
    raise DatasetError(
        f"{folder} is not a data set: it has neither {DESCRIPTION} nor the folders image/ and mask/{hint}"
    )


def read_datasets(folders: Sequence[Path]) -> list[Dataset | SeriesDataset]:
    """Some data sets to be used together; raises DatasetError, also where two go by one name."""
    found: dict[str, Dataset | SeriesDataset] = {}
    for folder in folders:
        dataset = read_dataset(folder)
        if other := found.get(dataset.name):
            raise DatasetError(
                f"{other.folder} and {folder} are both data sets named {dataset.name!r}: their figures and patients "
                f"would be mixed up. Rename a folder, or give it a {DESCRIPTION} with another name"
            )
        found[dataset.name] = dataset
    return list(found.values())


def mask_folders(folders: Iterable[Path]) -> set[Path]:
    """The folders of masks, as real paths, of those folders that are data sets; raises DatasetError."""
    found = set()
    for folder in folders:
        if is_patient_layout(folder):
            found.add((folder / "mask").resolve())
        if (folder / DESCRIPTION).is_file():
            described = read_description(folder)
            if described and "masks" in described:
                found.add((folder / str(described.values["masks"])).resolve())
    return found


def meaning_beside(folder: Path) -> MaskMeaning:
    """The meaning of the masks in `folder`: from a `dataset.json` there or a level up, else class indices."""
    for one in around(folder):
        if (one / DESCRIPTION).is_file():
            described = read_description(one)
            if described:
                described.check_spelling({"mask_values"})
                if "mask_values" in described:
                    return described.mask_meaning()
    return PLAIN_MEANING


def around(folder: Path) -> list[Path]:
    """A folder, and that above it; where it is a link, also that above what it leads to."""
    return list(dict.fromkeys([folder, Path(os.path.abspath(folder)).parent, folder.resolve().parent]))  # noqa: PTH100


def _described(folder: Path, described: Description) -> Dataset:
    name, images, masks, index, group = map(described.text, ("name", "images", "masks", "index", "group"))
    meaning = described.mask_meaning()
    if (folder / images).resolve() == (folder / masks).resolve():
        raise DatasetError(
            f"{described.source} gives the same folder {images!r} under 'images' and 'masks', so each slice would be "
            "its own mask: name the folder of the masks"
        )
    slices: dict[str, DatasetSlice] = {}
    for row in read_rows(folder / index, ("file", group), optional=("split",)):
        image, mask = folder / images / row["file"], folder / masks / row["file"]
        for file in (image, mask):
            if not file.is_file():
                raise DatasetError(f"{row.where} names {file}, which does not exist")
        # A slice listed under two groups could be both learnt from and scored on, so spellings of one path count as
        # one. Links are not followed: in content-addressed storage, two slices may be one file.
        spelt = os.path.normpath(image)
        if spelt in slices:
            raise DatasetError(f"{row.where} names {image} again: leave one of the rows out")
        if spelt == os.path.normpath(mask):  # of an absolute path, and of one that leads out of the folder and back in
            raise DatasetError(
                f"{row.where} names {row['file']}, which would be a slice and its own mask: write its path below "
                f"{folder / images}"
            )
        slices[spelt] = DatasetSlice(image, mask, row[group], _split_of(row), row.where)
    if not slices:
        raise DatasetError(f"{folder / index} names no slices")
    return Dataset(name, folder, meaning, tuple(slices.values()), described.licence, described.citation)


def _split_of(row: Row) -> Split | None:
    """The split that a row gives; raises DatasetError for another word, with the one that is meant."""
    if not (written := row.get("split")):
        return None
    splits: tuple[Split, ...] = get_args(Split)
    for split in splits:
        if written == split:
            return split
    meant = next((split for split in splits if written.casefold().startswith(split)), None)
    cure = f"write {meant!r}" if meant else f"write one of {', '.join(splits)}, or nothing"
    raise DatasetError(f"{row.where} has the split {written!r}: {cure}")


def _series_dataset(folder: Path, described: Description) -> SeriesDataset:
    series, how = described.part("series"), described.part("slice_labels")
    column = how.text("column")
    meanings = MaskMeaning.parse({k: v for k, v in how.values.items() if k != "column"}, described.source).values
    labels = {one: _slice_labels(folder / series.text(one), column, meanings) for one in series.values}
    return SeriesDataset(described.text("name"), folder, labels, described.licence, described.citation)


def _slice_labels(table: Path, column: str, meanings: Mapping[int, Sequence[TissueClass]]) -> dict[str, int]:
    """The bit field of each file that a table of slice labels names."""
    labels: dict[str, int] = {}
    for row in read_rows(table, ("file", column)):
        file, label = row["file"], row[column]
        if not (label.isdecimal() and int(label) in meanings):
            known = ", ".join(map(str, meanings))
            raise DatasetError(f"{row.where} has {label!r} under {column!r}: {DESCRIPTION} defines only {known}")
        if file in labels:
            raise DatasetError(f"{row.where} names {file} again: leave one of the rows out")
        labels[file] = bits(meanings[int(label)])
    return labels


def _is_among(path: Path, dataset: Path, folders: Iterable[Path]) -> bool:
    """Whether a path is a data set, or is in any of the folders of its files, up to those right below it."""
    real, home = path.resolve(), dataset.resolve()
    tops = set()
    for folder in folders:
        is_below = folder != dataset and folder.is_relative_to(dataset)
        top = (dataset / folder.relative_to(dataset).parts[0] if is_below else folder).resolve()
        tops.add(folder.resolve() if home.is_relative_to(top) else top)
    above = {top for top in tops if home.is_relative_to(top)}
    return real in {home, *above} or any(real.is_relative_to(top) for top in tops - above)
