"""The files that pydicom and nibabel bring along for their own tests: every transfer syntax, many broken on purpose."""

import shutil
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.pixels import apply_rescale

from ctseg.errors import UnreadableFile
from ctseg.reading import open_series, open_volume

DICOM = Path(pydicom.__file__).parent / "data" / "test_files"
NIFTI = Path(nibabel.__file__).parent / "tests" / "data"


@pytest.fixture
def foreign(tmp_path):
    """A copy of them all, without what Python left beside them."""
    for name, folder in (("dicom", DICOM), ("nifti", NIFTI)):
        shutil.copytree(folder, tmp_path / "in" / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "in"


def test_each_of_them_is_done_skipped_ignored_or_refused_by_name(foreign, batch):
    done = batch(foreign)
    summary = done.summary
    refused = {error["file"] for scan in summary["scans"] for error in scan["errors"]}
    refused |= {error["file"] for error in summary["errors"]}
    skipped = {one["file"] for one in summary["skipped"]}
    volumes = {name for name in done.scans if name.endswith((".nii", ".nii.gz"))}
    slices = {name.removesuffix(".png") for name in done.masks if not name.startswith(tuple(f"{v}/" for v in volumes))}
    parts = (refused, skipped, volumes - refused, slices)
    assert sum(map(len, parts)) == len(set().union(*parts))  # none twice
    assert sum(map(len, parts)) + summary["ignored"] == sum(f.is_file() for f in foreign.rglob("*"))
    assert done.status == 1
    assert all(parts)
    reasons = [e["reason"] for scan in summary["scans"] for e in scan["errors"]] + [
        e["reason"] for e in summary["skipped"]
    ]
    # A library's own exception is no reason to tell a radiologist.
    assert not [reason for reason in reasons if "Error:" in reason or "Traceback" in reason]


def test_the_slices_are_those_that_pydicom_reads():
    compared = 0
    for series in open_series(sorted(f for f in DICOM.rglob("*") if f.is_file())).series:
        for index, file in enumerate(series.files):
            try:
                seen = series.read(index)
            except UnreadableFile:
                continue
            dataset = pydicom.dcmread(file)
            expected = apply_rescale(dataset.pixel_array, dataset)
            if seen.domain == "hu":
                np.testing.assert_array_equal(seen.pixels, np.maximum(expected, -1024), err_msg=file.name)
                compared += 1
    assert compared >= 10


def test_headers_say_what_pydicom_reads_in_them():
    for series in open_series(sorted(f for f in DICOM.rglob("*") if f.is_file())).series:
        for file, pixels in zip(series.files, series.pixels, strict=True):
            dataset = pydicom.dcmread(file, force=True)
            assert series.uid == str(dataset.get("SeriesInstanceUID", "")), file.name
            assert series.number == dataset.get("SeriesNumber"), file.name
            assert series.description == (dataset.get("SeriesDescription") or ""), file.name
            assert pixels.shape == (dataset.Rows, dataset.Columns), file.name
            assert pixels.bits_stored == dataset.BitsStored, file.name
            assert pixels.is_signed == bool(dataset.PixelRepresentation), file.name
            assert pixels.rescale.slope == dataset.get("RescaleSlope"), file.name


@pytest.mark.parametrize("name", ["anatomical.nii", "standard.nii.gz", "reoriented_anat_moved.nii"])
def test_the_volumes_are_those_that_nibabel_reads(name):
    volume = open_volume(NIFTI / name)
    image = nibabel.as_closest_canonical(nibabel.load(NIFTI / name))
    values = np.asarray(image.dataobj)
    # From the feet up, front first, the patient's right on the left.
    expected = values.transpose(2, 1, 0)[:, ::-1, ::-1]
    seen = np.stack([volume.read(index).pixels for index in range(len(volume))])
    assert seen.shape == expected.shape
    assert np.corrcoef(seen.ravel().astype(float), expected.ravel().astype(float))[0, 1] > 0.9999
