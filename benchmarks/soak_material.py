"""What the soak works on: scans of phantoms in four formats, and a hundredth of the files spoilt in known ways."""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from material import SLICES_A_SERIES, make_material
from shared import read_picture

from ctseg.phantom import Phantom, write_nifti

PHANTOMS = 4
FAULTY = 0.01
KINDS = ("png", "jpeg", "dicom", "nifti")

Spoil = Callable[[Path, bytes], object]


@dataclass(frozen=True)
class Planted:
    """How many slices there are in all; which files were spoilt and how, and how many slices each takes with it."""

    slices: int
    faults: Mapping[str, str]
    lost: Mapping[str, int]


def plant(pool: Path, folder: Path, slices: int) -> Planted:
    """Fill `folder` with scans of 40 slices, PNG, JPEG, DICOM and NIfTI in turn, and spoil a hundredth of the files."""
    make_pool(pool)
    for number in range(slices // SLICES_A_SERIES):
        kind, phantom = KINDS[number % len(KINDS)], number // len(KINDS) % PHANTOMS
        for source in sorted((pool / kind / str(phantom)).iterdir()):
            place = folder / f"{number:04} {kind}" / source.name
            place.parent.mkdir(parents=True, exist_ok=True)
            os.link(source, place)
    faults = {file.relative_to(folder).as_posix(): spoil(file, how) for file, how in chosen(folder)}
    return Planted(
        slices=slices // SLICES_A_SERIES * SLICES_A_SERIES,
        faults=faults,
        lost={name: SLICES_A_SERIES if is_volume(name) else 1 for name in faults},
    )


def make_pool(pool: Path) -> None:
    """The distinct files: each phantom as a folder of PNGs, of JPEGs, of DICOM slices, and as a NIfTI volume."""
    made = make_material(pool, PHANTOMS)
    for seed in range(PHANTOMS):
        (pool / "jpeg" / str(seed)).mkdir(parents=True)
        for file in sorted((made.png / str(seed)).iterdir()):
            grey = read_picture(file)
            cv2.imwrite(str(pool / "jpeg" / str(seed) / f"{file.stem}.jpg"), grey)
        phantom = Phantom(seed=seed, slices=SLICES_A_SERIES, disease=0.1)
        write_nifti(phantom, pool / "nifti" / str(seed) / "ct.nii.gz")


def chosen(folder: Path) -> Iterator[tuple[Path, str]]:
    """Files to spoil and how: a hundredth of the slices' files and of the volumes, at least one of each."""
    rng = np.random.default_rng(0)
    files = sorted(f for f in folder.rglob("*") if f.is_file())
    for group, ways in (
        ([f for f in files if not is_volume(f.name)], [*SPOILT]),
        ([f for f in files if is_volume(f.name)], ["cut off"]),
    ):
        picked = rng.choice(len(group), max(1, round(FAULTY * len(group))), replace=False)
        for count, index in enumerate(sorted(picked)):
            yield group[index], ways[count % len(ways)]


def is_volume(name: str) -> bool:
    """By its ending, which it was given here."""
    return name.endswith(".nii.gz")


def spoil(file: Path, how: str) -> str:
    """Put something else in the place of a file, which is a link to others; gives back how."""
    content = file.read_bytes()
    file.unlink()
    SPOILT[how](file, content)
    return how


def damaged(content: bytes) -> bytes:
    """64 zeros where no decoder gets over them: behind a JPEG's first marker, else in the middle of the data."""
    start = content.find(b"\xff\xd8\xff")
    at = len(content) // 2 if start < 0 else start + 2
    return content[:at] + bytes(64) + content[at + 64 :]


SPOILT: Mapping[str, Spoil] = {
    "cut off": lambda file, content: file.write_bytes(content[: len(content) // 2]),
    "empty": lambda file, _: file.touch(),
    "of another type than its name says": lambda file, _: file.write_bytes(b"no picture, but a letter\n" * 40),
    "damaged codestream": lambda file, content: file.write_bytes(damaged(content)),
    "broken link": lambda file, _: file.symlink_to("nowhere"),
    "link to itself": lambda file, _: file.symlink_to(file.name),
    "named pipe": lambda file, _: os.mkfifo(file),
}
