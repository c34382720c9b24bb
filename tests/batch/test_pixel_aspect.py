"""Slices whose pixels are not square, as coronal slices make them that are turned, or a spacing that is said."""

import nibabel
import numpy as np
import pytest

import ctseg_batch
from ctseg.phantom import Phantom, write_dicom

PHANTOM = Phantom(seed=3, slices=12, size=192, spacing=(20, 2.1, 2.1))
THICK = 3


def lung_of(source, spacing=None):
    found = ctseg_batch.Segmenter(device="cpu", workers=2)(source, spacing=spacing)
    return found.lung_ml, found.involvement_percent


@pytest.fixture(scope="module")
def square():
    return lung_of(PHANTOM.volume()[0], PHANTOM.spacing)


@pytest.fixture(scope="module")
def thick():
    """The phantom's voxels with every three rows averaged, as if it had been reconstructed in coronal slices."""
    voxels = PHANTOM.volume()[0]
    return voxels.reshape(12, 64, THICK, 192).mean(axis=2).round().astype(np.int16)


def close_to(square):
    lung, involved = square
    return pytest.approx(lung, rel=0.02), pytest.approx(involved, abs=2)


def test_a_volume_of_coronal_slices_is_measured_as_one_of_axial_slices(square, thick, tmp_path):
    affine = np.array([[-2.1, 0, 0, 200], [0, 0, -2.1 * THICK, 200], [0, 20, 0, -120], [0, 0, 0, 1.0]])
    nibabel.save(nibabel.Nifti1Image(thick.transpose(2, 0, 1), affine), tmp_path / "coronal.nii.gz")
    assert lung_of(tmp_path / "coronal.nii.gz") == close_to(square)


def test_a_series_is_seen_by_its_pixel_spacing(square, thick, tmp_path):
    from pydicom import dcmread

    for file, pixels in zip(write_dicom(PHANTOM, tmp_path / "series"), thick, strict=True):
        dataset = dcmread(file)
        dataset.Rows, dataset.PixelSpacing = 64, [2.1 * THICK, 2.1]
        stored = (pixels - int(dataset.RescaleIntercept)) & (1 << dataset.BitsStored) - 1
        dataset.PixelData = stored.astype(np.uint16).tobytes()
        dataset.save_as(file)
    assert lung_of(tmp_path / "series") == close_to(square)


def test_images_are_seen_by_the_spacing_that_is_said(square, thick, tmp_path):
    for number, pixels in enumerate(thick):
        np.save(tmp_path / f"{number:02}.npy", pixels)
    assert lung_of(tmp_path, (20, 2.1 * THICK, 2.1)) == close_to(square)


def test_without_a_spacing_or_nearly_so_pixels_are_square():
    pixels, _ = PHANTOM.slice(6)
    found = [ctseg_batch.Segmenter(device="cpu")(pixels, spacing=spacing) for spacing in (None, (20, 2.1, 2.11))]
    assert np.array_equal(found[0].labels, found[1].labels)
