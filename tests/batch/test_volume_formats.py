"""MetaImage and NRRD volumes on their way through a run, as scans and as truths."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

HU = np.array([-1000, -600, -200, 100], np.int16)
ENDINGS = [".mha", ".mhd", ".nrrd", ".nhdr"]


@pytest.fixture
def save_image():
    """Save labels (slices, H, W) by SimpleITK, as HU that the model gives these labels for, or as they are."""

    def saved(file, labels, *, truth=False):
        file.parent.mkdir(parents=True, exist_ok=True)
        image = SimpleITK.GetImageFromArray(labels if truth else HU[labels])
        image.SetSpacing((0.745, 0.75, 2.0))
        SimpleITK.WriteImage(image, str(file))
        return file

    return saved


@pytest.fixture
def labels(draw):
    return np.stack([draw(seed) for seed in range(3)])


@pytest.mark.parametrize("ending", ENDINGS)
def test_each_is_one_scan_with_a_folder_of_its_name(batch, save_image, labels, tmp_path, ending):
    save_image(tmp_path / f"in/ct{ending}", labels)
    done = batch(tmp_path / "in")
    assert list(done.masks) == [f"ct{ending}/{index:04d}.png" for index in range(3)]
    np.testing.assert_array_equal(np.stack(list(done.masks.values())), labels)
    assert done.scan["spacing_mm"] == pytest.approx((2.0, 0.75, 0.745))
    assert done.scan["flags"] == ["implausible lung volume", *done.scan["flags"][1:]]
    assert done.summary["ignored"] == (ending in (".mhd", ".nhdr"))  # the voxels beside their header


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_truth_of_a_volume_may_be_of_another_format(batch, save_image, labels, tmp_path, ending):
    save_image(tmp_path / "in/ct.nrrd", labels)
    save_image(tmp_path / f"truth/ct{ending}", labels, truth=True)
    assert batch(tmp_path / "in", truth=tmp_path / "truth").scan["iou"]["mean"] == 1


@pytest.mark.parametrize("ending", ENDINGS)
def test_its_own_label_map_is_a_truth(batch, save_image, labels, tmp_path, ending):
    save_image(tmp_path / f"in/ct{ending}", labels)
    corrected = batch(tmp_path / "in", write=("nifti",)).out / "nifti"
    assert batch(tmp_path / "in", truth=corrected, out=tmp_path / "again").scan["iou"]["mean"] == 1


@pytest.mark.parametrize("ending", [".mhd", ".nhdr"])
def test_a_scan_is_done_again_when_the_voxels_beside_its_header_change(batch, save_image, labels, tmp_path, ending):
    save_image(tmp_path / f"in/ct{ending}", labels)
    save_image(tmp_path / f"truth/ct{ending}", labels, truth=True)
    call = {"truth": tmp_path / "truth"}
    batch(tmp_path / "in", **call)
    assert batch(tmp_path / "in", **call).summary["throughput"]["slices"] == 0
    for voxels in ("in/ct.raw", "truth/ct.raw"):
        os.utime(tmp_path / voxels, ns=(1, 1))
        assert batch(tmp_path / "in", **call).summary["throughput"]["slices"] == 3


def test_voxels_that_are_gone_fail_alone_and_are_named(batch, save_image, labels, tmp_path):
    save_image(tmp_path / "in/a/ct.mhd", labels)
    save_image(tmp_path / "in/b/ct.mha", labels)
    (tmp_path / "in/a/ct.raw").unlink()
    done = batch(tmp_path / "in")
    assert {name: scan["status"] for name, scan in done.scans.items()} == {"a/ct.mhd": "failed", "b/ct.mha": "ok"}
    assert [error["file"] for error in done.scans["a/ct.mhd"]["errors"]] == ["a/ct.raw"]


def test_a_truth_whose_voxels_could_not_be_read_is_compared_once_they_can_be(
    batch, save_image, labels, counted, monkeypatch, tmp_path
):
    save_image(tmp_path / "in/ct.mha", labels)
    save_image(tmp_path / "truth/ct.mhd", labels, truth=True)
    voxels, opened = tmp_path / "truth/ct.raw", Path.open

    def refuse(self, *given, **more):
        if self == voxels:
            raise OSError(errno.EACCES, "Permission denied", str(self))
        return opened(self, *given, **more)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", refuse)
        for done_now in (3, 0):
            done = batch(tmp_path / "in", truth=tmp_path / "truth")
            assert [error["file"] for error in done.scan["errors"]] == [str(voxels)]
            assert counted() == done_now
    assert batch(tmp_path / "in", truth=tmp_path / "truth").scan["iou"]["mean"] == 1
