"""The layout of a data set without a description: `image/<patient>/<slice>` beside `mask/<patient>/<slice>`."""

import unicodedata
from collections.abc import Iterator, Sequence, Set
from pathlib import Path

from ctseg.errors import DatasetError
from ctseg.printable import first_few
from ctseg.reading.kind import kind_of, stem_of

_LEFT_BY_BROWSERS = ("thumbs.db", "desktop.ini")


def is_patient_layout(folder: Path) -> bool:
    """Whether a folder is a data set by its folders `image` and `mask`."""
    return (folder / "image").is_dir() and (folder / "mask").is_dir()


def images_with_masks(folder: Path) -> Sequence[tuple[Path, Path]]:
    """Each image with its mask, which has the same name but for the ending; the folder of an image is its patient.

    Raises DatasetError where one is without the other, or a file is not where slices belong.
    """
    images = folder / "image"
    for file in (*images.glob("*"), *images.glob("*/*/**/*")):
        if _is_ours(file, images):
            raise DatasetError(f"{file} is not where slices belong: image/<patient>/<slice>.jpg")
    pictures, masks = _by_stem(images), _by_stem(folder / "mask")
    for stem, image in pictures.items():
        if stem not in masks:
            raise DatasetError(f"{image} has no mask below {folder / 'mask'}")
    for stem in sorted(masks.keys() - pictures.keys()):
        for image in _named_alike(images, stem):
            raise DatasetError(f"{image} has a mask, but is not an image of a kind that can be read: save it as PNG")
        raise DatasetError(f"{masks[stem]} has no slice below {images}: leave it out, or add its slice")
    _check_patients(images, {image.parent.name for image in pictures.values()})
    if not pictures:
        raise DatasetError(f"{images} holds no slices: they belong in image/<patient>/<slice>.jpg")
    return [(image, masks[stem]) for stem, image in pictures.items()]


def _by_stem(folder: Path) -> dict[Path, Path]:
    """The files `<patient>/<file>` by their place without the ending; raises DatasetError where two have the same.

    Accents are composed in it (NFC): macOS takes some names apart that look the same.
    """
    patients = [entry for entry in _listed(folder) if not entry.name.startswith(".")]
    entries = [entry for patient in patients if patient.is_dir() for entry in _listed(patient)]
    for link in sorted([*patients, *entries]):  # else files behind broken links would be left out
        if link.is_symlink() and not link.name.startswith(".") and not link.exists():
            raise DatasetError(f"{link} leads to {link.readlink()}, which does not exist: mount it, or remove the link")
    found: dict[Path, Path] = {}
    for file in (entry for entry in entries if _is_ours(entry, folder)):
        stem = Path(_composed(str(_stem(file, folder))))
        if stem in found:
            is_same = _stem(found[stem], folder) == _stem(file, folder)
            how = "" if is_same else ", which differ only in how accents are encoded"
            raise DatasetError(
                f"{found[stem]} and {file} are the same slice by their names{how}: leave one of them out"
            )
        found[stem] = file
    return found


def _named_alike(images: Path, stem: Path) -> Iterator[Path]:
    """The files below `images` that have this place, whatever their ending."""
    for patient in _listed(images):
        if _composed(patient.name) == stem.parent.name and patient.is_dir():
            yield from (file for file in _listed(patient) if _composed(file.name).startswith(f"{stem.name}."))


def _stem(file: Path, folder: Path) -> Path:
    return file.relative_to(folder).with_name(stem_of(file.name))


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _check_patients(images: Path, known: Set[str]) -> None:
    """Raise DatasetError for the folder of a patient with files of which none is a slice: it would be left out."""
    for patient in (entry for entry in _listed(images) if entry.is_dir() and entry.name not in known):
        files = (file.relative_to(images) for file in patient.rglob("*") if file.is_file())
        if held := sorted(str(file) for file in files if not _is_by_the_way(file)):
            raise DatasetError(
                f"{patient} holds no slice of a kind that can be read, only {first_few(held)}: save its slices as PNG, "
                "or remove the folder"
            )


def _is_by_the_way(file: Path) -> bool:
    """Whether a file is hidden, or is known to be left by file browsers."""
    return any(part.startswith(".") for part in file.parts) or file.name.casefold() in _LEFT_BY_BROWSERS


def _listed(folder: Path) -> Sequence[Path]:
    """What a folder holds, sorted; raises DatasetError, where `glob` would say nothing and leave it out."""
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise DatasetError(f"{folder} can't be listed: {error.strerror}") from error


def _is_ours(file: Path, folder: Path) -> bool:
    """Whether a file below `folder` is of a kind that is read, and not left by a file browser, like Thumbs.db."""
    is_hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
    return not is_hidden and file.is_file() and kind_of(file) is not None
