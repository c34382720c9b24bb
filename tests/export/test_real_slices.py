import nibabel
import numpy as np
import pytest

from ctseg.errors import CallError, UnreadableFile
from ctseg_export.real_slices import real_slices


def test_slices_are_spread_over_all_that_is_there(tmp_path):
    """Thirty image slices in one folder, a volume of ten in another."""
    (tmp_path / "a").mkdir()
    for number in range(30):
        np.save(tmp_path / "a" / f"{number:02}.npy", np.full((8, 8), number, np.uint8))
    volume = np.full((8, 8, 10), -700, np.int16)
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), tmp_path / "ct.nii.gz")
    (tmp_path / "notes.txt").write_text("not a slice")
    found = real_slices(tmp_path, 14)
    assert [int(s.pixels[0, 0]) for s in found if s.domain == "grey8"] == list(range(0, 30, 3))
    assert [int(s.pixels[0, 0]) for s in found if s.domain == "hu"] == [-700] * 4


def test_masks_are_no_slices(tmp_path):
    """Of a data set that a dataset.json describes, and of one that its folders do."""
    for number, folder in enumerate(("a/pictures", "a/truth", "b/image/1", "b/mask/1")):
        (tmp_path / folder).mkdir(parents=True)
        np.save(tmp_path / folder / "0.npy", np.full((8, 8), number, np.uint8))
    (tmp_path / "a" / "dataset.json").write_text('{"name": "a", "images": "pictures", "masks": "truth"}')
    assert [int(s.pixels[0, 0]) for s in real_slices(tmp_path, 10)] == [0, 2]


def test_fewer_slices_than_asked_for_are_all_taken_once(tmp_path):
    for number in range(3):
        np.save(tmp_path / f"{number}.npy", np.full((8, 8), number, np.uint8))
    assert [int(s.pixels[0, 0]) for s in real_slices(tmp_path, 10)] == [0, 1, 2]


def test_a_folder_without_slices_is_the_callers_error(tmp_path):
    (tmp_path / "notes.txt").write_text("not a slice")
    with pytest.raises(CallError, match="no DICOM, NIfTI or image file"):
        real_slices(tmp_path, 12)


def test_a_slice_that_is_cut_off_is_named(tmp_path):
    (tmp_path / "broken.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(UnreadableFile, match=r"broken\.npy"):
        real_slices(tmp_path, 12)
