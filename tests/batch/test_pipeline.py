"""From a slice to its mask: what each kind of input gives, in which order, by which rules."""

import numpy as np
import pytest
from pydicom import dcmread

from ctseg.cleanup import Cleanup
from ctseg.phantom import Phantom

LEVELS_HU = np.array([-1000.0, -600.0, -200.0, 100.0])


@pytest.fixture
def strict(make_model, tmp_path):
    """A model whose 3-D rule drops what is smaller than a tenth of the largest piece."""
    return str(make_model(tmp_path / "strict.onnx", cleanup=Cleanup(volume_fraction=0.1)))


def test_a_lung_is_one_however_each_slice_is_stored(batch, strict, save_series, tmp_path):
    """Slices that are stored mirrored lie on their neighbours in the patient all the same."""
    labels = np.zeros((20, 64, 64), np.uint8)
    labels[:, 20:40, 8:24] = 1
    (last,) = save_series(tmp_path / "in", labels)[-1:]
    dataset = dcmread(last)
    dataset.ImageOrientationPatient = [-1, 0, 0, 0, 1, 0]
    dataset.PixelData = np.ascontiguousarray(dataset.pixel_array[:, ::-1]).tobytes()
    dataset.save_as(last)
    assert batch(tmp_path / "in", model=strict).scan["pixels"]["normal_lung"] == np.count_nonzero(labels)


@pytest.mark.parametrize(
    "stored",
    [
        lambda labels: LEVELS_HU[labels],
        lambda labels: LEVELS_HU[labels].astype(np.int16),
        lambda labels: labels.astype(np.float32) / 3,  # stretched from its own range
        lambda labels: np.asfortranarray(labels * 64 + 32),
    ],
    ids=["HU in floats", "HU in integers", "shares", "columns first"],
)
def test_arrays_are_hu_or_grey_by_how_low_they_go(batch, draw, save, tmp_path, stored):
    save(tmp_path / "in/a.npy", stored(draw()))
    np.testing.assert_array_equal(batch(tmp_path / "in").masks["a.npy.png"], draw())


@pytest.mark.parametrize("ending", [".png", ".tif"])
def test_16_bits_are_stretched_from_the_slices_own_range(batch, draw, save, tmp_path, ending):
    save(tmp_path / f"in/a{ending}", draw().astype(np.uint16) * 1000 + 700)
    (mask,) = batch(tmp_path / "in").masks.values()
    np.testing.assert_array_equal(mask, draw())


@pytest.mark.parametrize("bright", [8000, 65_535])
def test_one_bright_pixel_leaves_the_mask_of_a_16_bit_slice_as_it_is(batch, draw, save, tmp_path, bright):
    stored = draw().astype(np.uint16) * 1000 + 700
    stored[0, 0] = bright
    save(tmp_path / "in/a.png", stored)
    (mask,) = batch(tmp_path / "in").masks.values()
    np.testing.assert_array_equal(mask.ravel()[1:], draw().ravel()[1:])


@pytest.mark.parametrize("shape", [(1, 1), (5, 300), (333, 77), (700, 700)])
def test_a_mask_has_its_slices_own_size(batch, save, tmp_path, shape):
    save(tmp_path / "in/a.png", np.full(shape, 170, np.uint8))
    np.testing.assert_array_equal(batch(tmp_path / "in").masks["a.png"], np.full(shape, 2))


def test_slices_are_counted_from_the_feet_whatever_their_files_are_called(batch, save_series, tmp_path):
    labels = np.zeros((3, 64, 64), np.uint8)
    labels[0, :32], labels[1, :40] = 1, 1
    save_series(tmp_path / "in", labels, stems=["3", "1", "2"])
    assert "lungs cut off at the first slice" in batch(tmp_path / "in").scan["flags"]
    save_series(tmp_path / "up", labels[::-1], stems=["3", "1", "2"])
    flags = batch(tmp_path / "up", out=tmp_path / "out2").scan["flags"]
    assert "lungs cut off at the last slice" in flags
    assert "lungs cut off at the first slice" not in flags


@pytest.mark.parametrize(("name", "number"), [("first", 0), ("last", 257)])
def test_of_many_images_the_first_and_the_last_tell_whether_lungs_are_cut_off(
    batch, save_slice, tmp_path, name, number
):
    """They are in two parts, each with lung elsewhere."""
    none = np.zeros((16, 16), np.uint8)
    lung = np.pad(none[2:14, 2:14] + 1, 2)
    for n in range(258):
        save_slice(tmp_path / f"in/{n:03d}.png", lung if n in (number, 256) or 100 < n < 200 else none)
    flags = batch(tmp_path / "in", spacing=(1, 5, 5)).scan["flags"]
    assert [flag for flag in flags if "cut off" in flag] == [f"lungs cut off at the {name} slice"]


def test_geometry_that_is_doubtful_is_flagged(batch, draw, save_series, tmp_path):
    labels = np.stack([draw(seed, 64, 64) for seed in range(6)])
    files = save_series(tmp_path / "in", labels)
    files[2].unlink()
    assert "gap" in batch(tmp_path / "in").scan["flags"]


@pytest.mark.parametrize("kind", ["series", "volume"])
def test_in_a_stack_specks_become_background(batch, save_series, save_volume, speck, strict, tmp_path, kind):
    if kind == "series":
        save_series(tmp_path / "in", speck)
    else:
        save_volume(tmp_path / "in/ct.nii", speck)
    done = batch(tmp_path / "in", model=strict)
    kept = np.where(speck == 3, 0, speck)
    np.testing.assert_array_equal(np.stack(list(done.masks.values())), kept)
    assert done.scan["pixels"]["consolidation"] == 0
    assert done.scan["pixels"]["background"] == np.count_nonzero(kept == 0)


def test_among_images_they_stay(batch, save_slice, speck, strict, tmp_path):
    save_slice(tmp_path / "in/2.png", speck[2])
    assert batch(tmp_path / "in", model=strict).scan["pixels"]["consolidation"] == 9


def test_a_slice_that_fails_leaves_the_rest_of_its_series_whole(batch, save_series, speck, strict, tmp_path):
    files = save_series(tmp_path / "in/ct", speck)
    files[1].write_bytes(files[1].read_bytes()[:-100])
    done = batch(tmp_path / "in", model=strict)
    assert (done.status, done.scan["status"], done.scan["failed_slices"]) == (1, "partial", 1)
    assert [error["file"] for error in done.scan["errors"]] == ["ct/001.dcm"]
    assert list(done.masks) == ["ct/000.dcm.png", "ct/002.dcm.png", "ct/003.dcm.png"]
    kept = np.where(speck == 3, 0, speck)[[0, 2, 3]]
    np.testing.assert_array_equal(np.stack(list(done.masks.values())), kept)


def test_a_file_whose_header_is_damaged_counts_for_the_series_of_its_folder(batch, save_series, speck, tmp_path):
    files = save_series(tmp_path / "in/ct", speck)
    files[1].write_bytes(files[1].read_bytes()[:60])
    done = batch(tmp_path / "in")
    assert (done.scan["slices"], done.scan["failed_slices"], done.status) == (4, 1, 1)


def test_a_volume_that_is_damaged_fails_alone_with_each_reason_told_once(batch, draw, save_volume, tmp_path):
    labels = np.stack([draw(seed) for seed in range(4)])
    whole, half = (save_volume(tmp_path / f"in/{name}.nii.gz", labels) for name in ("whole", "half"))
    half.write_bytes(whole.read_bytes()[:-8] + bytes(8))  # the checksum is wrong
    (tmp_path / "in/junk.nii").write_bytes(b"junk")
    done = batch(tmp_path / "in")
    assert {name: scan["status"] for name, scan in done.scans.items()} == {
        "half.nii.gz": "failed",
        "junk.nii": "failed",
        "whole.nii.gz": "ok",
    }
    assert all(len(done.scans[name]["errors"]) == 1 for name in ("half.nii.gz", "junk.nii"))
    assert done.status == 1
    assert len(done.masks) == 4


def test_slices_of_several_sizes_stay_as_they_are_labelled(batch, draw, save_series, strict, tmp_path):
    small, large = draw(1, 64, 64), draw(2, 64, 64).repeat(2, 1).repeat(2, 0)
    tags = {"SeriesInstanceUID": "1.2", "StudyInstanceUID": "1.3"}
    save_series(tmp_path / "in", np.stack([small, small]), stems=["a", "b"], **tags)
    save_series(tmp_path / "in", large[None], stems=["c"], seed=1, **tags)
    done = batch(tmp_path / "in", model=strict)
    assert (done.status, "mixed sizes" in done.scan["flags"]) == (0, True)
    for stem, mask in {"a": small, "b": small, "c": large}.items():
        np.testing.assert_array_equal(done.masks[f"{stem}.dcm.png"], mask)


def test_volumes_of_a_nifti_are_the_phantoms_in_millilitres(batch, save_volume, tmp_path):
    phantom = Phantom(seed=5, slices=4, size=64, spacing=(4.0, 6.0, 6.05), disease=0.4)
    truth = phantom.volume()[1]
    save_volume(tmp_path / "in/ct.nii.gz", truth, phantom.spacing_mm)
    scan = batch(tmp_path / "in").scan
    expected = [np.count_nonzero(truth == index) * 4.0 * 6.0 * 6.05 / 1000 for index in (1, 2, 3)]
    assert list(scan["volumes_ml"].values()) == pytest.approx(expected, rel=1e-3)
    assert min(expected) > 0


def test_the_spacing_of_the_files_comes_before_the_one_that_is_given(batch, draw, save_volume, save_slice, tmp_path):
    save_volume(tmp_path / "in/ct.nii", draw()[None], (3, 2, 1))
    save_slice(tmp_path / "in/images/1.png", draw())
    scans = batch(tmp_path / "in", spacing=(9.0, 8.0, 7.0)).scans
    assert [list(scans[name]["spacing_mm"]) for name in ("ct.nii", "images")] == [[3, 2, 1], [9, 8, 7]]


def test_any_number_of_workers_finds_the_same_faults(batch, draw, save_slice, save_volume, save, tmp_path):
    """Also what is wrong with a truth, and what of it can be used."""
    labels = np.stack([draw(seed) for seed in range(6)])
    save_volume(tmp_path / "in/ct.nii", labels)
    odd = labels.copy()
    odd[1], odd[4] = 9, 7
    save_volume(tmp_path / "truth/ct.nii", odd, truth=True)
    for number in range(12):
        file = save_slice(tmp_path / f"in/images/{number}.png", draw(number))
        save(tmp_path / f"truth/images/{number}.png", draw(number))
        if number % 5 == 0:
            file.write_bytes(file.read_bytes()[:70])
    runs = [batch(tmp_path / "in", truth=tmp_path / "truth", workers=n, out=tmp_path / f"out{n}") for n in (1, 3)]
    first, second = ({key: run.summary[key] for key in ("scans", "totals")} for run in runs)
    assert first == second
    volume = runs[0].scans["ct.nii"]
    assert volume["iou"]["mean"] == 1
    assert "no reference for 2 slices" in volume["flags"]
    assert len(volume["errors"]) == 2
