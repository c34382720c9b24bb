"""Data sets and their description, `dataset.json`: where slices and masks are, what mask values stand for."""

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from difflib import get_close_matches
from glob import escape
from pathlib import Path
from typing import Any

from ctseg.classes import TissueClass, bits
from ctseg.dataset_tables import read_rows
from ctseg.errors import DatasetError
from ctseg.mask_meaning import PLAIN_MEANING, MaskMeaning
from ctseg.reading.kind import kind_of, stem_of

DESCRIPTION = "dataset.json"
_ALIKE = 0.85
_WHERE_TOLD = ": docs/training.md describes the format"


@dataclass(frozen=True, slots=True)
class DatasetSlice:
    """One slice of a data set: `group` (the patient) is never split; `split` is empty where the index has none."""

    image: Path
    mask: Path
    group: str
    split: str = ""


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


def is_patient_layout(folder: Path) -> bool:
    """Whether a folder is a data set by its folders `image` and `mask`; it then goes by its own name."""
    return (folder / "image").is_dir() and (folder / "mask").is_dir()


def read_dataset(folder: Path) -> Dataset | SeriesDataset:
    """Read a folder with a `dataset.json`, or one laid out as `image/<patient>/<slice>`, `mask/<patient>/<slice>`.

    Raises DatasetError where there is neither, or where the description and the files do not fit together.
    """
    if (folder / DESCRIPTION).is_file():
        described = read_description(folder)
        if not isinstance(described, dict):
            raise DatasetError(f"{folder / DESCRIPTION} does not contain a JSON object{_WHERE_TOLD}")
        _check_keys(described, {"licence", "citation"}, folder / DESCRIPTION)  # all others have to be there
        return _series_dataset(folder, described) if "series" in described else _described(folder, described)
    if is_patient_layout(folder):
        return _patient_folders(folder)
    raise DatasetError(f"{folder} is not a data set: it has neither {DESCRIPTION} nor the folders image/ and mask/")


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
            if isinstance(described, dict) and "masks" in described:
                found.add((folder / str(described["masks"])).resolve())
    return found


def meaning_beside(folder: Path) -> MaskMeaning:
    """The meaning of the masks in `folder`: from a `dataset.json` there or a level up, else class indices."""
    for one in around(folder):
        if (one / DESCRIPTION).is_file():
            described = read_description(one)
            if isinstance(described, dict):
                _check_keys(described, {"mask_values"}, one / DESCRIPTION)
                if "mask_values" in described:
                    return _meaning(described, one / DESCRIPTION)
    return PLAIN_MEANING


def around(folder: Path) -> list[Path]:
    """A folder, and that above it; where it is a link, also that above what it leads to."""
    return list(dict.fromkeys([folder, Path(os.path.abspath(folder)).parent, folder.resolve().parent]))  # noqa: PTH100


def _described(folder: Path, described: Mapping[str, Any]) -> Dataset:
    source = folder / DESCRIPTION
    name, images, masks, index, group = (
        _text(described, key, source) for key in ("name", "images", "masks", "index", "group")
    )
    meaning = _meaning(described, source)
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
        slices[spelt] = DatasetSlice(image, mask, row[group], row.get("split"))
    if not slices:
        raise DatasetError(f"{folder / index} names no slices")
    return Dataset(name, folder, meaning, tuple(slices.values()), *_provenance(described))


def _series_dataset(folder: Path, described: Mapping[str, Any]) -> SeriesDataset:
    source = folder / DESCRIPTION
    series, how = (_part(described, key, source) for key in ("series", "slice_labels"))
    column = _text(how, "column", source)
    meanings = MaskMeaning.parse({k: v for k, v in how.items() if k != "column"}, source).values
    labels = {one: _slice_labels(folder / _text(series, one, source), column, meanings) for one in series}
    return SeriesDataset(_text(described, "name", source), folder, labels, *_provenance(described))


def _meaning(described: Mapping[str, Any], source: Path) -> MaskMeaning:
    return MaskMeaning.parse(_part(described, "mask_values", source), source)


def _text(described: Mapping[str, Any], key: str, source: Path) -> str:
    return str(_said(described, key, str, "a string", source))


def _part(described: Mapping[str, Any], key: str, source: Path) -> Mapping[str, Any]:
    return dict(_said(described, key, dict, "an object", source))


def _said(described: Mapping[str, Any], key: str, kind: type, called: str, source: Path) -> Any:
    """The value of a description under `key`; raises DatasetError if it is missing or of another type."""
    if key not in described:
        raise DatasetError(f"{source} has no key {key!r}{_WHERE_TOLD}")
    if not isinstance(described[key], kind):
        raise DatasetError(f"{source} has {json.dumps(described[key])} under {key!r}, not {called}{_WHERE_TOLD}")
    return described[key]


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


def _patient_folders(folder: Path) -> Dataset:
    """`image/<patient>/<slice>.jpg` beside `mask/<patient>/<slice>.png`; the masks' values are class indices."""
    images = folder / "image"
    for file in (*images.glob("*"), *images.glob("*/*/**/*")):
        if _is_ours(file, images):
            raise DatasetError(f"{file} is not where slices belong: image/<patient>/<slice>.jpg")
    pictures, masks = _by_stem(images), _by_stem(folder / "mask")
    slices = []
    for stem, image in pictures.items():
        if stem not in masks:
            raise DatasetError(f"{image} has no mask below {folder / 'mask'}")
        slices.append(DatasetSlice(image, masks[stem], image.parent.name))
    for stem in sorted(masks.keys() - pictures.keys()):
        for image in (images / stem.parent).glob(f"{escape(stem.name)}.*"):
            raise DatasetError(f"{image} has a mask, but is not an image of a kind that can be read: save it as PNG")
        raise DatasetError(f"{masks[stem]} has no slice below {images}: leave it out, or add its slice")
    if not slices:
        raise DatasetError(f"{images} holds no slices: they belong in image/<patient>/<slice>.jpg")
    return Dataset(folder.resolve().name, folder, PLAIN_MEANING, tuple(slices))


def _by_stem(folder: Path) -> dict[Path, Path]:
    """The files `<patient>/<file>` by their place without the ending; raises DatasetError where two have the same."""
    for link in sorted([*folder.glob("*"), *folder.glob("*/*")]):  # else files behind broken links would be left out
        if link.is_symlink() and not link.name.startswith(".") and not link.exists():
            raise DatasetError(f"{link} leads to {link.readlink()}, which does not exist: mount it, or remove the link")
    found: dict[Path, Path] = {}
    for file in sorted(file for file in folder.glob("*/*") if _is_ours(file, folder)):
        stem = file.relative_to(folder).with_name(stem_of(file.name))
        if stem in found:
            raise DatasetError(f"{found[stem]} and {file} are the same slice by their names: leave one of them out")
        found[stem] = file
    return found


def _is_ours(file: Path, folder: Path) -> bool:
    """Whether a file below `folder` is of a kind that is read, and not left by a file browser, like Thumbs.db."""
    is_hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
    return not is_hidden and file.is_file() and kind_of(file) is not None


def _check_keys(described: Mapping[str, Any], known: Set[str], source: Path) -> None:
    """Raise DatasetError where one of the `known` keys is slightly misspelt (`license`): it would be passed over."""
    for key in described.keys() - known:
        if meant := get_close_matches(key.casefold(), known - described.keys(), n=1, cutoff=_ALIKE):
            raise DatasetError(f"{source} says {key!r}: write {meant[0]!r}")


def _provenance(described: Mapping[str, Any]) -> tuple[str, str]:
    return str(described.get("licence", "")), str(described.get("citation", ""))


def read_description(folder: Path) -> Any:
    """What a folder's `dataset.json` holds; raises DatasetError where it can't be read."""
    try:
        written = (folder / DESCRIPTION).read_text(encoding="utf-8-sig")  # some editors put a mark in front
        return json.loads(written, object_pairs_hook=_without_repeats)
    except (OSError, ValueError, RecursionError) as error:
        raise DatasetError(f"{folder / DESCRIPTION} can't be read: {error}") from error


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


def _without_repeats(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; raises ValueError for one that says something twice, of which JSON would keep the last."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise ValueError(f"{twice!r} occurs twice")
    return found
