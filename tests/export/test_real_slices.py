import json
import tracemalloc

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


@pytest.mark.parametrize("reached", ["..", "a link"])
def test_masks_are_no_slices_however_they_are_reached(tmp_path, reached):
    for number, folder in enumerate(("all/pictures", "all/truth", "all/set")):
        (tmp_path / folder).mkdir(parents=True)
        np.save(tmp_path / folder / "0.npy", np.full((8, 8), number, np.uint8))
    if reached == "a link":
        (tmp_path / "all/set/masks").symlink_to(tmp_path / "all/truth")
    said = {"name": "a", "images": "../pictures", "masks": "../truth" if reached == ".." else "masks"}
    (tmp_path / "all/set/dataset.json").write_text(json.dumps(said))
    assert [int(s.pixels[0, 0]) for s in real_slices(tmp_path / "all", 10)] == [0, 2]


def test_links_to_folders_are_followed_and_each_folder_is_taken_once(tmp_path):
    """A data set lies elsewhere, and is linked to twice; another link leads in a circle."""
    for number, folder in enumerate(("elsewhere/image/1", "elsewhere/mask/1", "in/a")):
        (tmp_path / folder).mkdir(parents=True)
        np.save(tmp_path / folder / "0.npy", np.full((8, 8), number, np.uint8))
    for link, target in (
        ("in/b", "elsewhere"),
        ("in/c", "elsewhere"),
        ("in/a/up", "in"),
        ("elsewhere/image/m", "elsewhere/mask"),
    ):
        (tmp_path / link).symlink_to(tmp_path / target)
    assert [int(s.pixels[0, 0]) for s in real_slices(tmp_path / "in", 10)] == [2, 0]


def test_fewer_slices_than_asked_for_are_all_taken_once(tmp_path):
    for number in range(3):
        np.save(tmp_path / f"{number}.npy", np.full((8, 8), number, np.uint8))
    assert [int(s.pixels[0, 0]) for s in real_slices(tmp_path, 10)] == [0, 1, 2]


def test_what_macos_leaves_beside_a_slice_is_none(tmp_path):
    np.save(tmp_path / "0.npy", np.full((8, 8), 3, np.uint8))
    for name in ("._0.npy", "._0.dcm", "._0.nii"):
        (tmp_path / name).write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X")
    assert [int(s.pixels[0, 0]) for s in real_slices(tmp_path, 10)] == [3]


def test_a_folder_without_slices_is_the_callers_error(tmp_path):
    (tmp_path / "notes.txt").write_text("not a slice")
    with pytest.raises(CallError, match="no CT in it"):
        real_slices(tmp_path, 12)


def test_a_slice_that_is_cut_off_is_named(tmp_path):
    (tmp_path / "broken.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(UnreadableFile, match=r"broken\.npy"):
        real_slices(tmp_path, 12)


def test_a_dicom_file_that_cant_be_read_is_named(tmp_path):
    np.save(tmp_path / "0.npy", np.full((8, 8), 3, np.uint8))
    (tmp_path / "broken.dcm").write_bytes(b"")
    with pytest.raises(UnreadableFile, match=r"broken\.dcm"):
        real_slices(tmp_path, 12)


def test_of_many_volumes_one_is_in_memory_at_a_time(tmp_path):
    volume = np.random.default_rng(0).integers(-1000, 400, (64, 64, 100)).astype(np.int16)
    for number in range(6):
        nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), tmp_path / f"{number}.nii")
    tracemalloc.start()
    found = real_slices(tmp_path, 12)
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found) == 12
    assert held < volume.nbytes
    assert peak < 4 * volume.nbytes


def test_arrays_without_air_are_hounsfield_as_their_folder_is(tmp_path):
    for number, (folder, lowest) in enumerate((("a", -1000), ("a", 20), ("b", 20))):
        (tmp_path / folder).mkdir(exist_ok=True)
        np.save(tmp_path / folder / f"{number}.npy", np.linspace(lowest, 400, 64).reshape(8, 8))
    assert [one.domain for one in real_slices(tmp_path, 10)] == ["hu", "hu", "grey8"]
