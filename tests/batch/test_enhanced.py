"""Enhanced CT through the command: the same slices as a series of files and as one object of another program."""

import csv
import os

import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.uid import JPEGLSLossless, RLELossless

from ctseg.reading import open_series
from ctseg_batch.outputs.overlay import as_shown
from ctseg_batch.reporting.sources import ScanFiles
from ctseg_batch.slice_figures import SliceFigures


@pytest.fixture
def labels(draw):
    return np.stack([draw(seed, 64, 64) for seed in range(4)])


def of_volume(done, scan):
    """The masks of a scan that is called by its file."""
    names = [name for name in done.masks if name.startswith(f"{scan}/")]
    assert names == [f"{scan}/{index:04d}.png" for index in range(len(names))]
    return np.stack([done.masks[name] for name in names])


@pytest.mark.parametrize("syntax", [None, JPEGLSLossless, RLELossless])
def test_an_enhanced_object_comes_to_what_its_series_does(batch, save_series, convert, labels, tmp_path, syntax):
    series = save_series(tmp_path / "in/series", labels)
    convert(tmp_path / "in/ct.dcm", series, **({"transfer_syntax_uid": syntax} if syntax else {}))
    done = batch(tmp_path / "in")
    assert done.status == 0
    assert done.scans.keys() == {"series", "ct.dcm"}
    np.testing.assert_array_equal(of_volume(done, "ct.dcm"), labels)
    plain, enhanced = ({**done.scans[scan], "scan": "", "series": None} for scan in ("series", "ct.dcm"))
    assert enhanced == plain
    assert enhanced["lung_ml"] > 0


def test_beside_a_series_it_is_a_scan_of_its_own(batch, save_series, convert, labels, tmp_path):
    series = save_series(tmp_path / "in/study", labels)
    convert(tmp_path / "in/study/whole.dcm", series)
    convert(tmp_path / "in/study/lower", series[:2])
    done = batch(tmp_path / "in")
    assert {name: scan["slices"] for name, scan in done.scans.items()} == {
        "study": 4, "study/lower": 2, "study/whole.dcm": 4,
    }  # fmt: skip
    np.testing.assert_array_equal(of_volume(done, "study/lower"), labels[:2])
    np.testing.assert_array_equal(np.stack([done.masks[f"study/{n:03}.dcm.png"] for n in range(4)]), labels)
    assert len(done.masks) == 10


def test_stacks_of_one_file_are_numbered(batch, save_series, convert, labels, tmp_path):
    file = convert(tmp_path / "in/ct.dcm", save_series(tmp_path / "series", labels))
    dataset = pydicom.dcmread(file)
    heights = []
    for frame in dataset.PerFrameFunctionalGroupsSequence:
        heights.append(frame.PlanePositionSequence[0].ImagePositionPatient[2])
        frame.FrameContentSequence[0].StackID = "upper" if len(heights) <= 2 else "lower"
    assert heights == sorted(heights, reverse=True)
    dataset.save_as(file)
    done = batch(tmp_path / "in")
    assert done.scans.keys() == {"ct.dcm/1", "ct.dcm/2"}
    np.testing.assert_array_equal(of_volume(done, "ct.dcm/1"), labels[2:])
    np.testing.assert_array_equal(of_volume(done, "ct.dcm/2"), labels[:2])


@pytest.mark.parametrize("names", [("a.dcm", "b.dcm"), ("ab", "a")])
def test_each_slice_of_an_object_in_two_files_is_listed_with_its_own_mask(
    batch, save_series, convert, labels, tmp_path, names
):
    series = save_series(tmp_path / "series", labels)
    for number, (name, some) in enumerate(zip(names, (series[:2], series[2:]), strict=True), start=1):
        file = convert(tmp_path / "in/p" / name, some, series_instance_uid="1.2.8")
        dataset = pydicom.dcmread(file)
        dataset.ConcatenationUID, dataset.InConcatenationNumber, dataset.InConcatenationTotalNumber = "1.2.9", number, 2
        dataset.save_as(file)
    first, second = (f"p/{name}" for name in names)
    for _ in range(2):
        done = batch(tmp_path / "in")
        np.testing.assert_array_equal(of_volume(done, first), labels)
        with (done.out / "slices.csv").open(newline="") as text:
            rows = [(row["source"], row["mask"]) for row in csv.DictReader(text)]
        assert rows == list(zip([first, first, second, second], done.masks, strict=True))


def test_its_truth_is_found_as_that_of_a_volume(batch, save_series, save_volume, save, convert, labels, tmp_path):
    convert(tmp_path / "in/p/ct.dcm", save_series(tmp_path / "series", labels))
    save_volume(tmp_path / "volumes/p/ct.nii.gz", labels, truth=True)
    for index, mask in enumerate(labels):
        save(tmp_path / f"folders/p/ct.dcm/{index:04}.png", mask)
    for kind in ("volumes", "folders"):
        scan = batch(tmp_path / "in", truth=tmp_path / kind, out=tmp_path / f"out {kind}").scan
        assert scan["iou"]["mean"] == 1


@pytest.fixture
def turned(save_series, convert, labels, tmp_path):
    """An object whose frames are turned, the labels of its voxels (columns, rows, slices), and where these lie."""

    def made(orientation):
        file = convert(tmp_path / "in/ct.dcm", save_series(tmp_path / "s", labels, ImageOrientationPatient=orientation))
        slices = [pydicom.dcmread(one) for one in sorted(tmp_path.glob("s/*"))]
        (rows, columns), low, high = slices[0].PixelSpacing, *(slices[n].ImagePositionPatient for n in (0, 1))
        across, down = np.split(np.array(orientation, float), 2)
        axes = np.column_stack([across * columns, down * rows, np.subtract(high, low), low])
        affine = np.diag([-1, -1, 1, 1]) @ np.vstack([axes, [0, 0, 0, 1]])
        (tmp_path / "truth").mkdir()
        return file, labels.transpose(2, 1, 0), affine

    return made


HEAD_FIRST, PRONE, MIRRORED, LEFT_DOWN = (
    [1, 0, 0, 0, 1, 0], [-1, 0, 0, 0, -1, 0], [-1, 0, 0, 0, 1, 0], [0, 1, 0, -1, 0, 0],
)  # fmt: skip


@pytest.mark.parametrize("orientation", [HEAD_FIRST, PRONE, MIRRORED, LEFT_DOWN])
def test_a_truth_volume_is_laid_over_frames_as_both_headers_say(batch, turned, orientation, tmp_path):
    _, voxels, affine = turned(orientation)
    image = nibabel.Nifti1Image(voxels, affine)
    for saved in (image, nibabel.as_closest_canonical(image)):
        nibabel.save(saved, tmp_path / "truth/ct.nii")
        done = batch(tmp_path / "in", truth=tmp_path / "truth")
        assert (done.status, done.scan["iou"]["mean"]) == (0, 1)
    moved, mirrored, apart, wide = np.eye(4), *map(np.diag, ([-1, 1, 1, 1], [1, 1, 1.7, 1], [1.1, 1, 1, 1]))
    moved[1, 3] = 0.6
    for wrong in (moved, mirrored, apart, wide):
        nibabel.save(nibabel.Nifti1Image(voxels, affine @ wrong), tmp_path / "truth/ct.nii")
        done = batch(tmp_path / "in", truth=tmp_path / "truth")
        assert (done.status, done.scan["iou"]) == (1, None)
        assert "is placed differently from its scan" in done.scan["errors"][0]["reason"]


@pytest.mark.parametrize(("orientation", "iou"), [(HEAD_FIRST, 1), (PRONE, None)])
def test_a_truth_volume_without_an_orientation_fits_frames_as_radiologists_look_at_them(
    batch, turned, orientation, iou, tmp_path
):
    _, voxels, _ = turned(orientation)
    image = nibabel.Nifti1Image(np.ascontiguousarray(voxels[:, ::-1]), None)
    nibabel.save(image, tmp_path / "truth/ct.nii")
    done = batch(tmp_path / "in", truth=tmp_path / "truth")
    assert (done.scan["iou"] and done.scan["iou"]["mean"]) == iou


@pytest.mark.parametrize("fault", ["gap", "gantry tilt"])
def test_its_own_label_map_is_its_truth(batch, turned, fault, tmp_path):
    """Which has an empty plane for a missing slice, and is larger than slices that are shifted against each other."""
    file, _, _ = turned(PRONE)
    dataset = pydicom.dcmread(file)
    for number, frame in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        place = frame.PlanePositionSequence[0]
        x, y, _ = place.ImagePositionPatient
        height = 3 * (number + (fault == "gap" and number > 1))
        place.ImagePositionPatient = [x, y + (0 if fault == "gap" else number), height]
    dataset.save_as(file)
    first = batch(tmp_path / "in", write=["mask", "nifti"])
    assert first.scan["flags"][0] == fault
    assert batch(tmp_path / "in", truth=first.out / "nifti", out=tmp_path / "again").scan["iou"]["mean"] == 1


def test_a_truth_volume_of_frames_that_are_no_block_is_refused(batch, turned, save, tmp_path):
    file, voxels, affine = turned(PRONE)
    dataset = pydicom.dcmread(file)
    frames = dataset.PerFrameFunctionalGroupsSequence
    place = frames[1].PlanePositionSequence[0].ImagePositionPatient
    place[2] += 0.4 * abs(place[2] - frames[0].PlanePositionSequence[0].ImagePositionPatient[2])
    dataset.save_as(file)
    nibabel.save(nibabel.Nifti1Image(voxels, affine), tmp_path / "truth/ct.nii")
    (error,) = batch(tmp_path / "in", truth=tmp_path / "truth").scan["errors"]
    assert error["reason"] == (
        "can't be aligned with its scan: its slices are unevenly spaced; give a folder with one mask per slice"
    )


def test_the_same_call_opens_nothing_and_a_change_does_that_scan_again(
    batch, save_series, convert, labels, counted, tmp_path, monkeypatch
):
    series = save_series(tmp_path / "in/s", labels)
    file = convert(tmp_path / "in/s/ct.dcm", series)
    first = batch(tmp_path / "in")
    assert counted() == 8

    with monkeypatch.context() as patched:
        patched.setattr("ctseg.reading.open_series", lambda *_: pytest.fail("opened again"))
        again = batch(tmp_path / "in")
    assert (again.summary["scans"], again.times) == (first.summary["scans"], first.times)
    (first.out / "masks/s/ct.dcm/0002.png").unlink()
    assert batch(tmp_path / "in").masks.keys() == first.masks.keys()
    assert counted() == 4
    os.utime(file, ns=(1, 1))
    batch(tmp_path / "in")
    assert counted() == 4
    os.utime(series[0], ns=(1, 1))
    batch(tmp_path / "in")
    assert counted() == 4


def test_another_truth_has_it_scored_again(batch, save_series, save_volume, convert, labels, tmp_path):
    convert(tmp_path / "in/ct.dcm", save_series(tmp_path / "series", labels))
    save_volume(tmp_path / "truth/ct.nii", labels, truth=True)
    assert batch(tmp_path / "in", truth=tmp_path / "truth").scan["iou"]["mean"] == 1
    save_volume(tmp_path / "truth/ct.nii", (labels + 1) % 4, truth=True)
    assert batch(tmp_path / "in", truth=tmp_path / "truth").scan["iou"]["mean"] == 0


def test_a_frame_that_is_cut_off_fails_alone_until_it_is_there(batch, save_series, convert, labels, counted, tmp_path):
    file = convert(tmp_path / "in/ct.dcm", save_series(tmp_path / "series", labels))
    whole, found = file.read_bytes(), file.stat()
    file.write_bytes(whole[:-100])
    os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns))
    done = batch(tmp_path / "in")
    # The last frame of the file is the lowest slice.
    assert list(done.masks) == [f"ct.dcm/{index:04}.png" for index in (1, 2, 3)]
    assert (done.status, done.scan["status"], done.scan["failed_slices"]) == (1, "partial", 1)
    (error,) = done.scan["errors"]
    assert error["file"] == "ct.dcm"
    assert "cut off" in error["reason"]
    counted()
    assert batch(tmp_path / "in").status == 1
    assert counted() == 0
    file.write_bytes(whole)
    done = batch(tmp_path / "in")
    assert done.status == 0
    np.testing.assert_array_equal(of_volume(done, "ct.dcm"), labels)


def test_what_it_no_longer_holds_leaves_no_masks(batch, save_series, save_volume, convert, labels, tmp_path):
    series = save_series(tmp_path / "series", labels)
    for shrunk in (series[:3], series[:1]):
        convert(tmp_path / "in/ct.dcm", shrunk)
        save_volume(tmp_path / "in/ct.nii", labels[: len(shrunk)])
        done = batch(tmp_path / "in")
        np.testing.assert_array_equal(of_volume(done, "ct.nii"), labels[: len(shrunk)])
    # A file of one frame is a slice.
    assert list(done.masks) == ["ct.dcm.png", "ct.nii/0000.png"]
    (tmp_path / "in/ct.dcm").write_bytes(b"")
    assert list(batch(tmp_path / "in").masks) == ["ct.nii/0000.png"]


def test_masks_that_a_lost_journal_no_longer_tells_of_are_cleared_too(batch, save_series, convert, labels, tmp_path):
    series = save_series(tmp_path / "series", labels)
    file = convert(tmp_path / "in/ct.dcm", series)
    dataset = pydicom.dcmread(file)
    for number, frame in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        frame.FrameContentSequence[0].StackID = "upper" if number < 2 else "lower"
    dataset.save_as(file)
    for after in (file, convert(tmp_path / "whole.dcm", series), convert(tmp_path / "less.dcm", series[:2])):
        after.replace(file)
        done = batch(tmp_path / "in")
        journal = done.out / ".ctseg/journal.jsonl"
        journal.write_bytes(journal.read_bytes().splitlines(keepends=True)[0])
        masks = {scan: found["slices"] for scan, found in done.scans.items()}
        assert list(done.masks) == [f"{scan}/{index:04d}.png" for scan in masks for index in range(masks[scan])]
    assert masks == {"ct.dcm": 2}


def test_frames_that_are_left_out_are_told_and_the_rest_is_done(batch, save_series, convert, labels, tmp_path):
    file = convert(tmp_path / "in/ct.dcm", save_series(tmp_path / "series", labels))
    dataset = pydicom.dcmread(file)
    dataset.PerFrameFunctionalGroupsSequence[0].PlaneOrientationSequence = [pydicom.Dataset()]
    dataset.PerFrameFunctionalGroupsSequence[0].PlaneOrientationSequence[0].ImageOrientationPatient = [
        1,
        0,
        0,
        0,
        0,
        -1,
    ]
    dataset.save_as(file)
    for _ in range(2):
        done = batch(tmp_path / "in")
        np.testing.assert_array_equal(of_volume(done, "ct.dcm"), labels[:3])
        assert done.summary["skipped"] == [{"file": "ct.dcm", "reason": "1 of 4 frames: coronal reformat"}]
        assert done.status == 0


def image(file):
    """The label map that nibabel reads: labels (slices, rows, columns), and where its voxels lie."""
    made = nibabel.load(file)
    return np.asarray(made.dataobj).transpose(2, 1, 0), made.affine


def test_its_label_map_lies_where_that_of_its_series_does(batch, save_series, convert, labels, tmp_path):
    series = save_series(tmp_path / "in/study", labels)
    convert(tmp_path / "in/study/study", series)  # called as the series is
    done = batch(tmp_path / "in", write=("nifti",))
    assert done.status == 0
    plain, enhanced = (image(done.out / f"nifti/study/{name}.nii.gz") for name in ("study", "study/study"))
    np.testing.assert_array_equal(enhanced[0], labels)
    np.testing.assert_array_equal(enhanced[0], plain[0])
    np.testing.assert_allclose(enhanced[1], plain[1], atol=1e-4)


def test_the_label_maps_of_several_stacks_are_numbered_and_old_ones_go(
    batch, save_series, convert, labels, counted, tmp_path
):
    file, series = tmp_path / "in/ct.dcm", save_series(tmp_path / "series", labels)
    convert(file, series)
    assert label_maps(batch(tmp_path / "in", write=("mask", "nifti"))) == {"ct.dcm/ct.dcm.nii.gz"}
    dataset = pydicom.dcmread(file)
    for number, frame in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        frame.FrameContentSequence[0].StackID = "upper" if number < 2 else "lower"
    dataset.save_as(file)
    done = batch(tmp_path / "in", write=("mask", "nifti"))
    assert label_maps(done) == {"ct.dcm/1.nii.gz", "ct.dcm/2.nii.gz"}
    np.testing.assert_array_equal(image(done.out / "nifti/ct.dcm/2.nii.gz")[0], labels[:2])
    counted()
    batch(tmp_path / "in", write=("mask", "nifti"))
    assert counted() == 0
    (done.out / "nifti/ct.dcm/2.nii.gz").unlink()
    assert label_maps(batch(tmp_path / "in", write=("mask", "nifti"))) == {"ct.dcm/1.nii.gz", "ct.dcm/2.nii.gz"}
    assert counted() == 2
    convert(file, series)
    assert label_maps(batch(tmp_path / "in", write=("mask", "nifti"))) == {"ct.dcm/ct.dcm.nii.gz"}


def label_maps(done):
    folder = done.out / "nifti"
    return {file.relative_to(folder).as_posix() for file in folder.rglob("*.nii.gz")}


def test_a_frame_that_failed_is_tried_again_and_nothing_else_where_label_maps_are_all(
    batch, save_series, convert, labels, counted, tmp_path
):
    file = convert(tmp_path / "in/ct.dcm", save_series(tmp_path / "series", labels))
    whole, found = file.read_bytes(), file.stat()
    file.write_bytes(whole[:-100])
    os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns))
    done = batch(tmp_path / "in", write=("nifti",))
    assert done.scan["failed_slices"] == 1
    made = image(done.out / "nifti/ct.dcm/ct.dcm.nii.gz")[0]
    np.testing.assert_array_equal(made[1:], labels[1:])
    assert not made[0].any()
    counted()
    assert batch(tmp_path / "in", write=("nifti",)).status == 1
    assert counted() == 0
    file.write_bytes(whole)
    done = batch(tmp_path / "in", write=("nifti",))
    assert done.status == 0
    np.testing.assert_array_equal(image(done.out / "nifti/ct.dcm/ct.dcm.nii.gz")[0], labels)


@pytest.mark.parametrize("count", [1, 4])
def test_there_is_no_dicom_segmentation_of_it_and_a_note_says_why(batch, save_series, convert, labels, tmp_path, count):
    convert(tmp_path / "in/ct.dcm", save_series(tmp_path / "series", labels)[:count])
    done = batch(tmp_path / "in", write=("mask", "dicom-seg"))
    assert (done.status, done.scan["flags"]) == (0, batch(tmp_path / "in", out=tmp_path / "plain").scan["flags"])
    assert not [*(done.out / "dicom-seg").rglob("*.dcm")]
    (note,) = done.summary["notes"]
    assert note.startswith("no dicom-seg of 1 scan")
    assert "enhanced CT" in note


def test_the_report_shows_each_frame_as_its_own_slice(save_series, convert, labels, tmp_path):
    convert(tmp_path / "ct.dcm", save_series(tmp_path / "series", labels))
    rows = [SliceFigures("ct.dcm", f"ct.dcm/{index:04}.png", None) for index in range(4)]
    shown = ScanFiles(tmp_path / "out", tmp_path, "ct.dcm", rows)
    expected = [as_shown(slice_) for slice_ in open_slices(tmp_path / "series")]
    for place in range(4):
        np.testing.assert_array_equal(shown.ct(place, (64, 64)), expected[place])


def open_slices(folder):
    (series,) = open_series(sorted(folder.iterdir())).series
    return [series.read(index) for index in range(len(series))]
