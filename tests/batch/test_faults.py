"""Whatever is wrong with one input, it fails alone, by name and with its reason; all beside it is done."""

import gzip
import io
import pickle
import re
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import nibabel
import numpy as np
import pydicom
import pytest

PDF = b"%PDF-1.7\n" + bytes(range(256)) * 20
TEXT = b"slice,lung\n1,0.3\n" * 100


class Bomb:
    """What would make a file if it were unpickled."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __reduce__(self):
        return open, (str(self._file), "w")


def png(pixels):
    return imagecodecs.png_encode(pixels)


def nifti(voxels=None, affine=None):
    voxels = np.full((4, 5, 3), -700, np.int16) if voxels is None else voxels
    return nibabel.Nifti1Image(voxels, np.eye(4) if affine is None else affine).to_bytes()


def with_bytes(content, place, form, *numbers):
    changed = bytearray(content)
    struct.pack_into(form, changed, place, *numbers)
    return bytes(changed)


def pickled(file):
    stream = io.BytesIO()
    np.save(stream, np.array([[Bomb(file)]], object), allow_pickle=True)
    return stream.getvalue()


def zipped(content):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("arr_0.npy", content)
    return stream.getvalue()


def claiming(rows, columns):
    """A PNG, whole but for its size, which is another."""
    whole = png(np.zeros((8, 8), np.uint8))
    header = whole[12:16] + struct.pack(">II", columns, rows) + whole[24:29]
    return whole[:12] + header + struct.pack(">I", imagecodecs.zlib_crc32(header)) + whole[33:]


GREY = np.arange(64 * 48).reshape(64, 48).astype(np.uint8)
WHOLE = png(GREY)
VOLUME = nifti()
PACKED = gzip.compress(VOLUME)

# Content by name of the file; what the reason says.
IMAGES = {
    "empty.png": (b"", "empty"),
    "half.png": (WHOLE[: len(WHOLE) // 2], "cut off"),
    "half.jpg": (imagecodecs.jpeg8_encode(GREY)[:-200], "cut off"),
    "half.tif": (imagecodecs.tiff_encode(GREY)[:300], "TIFF"),
    "text.png": (TEXT, "is not a PNG, JPEG, TIFF, BMP or NPY"),
    "page.jpg": (PDF, "is not a PNG"),
    "volume.png": (VOLUME, "is not a PNG"),
    "packed.tif": (gzip.compress(WHOLE), "is not a PNG"),
    "archive.npy": (zipped(b"numbers"), "is not a PNG"),
    "pickle.npy": (pickle.dumps({"a": 1}), "is not a PNG"),
    "huge.png": (claiming(50_000, 50_000), "50000 x 50000 pixels: too large"),
    "nothing.png": (claiming(0, 48), "no pixels"),
    "film.tif": (imagecodecs.tiff_encode(np.dstack([GREY] * 3).transpose(2, 0, 1)), "several pages"),
}
VOLUMES = {
    "empty.nii": (b"", "empty"),
    "picture.nii": (WHOLE, "is not a NIfTI"),
    "page.nii.gz": (PDF, "is not a NIfTI"),
    "page_packed.nii.gz": (gzip.compress(PDF), "is not a NIfTI"),
    "half.nii": (VOLUME[:-10], "cut off"),
    "half.nii.gz": (PACKED[:-10], "cut off"),
    "damaged.nii.gz": (PACKED[:-6] + b"\xff" + PACKED[-5:], "damaged"),
    "nan.nii": (nifti(np.full((4, 5, 3), np.nan, np.float32)), "not finite"),
    "infinite.nii": (nifti(np.full((4, 5, 3), -np.inf, np.float32)), "not finite"),
    "series.nii": (nifti(np.zeros((4, 5, 3, 2), np.int16)), "volume"),
    "flat.nii": (with_bytes(VOLUME, 280, "<4f", 0, 0, 0, 0), "0 x 1 x 1 mm apart"),
    "promise.nii": (with_bytes(VOLUME, 42, "<3h", 1000, 1000, 1000), "cut off: its header promises 2000000000 bytes"),
    "promise.nii.gz": (
        gzip.compress(with_bytes(VOLUME, 42, "<3h", 1000, 1000, 1000)) + bytes(2_000_000), "cut off: it holds 120 of",
    ),
    "endless.nii": (with_bytes(VOLUME, 42, "<3h", 30_000, 30_000, 30_000), "30000"),
    "backwards.nii": (with_bytes(VOLUME, 42, "<3h", -4, 5, 3), "NIfTI header|voxels"),
    "bomb.nii.gz": (gzip.compress(bytes(2**24)) * 50, "is not a NIfTI"),
}  # fmt: skip


def tags(**changes) -> Callable[[bytes], bytes]:
    """Change a DICOM file: tags given as None are taken away."""

    def changed(whole: bytes) -> bytes:
        dataset = pydicom.dcmread(io.BytesIO(whole))
        for tag, value in changes.items():
            if value is None:
                delattr(dataset, tag)
            else:
                setattr(dataset, tag, value)
        stream = io.BytesIO()
        dataset.save_as(stream, enforce_file_format=False)
        return stream.getvalue()

    return changed


def without_class(whole: bytes) -> bytes:
    dataset = pydicom.dcmread(io.BytesIO(whole))
    del dataset.SOPClassUID, dataset.file_meta.MediaStorageSOPClassUID
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=False)
    return stream.getvalue()


DICOM: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda whole: b"", "empty"),
    "text": (lambda whole: TEXT, "DICOM file"),
    "a picture": (lambda whole: WHOLE, "DICOM file"),
    "a volume": (lambda whole: VOLUME, "DICOM file"),
    "half its header": (lambda whole: whole[:500], "cut off|ends|missing"),
    "half its pixels": (lambda whole: whole[:-4000], "cut off"),
    "no pixels": (tags(PixelData=None), "pixels are missing"),
    "no class": (without_class, "SOPClassUID is missing"),
    "fewer pixels than it says": (tags(PixelData=bytes(64 * 62)), "it holds 3968 bytes of pixels, not 8192"),
    "more pixels than it says": (tags(PixelData=bytes(64 * 260)), "it holds 16640 bytes of pixels, not 8192"),
    "one bit": (tags(BitsAllocated=1, BitsStored=1, HighBit=0), "pixels have 1 "),
    "twelve bits": (tags(BitsAllocated=12, BitsStored=12), "pixels have 12 "),
    "32 bits": (tags(BitsAllocated=32, BitsStored=32, HighBit=31), "pixels have 32 "),
    "more bits than there is room for": (tags(BitsStored=20), "20 of 16 bits"),
    "colour": (tags(SamplesPerPixel=3, PhotometricInterpretation="RGB"), "colour"),
    "a palette": (tags(PhotometricInterpretation="PALETTE COLOR"), "colour"),
    "a slope of nothing": (tags(RescaleSlope=0), "RescaleSlope is 0"),
    "a slope to the stars": (tags(RescaleSlope="1e300"), "not finite"),
    "an unknown transfer syntax": (
        lambda whole: whole.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.99", 1), "transfer syntax",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_with_a_fault_fails_alone(beside, name):
    content, said = IMAGES[name]
    beside.put(f"images/{name}", content)
    ((file, reason),) = beside.failures().items()
    assert file == f"images/{name}"
    assert re.search(said, reason)


@pytest.mark.parametrize("name", VOLUMES)
def test_a_volume_with_a_fault_fails_alone(beside, name):
    content, said = VOLUMES[name]
    beside.put(f"volumes/{name}", content)
    ((file, reason),) = beside.failures().items()
    assert file == f"volumes/{name}"
    assert re.search(said, reason)


@pytest.mark.parametrize("what", DICOM)
def test_a_dicom_file_with_a_fault_fails_alone(beside, what):
    damage, said = DICOM[what]
    file = beside.folder / "series/b.dcm"
    file.write_bytes(damage(file.read_bytes()))
    ((name, reason),) = beside.failures(unmade="series/b.dcm.png").items()
    assert name == "series/b.dcm"
    assert re.search(said, reason)


def test_dicom_under_the_names_of_others_fails_alone(beside):
    content = (beside.folder / "series/a.dcm").read_bytes()
    beside.put("images/slice.png", content)
    beside.put("volumes/slice.nii", content)
    assert beside.failures().keys() == {"images/slice.png", "volumes/slice.nii"}


def test_pickled_objects_are_never_unpickled(beside, tmp_path):
    beside.put("images/objects.npy", pickled(tmp_path / "made"))
    assert beside.failures().keys() == {"images/objects.npy"}
    assert not (tmp_path / "made").exists()
