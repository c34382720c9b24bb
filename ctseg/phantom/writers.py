"""A phantom as files, with the truth mirrored beside them: a DICOM series, image slices, a NIfTI volume.

Where `truth` is given, it gets the class indices: an 8-bit PNG a slice by the slice's own stem, or a volume.
Folders are made; files that are there are overwritten. One that can't be written is named by a CallError.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import cv2
import nibabel
import numpy as np
import numpy.typing as npt

from ctseg.errors import CallError
from ctseg.phantom.dicom import to_dicom
from ctseg.phantom.phantom import HU, Phantom
from ctseg.prepare import to_grey
from ctseg.scan import Slice
from ctseg.window import LUNG_WINDOW


def write_dicom(phantom: Phantom, folder: Path, truth: Path | None = None) -> tuple[Path, ...]:
    """Write a phantom as a CT series and give back its files, numbered from the feet up."""

    def write(index: int, stem: str, hu: HU) -> Path:
        file = folder / f"{stem}.dcm"
        with _writing(file):
            to_dicom(phantom, index, hu).save_as(file, enforce_file_format=True)
        return file

    return _write_slices(phantom, folder, truth, None, write)


def write_images(
    phantom: Phantom,
    folder: Path,
    truth: Path | None = None,
    stems: Sequence[str] | None = None,
) -> tuple[Path, ...]:
    """Write a phantom as 8-bit PNGs in a lung window and give back its files; `stems` names them instead of numbers."""

    def write(_: int, stem: str, hu: HU) -> Path:
        return _write_png(folder / f"{stem}.png", np.rint(to_grey(Slice(hu, "hu"), LUNG_WINDOW)).astype(np.uint8))

    return _write_slices(phantom, folder, truth, stems, write)


def write_dataset(phantoms: Iterable[Phantom], folder: Path) -> None:
    """Write phantoms to train on: `image/<patient>/<slice>.png`, `mask/<patient>/<slice>.png`, counted from 0."""
    for patient, phantom in enumerate(phantoms):
        write_images(phantom, folder / "image" / str(patient), truth=folder / "mask" / str(patient))


def write_nifti(phantom: Phantom, file: Path, truth: Path | None = None) -> None:
    """Write a phantom as a NIfTI-1 volume, int16 HU, and its truth as another, uint8; `.nii.gz` is compressed.

    Voxels run to the patient's right, front and head (RAS), with the affine in mm.
    """
    hu, labels = phantom.volume()
    _write_volume(phantom, hu, file)
    if truth is not None:
        _write_volume(phantom, labels, truth)


def _write_slices(
    phantom: Phantom,
    folder: Path,
    truth: Path | None,
    stems: Sequence[str] | None,
    write: Callable[[int, str, HU], Path],
) -> tuple[Path, ...]:
    names = [f"{index:04d}" for index in range(len(phantom))] if stems is None else stems
    if len(set(names)) != len(phantom) or len(names) != len(phantom):
        raise ValueError(f"{len(phantom)} slices need as many different stems, not {len(set(names))}")
    for needed in (folder, truth):
        if needed is not None:
            with _writing(needed):
                needed.mkdir(parents=True, exist_ok=True)
    files = []
    for index, (stem, (hu, labels)) in enumerate(zip(names, phantom, strict=True)):
        files.append(write(index, stem, hu))
        if truth is not None:
            _write_png(truth / f"{stem}.png", labels)
    return tuple(files)


def _write_png(file: Path, picture: npt.NDArray[np.uint8]) -> Path:
    with _writing(file):
        file.write_bytes(cv2.imencode(".png", picture)[1].tobytes())
    return file


def _write_volume(phantom: Phantom, volume: npt.NDArray[np.int16] | npt.NDArray[np.uint8], file: Path) -> None:
    z, y, x = phantom.spacing_mm
    left, front, bottom = phantom.origin_mm(0)
    # The last pixel of a slice lies furthest to the patient's left and back; RAS counts from there, signs turned.
    affine = np.diag([x, y, z, 1.0])
    affine[:3, 3] = (-(left + x * (phantom.size - 1)), -(front + y * (phantom.size - 1)), bottom)
    image = nibabel.Nifti1Image(np.ascontiguousarray(volume[:, ::-1, ::-1].transpose(2, 1, 0)), affine)  # type: ignore[no-untyped-call]
    image.header.set_xyzt_units("mm")  # type: ignore[no-untyped-call]
    image.header["descrip"] = b"synthetic: ctseg.phantom, no person"
    with _writing(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        nibabel.save(image, file)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn the system's error into one that names the file or folder to be written."""
    try:
        yield
    except OSError as error:
        why = error.strerror or error
        raise CallError(f"{path} can't be written: {why}; make room, or name another folder") from error
