"""8-bit slices whose window is known are segmented as their HU would be."""

import csv

import cv2
import nibabel
import numpy as np
import pydicom
import pytest

import ctseg_batch
from ctseg import flags

WINDOW = (-1024.0, 3056.0)
"""16 HU a step: bright lungs are dark in it, and the model alone finds no disease."""


@pytest.fixture
def grey(draw):
    """Three slices (64, 48) saved in the window."""
    labels = np.stack([draw(seed) for seed in range(3)])
    texture = np.random.default_rng(0).integers(0, 9, labels.shape, dtype=np.uint8)
    return labels, np.array([1, 20, 40, 60], np.uint8)[labels] + texture


@pytest.fixture
def images(grey, save, tmp_path):
    """The same as images of a folder."""
    for number, pixels in enumerate(grey[1]):
        save(tmp_path / f"in/ct/{number}.png", pixels)
    return tmp_path / "in"


def test_masks_of_a_known_window_are_those_of_the_hu(batch, images, grey):
    labels = grey[0]
    assert not any((mask > 1).any() for mask in batch(images).masks.values())
    done = batch(images, window=WINDOW)
    np.testing.assert_array_equal(list(done.masks.values()), labels)
    assert done.scan["window_hu"] == WINDOW
    with (done.out / "summary.csv").open() as table:
        (row,) = csv.DictReader(table)
    assert (float(row["window_black_hu"]), float(row["window_white_hu"])) == WINDOW


def test_another_window_does_all_again(batch, images, counted):
    for window in (None, WINDOW, (-1000.0, 1000.0)):
        batch(images, window=window)
        assert counted() == 3
        batch(images, window=window)
        assert counted() == 0


def test_a_window_is_given_as_centre_and_width(command, images, grey, tmp_path):
    assert command(images, "--out", tmp_path / "out", "--window", "1016,4080").status == 0
    mask = cv2.imread(str(tmp_path / "out/masks/ct/0.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(mask, grey[0][0])
    left = command(images, "--out", tmp_path / "out", "--window", "40,400")
    assert left.status == 2
    assert "too narrow" in left.err


def test_an_overlay_shows_it_in_a_lung_window(batch, images):
    seen = [
        cv2.imread(str(batch(images, write=("overlay",), window=window).out / "overlays/ct/0.png"))[0, 0]
        for window in (None, WINDOW)
    ]
    assert seen[0].max() < 16  # -1008 to -880 HU, which a lung window shows as 58 to 80
    assert 50 < seen[1].min() <= seen[1].max() < 90


@pytest.mark.parametrize("domain", ["HU", "stretched"])
def test_a_window_that_no_slice_needs_is_told(batch, draw, save, tmp_path, domain):
    save(tmp_path / "in/ct/0.npy", np.array([-1000, -600, -200, 100], np.int16)[draw()] + 2000 * (domain != "HU"))
    without, done = (batch(tmp_path / "in", window=window, out=tmp_path / str(window)) for window in (None, WINDOW))
    assert done.summary["notes"] == ["--window was not used: no slice is 8-bit grey"]
    assert done.scan["window_hu"] is None
    np.testing.assert_array_equal(list(done.masks.values()), list(without.masks.values()))


def test_an_8_bit_volume_is_doubtful_unless_its_window_is_known(batch, grey, tmp_path):
    (tmp_path / "in").mkdir()
    nibabel.save(nibabel.Nifti1Image(grey[1].T, np.diag([-1, -1, 1, 1])), tmp_path / "in/ct.nii")
    assert flags.NOT_HU in batch(tmp_path / "in").scan["flags"]
    known = batch(tmp_path / "in", window=WINDOW)
    assert flags.NOT_HU not in known.scan["flags"]
    np.testing.assert_array_equal(list(known.masks.values()), grey[0])


def test_an_8_bit_series_is_doubtful_unless_its_window_is_known(batch, save_series, tmp_path):
    labels = np.zeros((2, 64, 64), np.uint8)
    labels[:, 8:56, 8:56] = 1
    pixels = np.array([1, 20], np.uint16)[labels] + np.random.default_rng(0).integers(0, 9, labels.shape, np.uint16)
    for file, plane in zip(save_series(tmp_path / "in/ct", labels), pixels, strict=True):
        dataset = pydicom.dcmread(file)
        del dataset.RescaleSlope, dataset.RescaleIntercept
        dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 7, 0
        dataset.PixelData = plane.tobytes()
        dataset.save_as(file)
    assert flags.NOT_HU in batch(tmp_path / "in").scan["flags"]
    known = batch(tmp_path / "in", window=WINDOW)
    assert flags.NOT_HU not in known.scan["flags"]
    np.testing.assert_array_equal(list(known.masks.values()), labels)


def test_python_takes_it_too(quarters, grey, caplog):
    labels, pixels = grey
    segment = ctseg_batch.Segmenter(str(quarters), device="cpu")
    result = segment(pixels, window=(1016, 4080))
    np.testing.assert_array_equal(result.labels, labels)
    assert result.measures["window_hu"] == WINDOW
    assert not caplog.records
    segment(pixels.astype(np.int16) * 16 - 1024, window=np.array([-600, 1500]))
    assert [one.message for one in caplog.records] == ["array: window was not used, since no slice is 8-bit grey"]
    with pytest.raises(ctseg_batch.CallError, match=r"window \(40, 400\): from -160 to 240 HU is too narrow"):
        segment(pixels, window=(40, 400))
