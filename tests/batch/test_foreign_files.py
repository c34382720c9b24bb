"""The files that pydicom, pydicom-data and nibabel test themselves with: every transfer syntax, many broken."""

import importlib
import importlib.util
import re
import warnings
from collections import Counter
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from pydicom import uid
from pydicom.pixels import apply_rescale

from ctseg.errors import UnreadableFile
from ctseg.reading import kind_of, open_series, open_volume

# What a library says, and no person.
FOREIGN_WORDS = re.compile(r"Error|Exception|Traceback|\bNone\b|object|failed|opj_|numpy|nibabel|pydicom|imagecodecs")

# Of these there are files, and decoders that every developer has; gdcm decodes the others.
DECODED = {
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.RLELossless,
    uid.JPEG2000Lossless,
    uid.JPEG2000,
}
DECODED_BY_GDCM = {uid.JPEGLosslessSV1, uid.JPEGLSLossless, uid.JPEGLSNearLossless}


@pytest.fixture(scope="module")
def benchmark():
    """The benchmark that fills the tables of docs/reliability.md: it finds the files, and what became of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
        yield importlib.import_module("foreign_files")


@pytest.fixture(scope="module")
def foreign(benchmark, tmp_path_factory):
    """All of them as they are, and the DICOM files once more as if they were CT."""
    top = tmp_path_factory.mktemp("foreign")
    benchmark.collect(top / "as they are")
    dicom = [f.relative_to(top / "as they are").as_posix() for f in (top / "as they are").rglob("*.dcm")]
    benchmark.disguise(top / "as they are", dicom, top / "as CT")
    return top


@pytest.mark.parametrize("kind", ["as they are", "as CT"])
def test_each_of_them_comes_to_one_end_and_never_to_a_library_s_words(benchmark, foreign, batch, kind):
    done = batch(foreign / kind)
    summary = done.summary
    ends = benchmark.outcomes(foreign / kind, done.out, summary)
    ways = Counter(end.what for end in ends.values())
    failures = [*summary["errors"], *(error for scan in summary["scans"] for error in scan["errors"])]
    assert done.status == 1
    assert ways["ignored"] == summary["ignored"]
    assert ways["skipped"] == len(summary["skipped"])
    assert ways["refused"] == len(failures)
    slices = {name.removesuffix(".png") for name in done.masks}
    volumes = {name.rpartition("/")[0] for name in slices - ends.keys()}
    assert slices & ends.keys() | volumes == {name for name, end in ends.items() if end.what == "done"}
    reasons = {end.reason for end in ends.values()}
    assert not [reason for reason in reasons if FOREIGN_WORDS.search(reason)]


def test_there_are_as_many_as_the_page_of_docs_says(foreign):
    counts = Counter(file.relative_to(foreign).parts[:2] for file in foreign.rglob("*") if file.is_file())
    assert min(counts["as they are", package] for package in ("pydicom", "pydicom-data", "nibabel")) >= 60
    assert sum(count for (kind, _), count in counts.items() if kind == "as CT") >= 120


def test_every_slice_is_the_one_that_pydicom_decodes(foreign):
    compared = Counter()
    for file in sorted(f for f in foreign.rglob("*") if f.is_file() and kind_of(f) == "dicom"):
        for series in open_series([file]).series:
            try:
                seen = series.read(0)
            except UnreadableFile:
                continue
            dataset = pydicom_reads(file)
            if dataset is None or dataset.pixel_array.ndim > 2:
                continue  # nobody to ask; or an enhanced object, whose frames have tests of their own
            if dataset.PhotometricInterpretation == "MONOCHROME1" and "RescaleSlope" in dataset:
                continue  # its numbers may have been turned around, as other tests have it
            values = apply_rescale(dataset.pixel_array, dataset).astype(np.float64)
            is_hounsfield = "RescaleSlope" in dataset or values.min() < -200
            if dataset.PhotometricInterpretation == "MONOCHROME1" and not is_hounsfield:
                values = values.max() - values if dataset.pixel_array.dtype != np.uint8 else 255 - values
            assert seen.domain == ("hu" if is_hounsfield else "grey8"), file.name
            same_as(seen.pixels, values, is_hounsfield, is_grey=dataset.pixel_array.dtype == np.uint8, name=file.name)
            compared[dataset.file_meta.get("TransferSyntaxUID")] += 1
    wanted = DECODED | (DECODED_BY_GDCM if importlib.util.find_spec("gdcm") else set())
    assert wanted <= set(compared)
    assert compared.total() >= 50


@pytest.mark.filterwarnings("ignore:::pydicom")
def test_headers_say_what_pydicom_reads_in_them(foreign):
    files = sorted(f for f in foreign.rglob("*") if f.is_file() and kind_of(f) == "dicom")
    for series in open_series(files).series:
        for file, pixels in zip(series.files, (one.pixels for one in series.slices), strict=True):
            if series.enhanced_file:
                continue  # an enhanced object, which says much of this in its functional groups
            dataset = pydicom.dcmread(file, force=True)
            assert series.uid == str(dataset.get("SeriesInstanceUID", "")), file.name
            assert pixels.shape == (dataset.Rows, dataset.Columns), file.name
            assert pixels.bits_stored == dataset.BitsStored, file.name
            assert pixels.is_signed == bool(dataset.PixelRepresentation), file.name
            assert pixels.rescale.slope == dataset.get("RescaleSlope"), file.name


def test_the_same_picture_is_the_same_in_every_transfer_syntax(foreign):
    files = [f for f in foreign.glob("as CT/pydicom/data/test_files/*/MR_small*.dcm") if "padded" not in f.name]
    assert len({pydicom.dcmread(file).file_meta.TransferSyntaxUID for file in files}) == 6
    first, *others = (open_series([file]).series[0].read(0).pixels for file in files)
    for other in others:
        np.testing.assert_array_equal(other, first)


def test_every_volume_is_the_one_that_nibabel_reads_and_none_is_refused_without_need(foreign):
    compared = 0
    for file in sorted(f for f in foreign.rglob("*") if f.is_file() and kind_of(f) == "volume"):
        image = nibabel.load(file)
        values = image.get_fdata()
        if values.ndim != 3 or not np.isfinite(values).all():
            with pytest.raises(UnreadableFile, match=r"single volume|not finite"):
                open_volume(file).read(0)
            continue
        volume = open_volume(file)
        seen = np.stack([volume.read(index).pixels for index in range(len(volume))])
        # From the feet up, front first, the patient's right on the left.
        expected = nibabel.as_closest_canonical(image).get_fdata().transpose(2, 1, 0)[:, ::-1, ::-1]
        same_as(seen, expected, expected.min() < -200, is_grey=False, name=file.name)
        compared += 1
    assert compared >= 3


def pydicom_reads(file):
    """The data set with its pixels decoded by pydicom; None where it can't, as with 12-bit JPEG."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(file, force=True)
        try:
            dataset.pixel_array  # noqa: B018 - it is kept
        except Exception:  # noqa: BLE001 - of which class depends on the decoder
            return None
    return dataset


def same_as(seen, values, is_hounsfield, is_grey, name):
    """HU are the same from air up, grey is, and all else is stretched to 0..255 but for the rarest values."""
    if is_hounsfield:
        np.testing.assert_allclose(seen, np.maximum(values, -1024), rtol=1e-6, err_msg=name)
    elif is_grey:
        np.testing.assert_array_equal(seen, values, err_msg=name)
    else:
        low, high = np.percentile(values[..., ::4, ::4], (0.5, 99.5), method="nearest")
        if low == high:
            low, high = values.min(), values.max()
        stretched = (values.clip(low, high) - low) * (255 / max(high - low, 1e-9))
        np.testing.assert_allclose(seen, stretched, rtol=0, atol=0.501, err_msg=name)
