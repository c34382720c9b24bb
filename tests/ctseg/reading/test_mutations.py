"""Files of every kind with some bytes changed: what comes out is a slice that can be used, or a reason."""

import contextlib
import gzip
import tracemalloc
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import imagecodecs
import nibabel
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import uid

from ctseg.errors import UnreadableFile
from ctseg.reading import open_images, open_series, open_volume, read_mask, read_mask_volume
from ctseg.scan import Slice

quickly = settings(
    max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

GREY = (np.arange(24 * 20).reshape(24, 20) * 37 % 256).astype(np.uint8)
CT = (np.arange(24 * 20).reshape(24, 20) * 5 - 1024).astype(np.int16)
MOST_BYTES = 100_000_000


def nifti(dtype, form=nibabel.Nifti1Image):
    voxels = np.arange(3 * 8 * 10).reshape(10, 8, 3).astype(dtype) * 7 - dtype(1000)
    return form(voxels, np.diag([0.7, 0.8, 2.0, 1.0])).to_bytes()


PICTURES = {
    "png": cv2.imencode(".png", GREY)[1].tobytes(),
    "png of 16 bits": cv2.imencode(".png", GREY.astype(np.uint16) * 200)[1].tobytes(),
    "png in colour": cv2.imencode(".png", np.dstack([GREY] * 3))[1].tobytes(),
    "jpeg": cv2.imencode(".jpg", GREY)[1].tobytes(),
    "progressive jpeg": cv2.imencode(".jpg", GREY, (cv2.IMWRITE_JPEG_PROGRESSIVE, 1))[1].tobytes(),
    "tiff": imagecodecs.tiff_encode(CT),
    "deflated tiff": cv2.imencode(".tif", GREY, (cv2.IMWRITE_TIFF_COMPRESSION, 8))[1].tobytes(),
    "float tiff": imagecodecs.tiff_encode(CT.astype(np.float32)),
    "bmp": cv2.imencode(".bmp", GREY)[1].tobytes(),
}
ARRAYS = {"int16": CT, "float64": CT.astype(np.float64), "uint8": GREY}
NIFTI = {
    "int16": nifti(np.int16),
    "float32": nifti(np.float32),
    "float64": nifti(np.float64),
    "NIfTI-2": nifti(np.int16, nibabel.Nifti2Image),
}
SYNTAXES = {
    "uncompressed": uid.ExplicitVRLittleEndian,
    "implicit": uid.ImplicitVRLittleEndian,
    "deflated": uid.DeflatedExplicitVRLittleEndian,
    "RLE": uid.RLELossless,
    "JPEG lossless": uid.JPEGLosslessSV1,
    "JPEG-LS": uid.JPEGLSLossless,
    "JPEG 2000": uid.JPEG2000Lossless,
    "HTJ2K": uid.HTJ2KLossless,
}

METAIMAGE = b"\n".join(
    (
        b"ObjectType = Image",
        b"NDims = 3",
        b"BinaryDataByteOrderMSB = False",
        b"CompressedData = %s",
        b"TransformMatrix = 1 0 0 0 1 0 0 0 1",
        b"Offset = -120 -100 40",
        b"ElementSpacing = 0.7 0.8 2",
        b"DimSize = 10 8 3",
        b"ElementType = MET_SHORT",
        b"ElementDataFile = LOCAL\n",
    )
)
NRRD = b"\n".join(
    (
        b"NRRD0004",
        b"type: short",
        b"dimension: 3",
        b"space: left-posterior-superior",
        b"sizes: 10 8 3",
        b"space directions: (0.7,0,0) (0,0.8,0) (0,0,2)",
        b"space origin: (-120,-100,40)",
        b"endian: little",
        b"encoding: %s\n\n",
    )
)
VOXELS = nifti(np.int16)[352:]


class Volume(NamedTuple):
    """The ending of a file, what of it is damaged, and what becomes of that before it is written."""

    ending: str
    content: bytes
    packed: Callable[[bytes], bytes] = bytes


def gzipped(content: bytes) -> bytes:
    return gzip.compress(content, 1)


VOLUMES = {
    **{kind: Volume(".nii.gz", whole) for kind, whole in NIFTI.items()},
    **{f"compressed {kind}": Volume(".nii.gz", gzipped(whole)) for kind, whole in NIFTI.items()},
    **{f"{kind} within the compressed": Volume(".nii.gz", whole, gzipped) for kind, whole in NIFTI.items()},
    "metaimage": Volume(".mha", METAIMAGE % b"False" + VOXELS),
    "zlib metaimage": Volume(".mha", METAIMAGE % b"True" + zlib.compress(VOXELS)),
    "nrrd": Volume(".nrrd", NRRD % b"raw" + VOXELS),
    "gzip nrrd": Volume(".nrrd", NRRD % b"gzip" + gzipped(VOXELS)),
}

# What a damaged length, size or count is likely to be.
ODD_BYTES = (0, 1, 0x7F, 0x80, 0xFF)


@st.composite
def damage(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """Change a few bytes, mostly of the header; then perhaps cut the end off, or put something in between."""
    share = st.floats(0, 1, exclude_max=True)
    places = draw(
        st.lists(st.tuples(st.booleans(), share, st.integers(0, 255) | st.sampled_from(ODD_BYTES)), max_size=4)
    )
    cut = draw(st.none() | share)
    extra = draw(st.none() | st.tuples(share, st.binary(min_size=1, max_size=8)))

    def damaged(whole: bytes) -> bytes:
        content = bytearray(whole)
        for early, place, byte in places:
            reach = min(len(content), 512) if early else len(content)
            content[int(place * reach)] = byte
        if extra:
            at = int(extra[0] * len(content))
            content[at:at] = extra[1]
        return bytes(content if cut is None else content[: int(cut * len(content))])

    return damaged


def check_slice(seen: Slice) -> None:
    """A slice as `Scan.read` promises it, whatever the file was."""
    assert seen.pixels.ndim == 2
    assert 0 < seen.pixels.size <= 8192 * 8192
    kinds = {"hu": (np.int16, np.float32), "grey8": (np.uint8,)}
    assert seen.pixels.dtype in kinds[seen.domain]
    assert np.isfinite(seen.pixels).all()
    if seen.domain == "hu":
        assert seen.pixels.min() >= -1024


def attempt(file: Path, read: Callable[[Path], None]) -> None:
    """Read a file. No exception but UnreadableFile comes out, no warning, and it takes little memory."""
    tracemalloc.start()
    try:
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            with contextlib.suppress(UnreadableFile):
                read(file)
        assert not heard, f"it warned: {heard[0].message}, {heard[0].filename}:{heard[0].lineno}"
        peak = tracemalloc.get_traced_memory()[1]
        assert peak < MOST_BYTES, f"it took {peak} bytes"
    finally:
        tracemalloc.stop()


def read_image(file: Path) -> None:
    check_slice(open_images([file]).read(0))


def read_series(file: Path) -> None:
    found = open_series([file])
    assert len(found.series) + len(found.skipped) + len(found.failed) == 1
    if found.failed:
        raise found.failed[0]
    for series in found.series:
        assert series.spacing_mm is None or (np.isfinite(series.spacing_mm).all() and min(series.spacing_mm) > 0)
        check_slice(series.read(0))


def read_volume(file: Path) -> None:
    volume = open_volume(file)
    assert np.isfinite(volume.lengths_mm).all()
    assert min(volume.lengths_mm) > 0
    for index in range(min(len(volume), 8)):
        check_slice(volume.read(index))


def check_mask(file: Path) -> None:
    mask = read_mask(file)
    assert (mask.ndim, mask.dtype) == (2, np.uint8)


def check_mask_volume(file: Path) -> None:
    mask = read_mask_volume(file, None)
    assert (mask.ndim, mask.dtype) == (3, np.uint8)


@pytest.mark.parametrize("kind", PICTURES)
@quickly
@given(damage=damage())
def test_a_damaged_picture_is_a_slice_or_a_reason(tmp_path, capfd, kind, damage):
    file = tmp_path / "a.png"
    file.write_bytes(damage(PICTURES[kind]))
    attempt(file, read_image)
    attempt(file, check_mask)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("kind", ARRAYS)
@quickly
@given(damage=damage())
def test_a_damaged_array_is_a_slice_or_a_reason(tmp_path, kind, damage):
    file = tmp_path / "a.npy"
    np.save(file, ARRAYS[kind])
    file.write_bytes(damage(file.read_bytes()))
    attempt(file, read_image)
    attempt(file, check_mask)


@pytest.mark.parametrize("kind", VOLUMES)
@quickly
@given(damage=damage())
def test_a_damaged_volume_is_a_scan_or_a_reason(tmp_path, capfd, kind, damage):
    ending, content, packed = VOLUMES[kind]
    file = tmp_path / f"ct{ending}"
    file.write_bytes(packed(content))
    check_slice(open_volume(file).read(0))
    file.write_bytes(packed(damage(content)))
    attempt(file, read_volume)
    attempt(file, check_mask_volume)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("syntax", SYNTAXES)
@quickly
@given(damage=damage())
def test_a_damaged_dicom_file_is_a_slice_or_a_reason(write_dicom, tmp_path, capfd, syntax, damage):
    file = write_dicom(tmp_path / "a.dcm", CT, SYNTAXES[syntax])
    file.write_bytes(damage(file.read_bytes()))
    attempt(file, read_series)
    assert capfd.readouterr() == ("", "")
