"""Series that are stored turned or mirrored: the network sees them upright, and masks lie as the slices do."""

from itertools import product

import numpy as np
import pytest
from pydicom import dcmread

import ctseg_batch
from ctseg.phantom import Phantom, write_dicom

PHANTOM = Phantom(seed=3, slices=4, size=128, spacing=(60, 3.2, 3.2))
WIDE = 2  # rows are averaged by twos: pixels that are not square tell a turn that mixes up their sides


def stored(tmp_path, transposed=False, upside_down=False, mirrored=False):
    """The same patient, stored so that these steps turn every slice upright."""
    across, down = [-1 if mirrored else 1, 0, 0], [0, -1 if upside_down else 1, 0]
    for file in write_dicom(PHANTOM, tmp_path):
        dataset = dcmread(file)
        pixels = dataset.pixel_array.reshape(-1, WIDE, 128).mean(axis=1).astype(np.uint16)
        pixels = pixels[:: -1 if upside_down else 1, :: -1 if mirrored else 1]
        dataset.PixelSpacing = [3.2 * WIDE, 3.2]
        if transposed:
            pixels, dataset.PixelSpacing = pixels.T, [3.2, 3.2 * WIDE]
        dataset.ImageOrientationPatient = [*down, *across] if transposed else [*across, *down]
        dataset.Rows, dataset.Columns = pixels.shape
        dataset.PixelData = np.ascontiguousarray(pixels).tobytes()
        dataset.save_as(file)
    return tmp_path


@pytest.fixture(scope="module")
def segment():
    return ctseg_batch.Segmenter(device="cpu", workers=2)


@pytest.fixture(scope="module")
def upright(segment, tmp_path_factory):
    return segment.with_confidence(stored(tmp_path_factory.mktemp("upright")))


@pytest.mark.parametrize(("transposed", "upside_down", "mirrored"), list(product([False, True], repeat=3))[1:])
def test_however_a_series_is_stored_its_mask_is_the_same(segment, upright, tmp_path, transposed, upside_down, mirrored):
    found = segment.with_confidence(stored(tmp_path, transposed, upside_down, mirrored))
    for of_found, of_upright in (found.labels, upright.labels), (found.confidence, upright.confidence):
        turned = of_upright[:, :: -1 if upside_down else 1, :: -1 if mirrored else 1]
        np.testing.assert_array_equal(of_found, turned.transpose(0, 2, 1) if transposed else turned)
    assert found.lung_ml == pytest.approx(upright.lung_ml)
    assert found.lung_ml > 1000
    sides = [["left", "right"], ["top", "bottom"]]
    assert found.patients_right == sides[transposed][mirrored]


def test_a_slice_that_does_not_say_how_it_lies_lies_as_the_others_do(segment, upright, tmp_path):
    prone = stored(tmp_path, upside_down=True, mirrored=True)
    one = sorted(prone.iterdir())[1]
    dataset = dcmread(one)
    del dataset.ImageOrientationPatient
    dataset.save_as(one)
    np.testing.assert_array_equal(segment(prone).labels, upright.labels[:, ::-1, ::-1])
