import os
import sys
import zipfile
from pathlib import Path

import pytest

from ctseg.errors import CallError
from ctseg_batch.inputs.discover import as_counted, discover
from ctseg_batch.inputs.site import mask_names_by_file
from ctseg_batch.url import location

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def tree(tmp_path):
    """Make files below `tmp_path`, with a content or with none; gives back the folder."""

    def grown(*names, content=b""):
        for name in names:
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        return tmp_path

    return grown


def names(found):
    """The scans with their files, as far as names tell."""
    return {(site.name, site.kind): site.files for site in found.sites}


def masks(found):
    return [name for site in found.sites for name in site.mask_names(site.files)]


def test_each_folder_of_images_or_dicom_is_a_site_and_each_volume(tree):
    found = discover([tree("p/1.png", "p/2.jpg", "p/q/1.DCM", "p/q/2.ima", "v/ct.nii.gz", "v/MR.NII")])
    assert names(found) == {
        ("p", "image"): ("1.png", "2.jpg"),
        ("p/q", "dicom"): ("1.DCM", "2.ima"),
        ("v/ct.nii.gz", "volume"): ("ct.nii.gz",),
        ("v/MR.NII", "volume"): ("MR.NII",),
    }


def test_slices_come_as_people_count(tree):
    found = discover([tree("s/IM10.png", "s/im2.png", "s/IM1.png", "s/IM02.png", "s10/1.png", "s9/1.png")])
    assert [site.name for site in found.sites] == ["s", "s9", "s10"]
    assert found.sites[0].files == ("IM1.png", "IM02.png", "im2.png", "IM10.png")


def test_any_two_names_can_be_ordered():
    strange = ["1", "a", "", "1a", "a1", "²", "٣", "-1", "a-b", "A", "1.2.840", "\udcff"]
    backwards = strange[::-1]
    assert sorted(backwards, key=as_counted) == sorted(strange, key=as_counted)


def test_files_of_other_kinds_are_counted(tree):
    tree("1.png", "DICOMDIR", "readme.txt", "index.csv", "._1.png", "notes", "scan.zip")
    found = discover([tree("sub/dicomdir", "a.anon123")])
    assert found.ignored == 8
    assert found.ignored_endings == {"": 4, ".txt": 1, ".csv": 1, "._*": 1, ".zip": 1}
    assert not found.failed


def test_a_file_that_is_there_itself_and_by_a_link_counts_once(batch, draw, save_slice, save_volume, tmp_path):
    save_volume(tmp_path / "in/a/ct.nii.gz", draw()[None])
    save_slice(tmp_path / "elsewhere/1.png", draw())
    save_slice(tmp_path / "in/s/scan.dat.png", draw()).rename(tmp_path / "in/s/scan.dat")
    for link, to in (
        ("in/latest.nii.gz", "in/a/ct.nii.gz"),
        ("in/t/1.png", "elsewhere/1.png"),
        ("in/u/2.png", "in/s/scan.dat"),
    ):
        (tmp_path / link).parent.mkdir(exist_ok=True)
        (tmp_path / link).symlink_to(tmp_path / to)
    done = batch(tmp_path / "in")
    assert done.scans.keys() == {"a/ct.nii.gz", "t", "u"}
    assert done.summary["notes"] == ["a link leads to files that are themselves below an INPUT: these are taken once"]
    named = batch(tmp_path / "in/latest.nii.gz", out=tmp_path / "named")
    assert named.scans.keys() == {"latest.nii.gz"}


ASIDE = (
    ".Trash-1000/files",
    ".snapshot/daily",
    ".ipynb_checkpoints",
    "$Recycle.Bin",
    "s/@eaDir",
    "@eaDir",
    "__MACOSX",
    ".git",
    "lost+found",
    "System Volume Information",
)


def test_deleted_files_snapshots_and_checkpoints_are_not_searched(batch, draw, save_slice, tmp_path):
    for folder in ("s", *ASIDE):
        save_slice(tmp_path / "in" / folder / "a.png", draw())
    (tmp_path / "in/link").mkdir()
    (tmp_path / "in/link/.trash").symlink_to(tmp_path / "in/s")
    done = batch(tmp_path / "in")
    assert (done.status, done.scans.keys()) == (0, {"s"})
    (note,) = done.summary["notes"]
    assert note.startswith(
        "not searched: $Recycle.Bin, .Trash-1000, .git, .ipynb_checkpoints, .snapshot, .trash, @eaDir (2 folders), "
    )
    assert batch(tmp_path / "in/.snapshot", out=tmp_path / "named").scans.keys() == {"daily"}
    (tmp_path / "loop/.snapshot").parent.mkdir()
    (tmp_path / "loop/.snapshot").symlink_to(".snapshot")
    assert [one.file for one in discover([tmp_path / "loop"]).failures] == [".snapshot"]
    hidden = save_slice(tmp_path / "hidden/.Trash/a.png", draw()).parent
    with pytest.raises(CallError, match=r"no CT in .*: not searched: \.Trash: deleted files"):
        batch(hidden.parent, out=tmp_path / "none")
    assert not batch(hidden.parent, hidden, out=tmp_path / "both").summary["notes"]
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        for folder in ("s", *ASIDE):
            archive.write(tmp_path / "in" / folder / "a.png", f"{folder}/a.png")
    packed = batch(location(f"zip::{tmp_path / 'in.zip'}"), out=tmp_path / "packed")
    assert packed.scans.keys() == {"s"}
    assert packed.summary["notes"] == [note.replace(".trash, ", "")]
    named = batch(location(f"zip://.snapshot::{tmp_path / 'in.zip'}"), out=tmp_path / "named zip")
    assert named.scans.keys() == {"daily"}


def test_a_file_that_was_named_itself_is_not_passed_over(tree):
    folder = tree("few/1.png", "few/readme.txt", "few/DICOMDIR", "brief.pdf", "scan.zip", "notes")
    named = [folder / name for name in ("brief.pdf", "scan.zip", "few/DICOMDIR", "few/readme.txt")]
    found = discover([folder / "few", *named], listed=[folder / "notes"])
    assert {failure.file: failure.reason for failure in found.failures} == {
        "brief.pdf": "is not CT: by its name neither DICOM, a volume nor an image",
        "scan.zip": f"is an archive: give it as zip::{folder / 'scan.zip'}",
        "few/DICOMDIR": "is a list of other files: name their folder",
        "few/readme.txt": "is not CT: by its name neither DICOM, a volume nor an image",
    }
    assert found.ignored == 1


def test_files_without_an_ending_are_sniffed(tree):
    tree("picture", "1.2.840.7", content=PNG)
    tree("IM0001", content=bytes(128) + b"DICM")
    tree("volume", content=bytes(344) + b"n+1\0")
    found = discover([tree("text", content=b"BM what a text")])
    assert [(site.kind, site.files) for site in found.sites] == [
        ("volume", ("volume",)),
        ("dicom", ("IM0001",)),
        ("image", ("1.2.840.7", "picture")),
    ]
    assert found.ignored == 1


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["a.png"], ["a.png"]),
        (["a.jpg"], ["a.jpg.png"]),
        (["a.PNG"], ["a.PNG.png"]),
        (["a.dcm"], ["a.dcm.png"]),
        (["a.jpg", "a.png", "a.tif"], ["a.jpg.png", "a.png", "a.tif.png"]),
        (["a.jpg", "a.jpg.png"], ["a.jpg.png.png", "a.jpg.png"]),
        (["a.jpg", "a.jpg.png", "a.jpg.png.png"], ["a.jpg.png.png.png", "a.jpg.png", "a.jpg.png.png"]),
        (["a.dcm", "a.dcm.png"], ["a.dcm.png.png", "a.dcm.png"]),
    ],
)
def test_masks_are_named_after_their_slices_and_never_alike(tree, files, expected):
    assert masks(discover([tree(*(f"s/{file}" for file in files))])) == [f"s/{name}" for name in expected]


@pytest.mark.parametrize("below", ["1.jpg", "deep/er/1.jpg"])
def test_a_mask_is_never_called_like_a_folder_of_masks(tree, below):
    tree("s/a", content=PNG)
    found = discover([tree("s/b.jpg", f"s/a.png/{below}", "s/b.jpg.png/1.jpg", "s/a.png.png/notes.txt")])
    assert masks(found) == ["s/a.png.png", "s/b.jpg.png.png", f"s/a.png/{below}.png", "s/b.jpg.png/1.jpg.png"]


def test_slices_of_a_volume_go_into_a_folder_of_its_name(tree):
    (site,) = discover([tree("x/ct.nii.gz")]).sites
    assert mask_names_by_file(site.name, 2) == ("x/ct.nii.gz/0000.png", "x/ct.nii.gz/0001.png")


def test_the_root_of_one_folder_is_that_folder(tree):
    found = discover([tree("a/1.png", "b/c/1.png")])
    assert found.root == tree()
    assert masks(found) == ["a/1.png", "b/c/1.png"]


def test_the_root_of_a_file_is_its_folder(tree):
    folder = tree("a/1.png", "a/2.png")
    found = discover([folder / "a/2.png"])
    assert (found.root, masks(found)) == (folder / "a", ["2.png"])


def test_the_root_of_several_inputs_is_the_deepest_folder_that_holds_all(tree):
    folder = tree("x/a/1.png", "x/b/c/1.png", "x/b/c/2.png", "x/d/1.png")
    found = discover([folder / "x/a", folder / "x/b/c/2.png"])
    assert found.root == folder / "x"
    assert masks(found) == ["a/1.png", "b/c/2.png"]


def test_the_root_may_be_named(tree, monkeypatch):
    folder = tree("x/a/1.png", "x/b/1.png")
    monkeypatch.chdir(folder)
    for root in (folder, Path()):
        found = discover([folder / "x/a"], root=root)
        assert (found.root, masks(found)) == (folder, ["x/a/1.png"])
        assert found.sites[0].name == "x/a"
    with pytest.raises(CallError, match=r"--root x/a: .*/x/b is not below it"):
        discover([folder / "x/a", folder / "x/b"], root=Path("x/a"))


def test_a_root_that_is_a_scan_goes_by_its_own_name(tree):
    folder = tree("p001/1.png")
    (site,) = discover([folder / "p001"]).sites
    assert (site.name, site.mask_names(site.files)) == ("p001", ("1.png",))


def test_a_root_gives_its_name_up_to_what_lies_in_it(tree):
    found = discover([tree("p001/1.png", "p001/p001/1.png") / "p001"])
    assert [site.name for site in found.sites] == [".", "p001"]
    assert masks(found) == ["1.png", "p001/1.png"]


def test_a_relative_input_is_the_same_as_an_absolute_one(tree, monkeypatch):
    folder = tree("a/1.png")
    monkeypatch.chdir(folder)
    assert discover([Path("a")]) == discover([Path("a/../a/")]) == discover([folder / "a"])


def test_inputs_that_hold_each_other_are_searched_once(tree):
    folder = tree("a/1.png", "a/b/2.png")
    once = discover([folder / "a"])
    for inputs in (["a/b", "a"], ["a", "a/b"], ["a", "a/1.png", "a/b/2.png"], ["a", "a"]):
        assert discover([folder / name for name in inputs]) == once


def test_links_to_folders_are_followed_and_no_folder_is_searched_twice(tree):
    folder = tree("in/z/1.png", "elsewhere/2.png")
    (folder / "in/a").symlink_to("z")
    (folder / "in/out1").symlink_to(folder / "elsewhere")
    (folder / "in/out2").symlink_to(folder / "elsewhere")
    assert masks(discover([folder / "in"])) == ["out1/2.png", "z/1.png"]


def test_link_loops_end(tree):
    folder = tree("in/a/1.png")
    (folder / "in/a/up").symlink_to(folder / "in")
    (folder / "in/self").symlink_to(folder / "in/self")
    found = discover([folder / "in"])
    assert masks(found) == ["a/1.png"]
    assert [error.file.name for error in found.failed] == ["self"]


def test_links_to_files_go_by_their_own_names(tree):
    folder = tree("store/8f3a.png", "in/1.png")
    (folder / "in/2.png").symlink_to(folder / "store/8f3a.png")
    assert masks(discover([folder / "in"])) == ["1.png", "2.png"]


def test_an_input_that_is_a_link_goes_by_the_name_of_the_link(tree):
    folder = tree("store/1.png")
    (folder / "patient").symlink_to(folder / "store")
    found = discover([folder / "patient"])
    assert (found.root, found.sites[0].name) == (folder / "patient", "patient")


def test_some_folders_are_never_searched_nor_links_into_them(tree):
    folder = tree("in/1.png", "in/out/masks/1.png", "in/truth/1.png")
    (folder / "in/latest").symlink_to("out/masks")
    (folder / "in/alias").symlink_to("out")
    found = discover([folder / "in"], never=[folder / "in/out", folder / "in/truth"])
    assert masks(found) == ["1.png"]


def test_links_out_of_an_input_are_followed_although_it_lies_in_out_but_for_what_a_run_wrote(tree):
    folder = tree("study/scans/1.png", "study/archive/2.png", "study/masks/scans/1.png")
    (folder / "study/scans/old").symlink_to("../archive")
    (folder / "study/scans/made").symlink_to("../masks")
    found = discover([folder / "study/scans"], out=folder / "study")
    assert masks(found) == ["1.png", "old/2.png"]
    assert masks(discover([folder / "study/scans"], never=[folder / "study"])) == ["1.png"]  # as of reference masks


def test_above_a_link_is_where_its_target_lies(tree, monkeypatch):
    folder = tree("disk/june/1.png", "disk/ct/new.png", "ct/old.png")
    (folder / "current").symlink_to("disk/june")
    monkeypatch.chdir(folder)
    assert masks(discover([Path("current/../ct")])) == ["new.png"]
    assert discover([Path("disk/../ct")]) == discover([folder / "ct"])


@pytest.mark.skipif(sys.platform == "win32", reason="no named pipes in folders")
def test_what_cannot_be_opened_is_named_and_does_not_block(tree):
    folder = tree("1.png")
    os.mkfifo(folder / "pipe.png")
    os.mkfifo(folder / "pipe")
    (folder / "broken.dcm").symlink_to("nowhere")
    (folder / "broken.txt").symlink_to("nowhere")
    found = discover([folder])
    assert {error.file.name: error.reason for error in found.failed} == {
        "pipe.png": "is a named pipe, not a file",
        "pipe": "is a named pipe, not a file",
        "broken.dcm": "can't be opened: No such file or directory",
    }
    assert masks(found) == ["1.png"]
    assert found.ignored == 1


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="everything may be read by this user")
def test_what_may_not_be_read_is_named(tree):
    folder = tree("a/1.png", "b/1.png", "b/2")
    (folder / "a").chmod(0)
    (folder / "b/2").chmod(0)
    try:
        found = discover([folder])
    finally:
        (folder / "a").chmod(0o700)
    assert {error.file.name: error.reason for error in found.failed} == {
        "a": "can't be listed: Permission denied",
        "2": "can't be opened: Permission denied",
    }


@pytest.mark.parametrize("named", ["out/masks", "out/masks/images", "out/masks/images/1.png", "link"])
def test_what_a_run_has_written_is_refused_also_where_it_is_named(tree, batch, draw, save_slice, tmp_path, named):
    save_slice(tmp_path / "in/images/1.png", draw(1))
    out = batch(tmp_path / "in").out
    (tmp_path / "link").symlink_to("out/masks")
    with pytest.raises(CallError, match=f"was written by ctseg into {out}: name the scans"):
        discover([tmp_path / named])
    (tmp_path / "in/link").symlink_to(out / "masks/images")
    assert [site.name for site in discover([tmp_path / "in"]).sites] == ["images"]


def test_scans_in_a_folder_that_is_called_like_one_of_results_are_found_again(batch, draw, save_slice, tmp_path):
    save_slice(tmp_path / "nifti/1.png", draw(1))
    for _ in range(2):
        assert list(batch(tmp_path / "nifti", out=tmp_path).scans) == ["nifti"]
    assert [site.name for site in discover([tmp_path]).sites] == ["nifti"]


def test_an_input_that_is_not_there_is_an_error(tree):
    with pytest.raises(CallError, match="nowhere does not exist"):
        discover([tree("a/1.png"), tree() / "nowhere"])


def test_images_beside_dicom_files_are_a_scan_of_their_own(tree):
    found = discover([tree("s/1.dcm", "s/view.png", "t/1.png")])
    assert [(site.name, site.kind, site.mixed) for site in found.sites] == [
        ("s", "dicom", True),
        ("s", "image", True),
        ("t", "image", False),
    ]
