"""`--write nifti`, opened by nibabel and SimpleITK: the same voxels, at the same place in the patient."""

import gzip
import itertools
import json

import cv2
import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, ornt_transform

HU = np.array([-1000, -600, -200, 100], np.int16)
NIFTI = ("nifti",)


@pytest.fixture
def labels(draw):
    """Three slices that no turn or flip leaves the same."""
    return np.stack([draw(seed, 64, 48) for seed in range(3)])


@pytest.fixture
def square(draw):
    return np.stack([draw(seed, 64, 64) for seed in range(4)])


def labels_of(values):
    """What the model makes of HU."""
    return np.searchsorted([-800, -400, 0], values).astype(np.uint8)


def series_image(folder):
    """A DICOM series as SimpleITK (GDCM) sees it."""
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return reader.Execute()


def check_same_place(label_map, scan):
    """Every voxel of a label map, seen through the scan's own grid, is what the model says of the scan there."""
    seen = SimpleITK.Resample(label_map, scan, SimpleITK.Transform(), SimpleITK.sitkNearestNeighbor, 99)
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(seen), labels_of(SimpleITK.GetArrayFromImage(scan)))


def nifti_of(labels, codes, form=nibabel.Nifti1Image):
    """Labels as HU in a NIfTI image whose axes run towards `codes`."""
    lps = np.ascontiguousarray(HU[labels].transpose(2, 1, 0))
    affine = np.diag([-0.8, -0.797, 0.803, 1.0])
    affine[:3, 3] = 40.5, 30.25, -700
    turn = ornt_transform(axcodes2ornt("LPS"), axcodes2ornt(codes))
    turned = nibabel.orientations.apply_orientation(lps, turn)
    return form(np.ascontiguousarray(turned), affine @ inv_ornt_aff(turn, lps.shape))


@pytest.mark.parametrize("codes", ["RAS", "LPS", "LAS", "PIR", "SRA", "IPL"])
@pytest.mark.parametrize("form", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_a_nifti_gets_labels_in_its_own_voxels(batch, labels, tmp_path, codes, form):
    source = nifti_of(labels, codes, form)
    source.set_qform(source.affine, 3)
    source.set_sform(source.affine, 4)
    source.header["descrip"] = b"Doe^John 1970"
    (tmp_path / "in").mkdir()
    nibabel.save(source, tmp_path / "in/ct.nii.gz")
    batch(tmp_path / "in", write=NIFTI)
    made = nibabel.load(tmp_path / "out/nifti/ct.nii.gz")
    assert type(made) is form
    np.testing.assert_array_equal(made.dataobj, labels_of(np.asarray(source.dataobj)))
    np.testing.assert_array_equal(made.affine, nibabel.load(tmp_path / "in/ct.nii.gz").affine)
    assert made.get_data_dtype() == np.uint8
    for field in ("dim", "pixdim", "xyzt_units", "qform_code", "sform_code", "quatern_b", "qoffset_x", "srow_x"):
        np.testing.assert_array_equal(made.header[field], source.header[field])
    assert b"Doe" not in gzip.decompress((tmp_path / "out/nifti/ct.nii.gz").read_bytes())
    if form is nibabel.Nifti1Image:  # SimpleITK reads no other
        check_same_place(*(SimpleITK.ReadImage(str(tmp_path / place / "ct.nii.gz")) for place in ("out/nifti", "in")))


@pytest.mark.parametrize(
    "change",
    [
        lambda image: image.set_sform(None, 0),
        lambda image: image.set_qform(None, 0),
        lambda image: (image.set_qform(None, 0), image.set_sform(None, 0)),
        lambda image: image.set_sform(image.affine @ np.diag([1, 1, 1.5, 1]), 2, update_affine=False),
        lambda image: image.header.set_xyzt_units("micron"),
    ],
    ids=["no sform", "no qform", "neither", "another sform", "micrometres"],
)
def test_whatever_places_a_nifti_places_its_labels(batch, labels, tmp_path, change):
    source = nifti_of(labels, "LAS")
    source.set_qform(source.affine, 1)
    source.set_sform(source.affine, 1)
    change(source)
    (tmp_path / "in").mkdir()
    nibabel.save(source, tmp_path / "in/ct.nii")
    batch(tmp_path / "in", write=NIFTI)
    made, source = nibabel.load(tmp_path / "out/nifti/ct.nii.nii.gz"), nibabel.load(tmp_path / "in/ct.nii")
    np.testing.assert_array_equal(made.affine, source.affine)
    np.testing.assert_array_equal(made.dataobj, labels_of(np.asarray(source.dataobj)))
    for form in ("get_qform", "get_sform"):
        assert getattr(made, form)(coded=True)[1] == getattr(source, form)(coded=True)[1]
    assert made.header.get_xyzt_units() == source.header.get_xyzt_units()


@pytest.mark.parametrize("shape", [(48, 64, 3, 1), (48, 64)])
def test_labels_have_the_shape_of_their_source(batch, labels, tmp_path, shape):
    source = HU[labels].transpose(2, 1, 0)[:, :, : shape[2] if len(shape) > 2 else 1].reshape(shape)
    (tmp_path / "in").mkdir()
    nibabel.save(nibabel.Nifti1Image(source, np.diag([-0.7, -0.7, 1, 1])), tmp_path / "in/ct.nii")
    scan = batch(tmp_path / "in", write=NIFTI).scan
    np.testing.assert_array_equal(nibabel.load(tmp_path / "out/nifti/ct.nii.nii.gz").dataobj, labels_of(source))
    assert ("spacing may be a default" in scan["flags"]) == (len(shape) == 2)


@pytest.mark.parametrize("ending", [".mha", ".mhd", ".nrrd", ".nhdr"])
@pytest.mark.parametrize("turn", [np.eye(3), np.array([[0, 1, 0], [0, 0, -1], [-1, 0, 0]])])
def test_metaimage_and_nrrd_have_their_labels_where_simpleitk_sees_their_voxels(batch, labels, tmp_path, ending, turn):
    a = 0.15
    oblique = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]]) @ turn
    scan = SimpleITK.GetImageFromArray(HU[labels])
    scan.SetSpacing((0.8, 0.797, 0.803))
    scan.SetOrigin((-120.5, 33, -7))
    scan.SetDirection(oblique.ravel().tolist())
    (tmp_path / "in").mkdir()
    SimpleITK.WriteImage(scan, str(tmp_path / f"in/ct{ending}"))
    batch(tmp_path / "in", write=NIFTI)
    made = SimpleITK.ReadImage(str(tmp_path / f"out/nifti/ct{ending}.nii.gz"))
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(made), labels)
    check_same_place(made, scan)


def place(files, orientation, spacing=(0.797, 0.8), step=2.5, slide=(0.0, 0.0, 0.0)):
    """Write slices' places anew, in order along the normal of their plane; `slide`: how far each leaves it, in mm."""
    across, down = np.array(orientation[:3], float), np.array(orientation[3:], float)
    normal = np.cross(across, down)
    for index, file in enumerate(files):
        dataset = pydicom.dcmread(file)
        dataset.ImageOrientationPatient = [round(float(c), 9) for c in orientation]
        place = np.array([-100.5, 40.25, -300.0]) + index * (normal * step + np.array(slide))
        dataset.ImagePositionPatient = [round(float(c), 6) for c in place]
        dataset.PixelSpacing = list(spacing)
        dataset.save_as(file)


C, S = np.cos(0.25), np.sin(0.25)


@pytest.mark.parametrize(
    "orientation",
    [
        (1, 0, 0, 0, 1, 0),
        (-1, 0, 0, 0, -1, 0),  # prone, as some scanners leave it
        (-1, 0, 0, 0, 1, 0),  # feet first
        (1, 0, 0, 0, -1, 0),
        (C, S, 0, -S, C, 0),  # the head turned
        (1, 0, 0, 0, C, -S),  # oblique, slices and all
        (0, 1, 0, -1, 0, 0),
    ],
)
def test_a_series_has_its_labels_where_simpleitk_sees_its_slices(batch, save_series, square, tmp_path, orientation):
    files = save_series(tmp_path / "in/ct", square, stems=["z", "b", "y", "a"])
    place(files, orientation)
    done = batch(tmp_path / "in", write=("mask", "nifti"))
    made = SimpleITK.ReadImage(str(tmp_path / "out/nifti/ct/ct.nii.gz"))
    check_same_place(made, series_image(tmp_path / "in/ct"))
    assert made.GetSpacing() == pytest.approx((0.8, 0.797, 2.5), abs=1e-5)
    assert done.status == 0
    for mask, file in zip(square, files, strict=True):
        np.testing.assert_array_equal(done.masks[f"ct/{file.name}.png"], mask)


def test_where_a_slice_is_missing_the_label_map_is_empty_and_the_others_stay_in_place(
    batch, save_series, square, tmp_path
):
    files = save_series(tmp_path / "in/ct", square)
    place(files, (1, 0, 0, 0, 1, 0))
    whole = series_image(tmp_path / "in/ct")
    files[2].unlink()
    done = batch(tmp_path / "in", write=NIFTI)
    made = SimpleITK.ReadImage(str(tmp_path / "out/nifti/ct/ct.nii.gz"))
    assert made.GetSize() == whole.GetSize()
    kept = square * np.array([1, 1, 0, 1], np.uint8)[:, None, None]
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(made), kept)
    assert made.TransformIndexToPhysicalPoint((5, 6, 3)) == pytest.approx(
        whole.TransformIndexToPhysicalPoint((5, 6, 3)), abs=1e-4
    )
    assert "gap" in done.scan["flags"]


def test_positions_that_were_rounded_are_even_all_the_same(batch, draw, save_series, tmp_path):
    """1.25 mm apart, written as 1.2 or 1.3: over a whole scan, steps of either would be centimetres off."""
    labels = np.stack([draw(seed % 5, 64, 64) for seed in range(40)])
    files = save_series(tmp_path / "in/ct", labels)
    for index, file in enumerate(files):
        dataset = pydicom.dcmread(file)
        dataset.ImagePositionPatient = [0, 0, round(index * 1.25 + 0.01, 1)]
        dataset.save_as(file)
    done = batch(tmp_path / "in", write=NIFTI)
    made = nibabel.load(tmp_path / "out/nifti/ct/ct.nii.gz")
    assert made.header.get_xyzt_units()[0] == "mm"
    assert made.shape == (64, 64, 40)
    assert made.affine[2, 2] == pytest.approx(1.25, abs=0.005)
    assert done.scan["spacing_mm"][0] == pytest.approx(made.affine[2, 2], abs=1e-5)


def test_a_label_map_moves_where_another_scan_comes_or_goes_that_has_its_name(
    batch, labels, square, save_series, save_volume, tmp_path
):
    def made():
        files = sorted((tmp_path / "out/nifti").rglob("*.nii.gz"))
        return {str(file.relative_to(tmp_path / "out/nifti")): nibabel.load(file).shape for file in files}

    save_series(tmp_path / "in/ct", square)
    for _ in range(2):
        batch(tmp_path / "in", write=NIFTI)
        assert made() == {"ct/ct.nii.gz": (64, 64, 4)}
        volume = save_volume(tmp_path / "in/ct/ct.nii.gz", labels)
        batch(tmp_path / "in", write=NIFTI)
        assert made() == {"ct/ct.nii.gz": (48, 64, 3), "ct/ct#scan.nii.gz": (64, 64, 4)}
        volume.unlink()


@pytest.mark.parametrize("slide", [(0, 0.67, 0), (0.3, -0.5, 0)])
def test_the_slices_of_a_tilted_gantry_are_shifted_to_their_places(batch, save_series, square, tmp_path, slide):
    """Each pixel lies within half of one of where its file says; the axes are at right angles, as ITK needs them."""
    files = save_series(tmp_path / "in/ct", square)
    place(files, (1, 0, 0, 0, 1, 0), slide=slide)
    done = batch(tmp_path / "in", write=NIFTI)
    assert "gantry tilt" in done.scan["flags"]
    made = SimpleITK.ReadImage(str(tmp_path / "out/nifti/ct/ct.nii.gz"))
    found = SimpleITK.GetArrayFromImage(made)
    assert found.shape[1] > 64
    assert np.bincount(found.ravel(), minlength=4)[1:].tolist() == np.bincount(square.ravel(), minlength=4)[1:].tolist()
    for mask, file in zip(square, files, strict=True):
        corner = made.TransformPhysicalPointToContinuousIndex(
            [float(c) for c in pydicom.dcmread(file).ImagePositionPatient]
        )
        # At half a pixel either neighbour is as near.
        near = itertools.product(*({int(np.floor(c + e)) for e in (0.49, 0.51)} for c in corner))
        assert any(np.array_equal(found[z, y : y + 64, x : x + 64], mask) for x, y, z in near)


def moved(dataset, by):
    left, back, head = dataset.ImagePositionPatient
    dataset.ImagePositionPatient = [left, back, float(head) + by]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda index, d: moved(d, 1.1 * (index == 1)), "unevenly spaced"),
        (lambda index, d: moved(d, -2.5 * (index == 2)), "same place"),
        (lambda index, d: setattr(d, "PixelSpacing", [0.7, 0.8 + 0.1 * (index == 3)]), "differ in size"),
        (
            lambda index, d: setattr(d, "ImageOrientationPatient", [1, 0, 0, 0, C, S] if index else [1, 0, 0, 0, 1, 0]),
            "not parallel",
        ),
    ],
)
def test_of_what_no_affine_can_tell_there_is_no_label_map_and_the_scan_says_so(
    batch, save_series, square, tmp_path, change, reason
):
    files = save_series(tmp_path / "in/ct", square)
    place(files, (1, 0, 0, 0, 1, 0))
    batch(tmp_path / "in", write=("mask", "nifti"))
    assert (tmp_path / "out/nifti/ct/ct.nii.gz").is_file()
    for index, file in enumerate(files):
        dataset = pydicom.dcmread(file)
        change(index, dataset)
        dataset.save_as(file)
    for _ in range(2):
        done = batch(tmp_path / "in", write=("mask", "nifti"))
        (flag,) = [flag for flag in done.scan["flags"] if flag.startswith("no nifti")]
        assert reason in flag
        assert done.summary["notes"] == [f"no nifti of 1 scan: {flag.removeprefix('no nifti: ')}"]
        assert done.status == 0
        assert len(done.masks) == 4
        assert not list((tmp_path / "out/nifti").rglob("*.nii.gz"))
    assert done.summary["throughput"]["slices"] == 0


def test_a_slice_that_failed_is_background_and_the_scan_says_so(batch, save_series, square, tmp_path):
    files = save_series(tmp_path / "in/ct", square)
    files[1].write_bytes(files[1].read_bytes()[:-100])
    done = batch(tmp_path / "in", write=NIFTI)
    found = np.asarray(nibabel.load(tmp_path / "out/nifti/ct/ct.nii.gz").dataobj)
    kept = square * np.array([1, 0, 1, 1], np.uint8)[:, None, None]
    np.testing.assert_array_equal(found, kept.transpose(2, 1, 0))
    assert "failed slices are background in nifti" in done.scan["flags"]


def test_images_are_stacked_where_somebody_says_how_far_apart_they_lie(batch, save_slice, labels, tmp_path):
    for name, mask in zip(("2", "10", "30"), labels, strict=True):
        save_slice(tmp_path / f"in/images/{name}.png", mask)
    done = batch(tmp_path / "in", write=NIFTI, spacing=(2.5, 0.797, 0.8))
    made = SimpleITK.ReadImage(str(tmp_path / "out/nifti/images/images.nii.gz"))
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(made), labels)
    assert made.GetSpacing() == pytest.approx((0.8, 0.797, 2.5))
    assert made.GetDirection() == (1, 0, 0, 0, 1, 0, 0, 0, 1)  # as radiologists look at them
    assert done.summary["notes"] == []
    without = batch(tmp_path / "in", write=NIFTI, out=tmp_path / "without")
    assert without.summary["notes"] == [
        "no nifti of 1 scan: images form a stack only with --spacing Z,Y,X, and only up to 4096 of them"
    ]
    assert not list((tmp_path / "without/nifti").rglob("*.nii.gz"))
    assert without.scan["flags"] == []


def test_a_series_without_places_is_stacked_where_somebody_says_how_far_apart_its_slices_lie(
    batch, save_series, square, tmp_path
):
    for file in save_series(tmp_path / "in/ct", square):
        dataset = pydicom.dcmread(file)
        del dataset.ImagePositionPatient, dataset.SliceLocation
        dataset.PixelSpacing = [0.7, 0.8]
        dataset.InstanceNumber = 9 - int(file.stem)  # as scanners count
        dataset.save_as(file)
    done = batch(tmp_path / "in", write=NIFTI)
    assert "no nifti: its slices do not say where they lie, and there is no --spacing" in done.scan["flags"]
    batch(tmp_path / "in", write=NIFTI, spacing=(2.5, 9.0, 9.0))
    made = SimpleITK.ReadImage(str(tmp_path / "out/nifti/ct/ct.nii.gz"))
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(made), square)
    assert made.GetSpacing() == pytest.approx((0.8, 0.7, 2.5))


@pytest.mark.parametrize(
    "orientation", [(1, 0, 0, 0, 1, 0), (-1, 0, 0, 0, 1, 0), (-1, 0, 0, 0, -1, 0), (0, 1, 0, 1, 0, 0)]
)
@pytest.mark.parametrize("spacing", [None, (9.0, 9.0, 9.0)])
def test_a_series_without_positions_is_turned_and_spaced_as_its_files_say(
    batch, save_series, square, tmp_path, orientation, spacing
):
    files = save_series(tmp_path / "in/ct", square)
    place(files, orientation)
    whole = series_image(tmp_path / "in/ct")
    for file in files:
        dataset = pydicom.dcmread(file)
        left, back, dataset.SliceLocation = dataset.ImagePositionPatient
        del dataset.ImagePositionPatient
        dataset.save_as(file)
    files[1].unlink()
    done = batch(tmp_path / "in", write=NIFTI, spacing=spacing)
    made = SimpleITK.ReadImage(str(tmp_path / "out/nifti/ct/ct.nii.gz"))
    assert made.GetSpacing() == pytest.approx(done.scan["spacing_mm"][::-1], abs=1e-5)
    made.SetOrigin(np.add(made.GetOrigin(), (left, back, 0)).tolist())  # which nothing says any more
    seen = SimpleITK.Resample(made, whole, SimpleITK.Transform(), SimpleITK.sitkNearestNeighbor, 99)
    expected = labels_of(SimpleITK.GetArrayFromImage(whole))
    expected[1] = 0
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(seen), expected)


@pytest.mark.parametrize(("kind", "code"), [("series", 1), ("series without positions", 2), ("images", 2)])
def test_only_what_says_where_it_lies_is_in_the_coordinates_of_the_scanner(
    batch, save_series, save_slice, square, tmp_path, kind, code
):
    for number, file in enumerate(save_series(tmp_path / "in", square)):
        if kind == "images":
            file.unlink()
            save_slice(tmp_path / f"in/{number}.png", square[number])
        elif kind != "series":
            dataset = pydicom.dcmread(file)
            del dataset.ImagePositionPatient
            dataset.SliceLocation = 5 * number
            dataset.save_as(file)
    batch(tmp_path / "in", write=NIFTI, spacing=(5.0, 1.0, 1.0))
    header = nibabel.load(tmp_path / "out/nifti/in.nii.gz").header
    assert (header["sform_code"], header["qform_code"]) == (code, code)
    np.testing.assert_allclose(header.get_qform(), header.get_sform(), atol=1e-4)


@pytest.mark.parametrize("lost", ["PixelSpacing", "ImageOrientationPatient"])
def test_a_series_with_positions_keeps_its_place_whatever_else_it_leaves_open(
    batch, save_series, square, tmp_path, lost
):
    for number, file in enumerate(save_series(tmp_path / "in/ct", square)):
        dataset = pydicom.dcmread(file)
        dataset.ImagePositionPatient = [-194.5, -232.5, 3 * number - 168.5]
        if lost == "PixelSpacing" or number % 2:
            delattr(dataset, lost)
        dataset.save_as(file)
    step = tuple(pydicom.dcmread(tmp_path / "in/ct/000.dcm").get("PixelSpacing", (0.7, 0.8)))
    batch(tmp_path / "in", write=NIFTI, spacing=(3.0, *step))
    made = SimpleITK.ReadImage(str(tmp_path / "out/nifti/ct/ct.nii.gz"))
    assert made.GetOrigin() == pytest.approx((-194.5, -232.5, -168.5))
    assert made.GetSpacing() == pytest.approx((*step[::-1], 3))
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(made), square)


@pytest.mark.parametrize(
    ("lost", "count", "expected"),
    [
        (("ImagePositionPatient", "SliceLocation"), 3, (5, 0.7, 0.8)),
        (("PixelSpacing",), 3, (3, 1, 2)),
        (("PixelSpacing", "ImagePositionPatient", "SliceLocation"), 3, (5, 1, 2)),
        ((), 3, (3, 0.7, 0.8)),
        (("SliceThickness",), 1, (5, 0.7, 0.8)),
        (("PixelSpacing",), 1, (4, 1, 2)),
    ],
)
def test_spacing_fills_what_files_leave_open_and_nothing_else(
    batch, save_series, square, tmp_path, lost, count, expected
):
    for number, file in enumerate(save_series(tmp_path / "in/ct", square)):
        dataset = pydicom.dcmread(file)
        dataset.PixelSpacing, dataset.SliceThickness = [0.7, 0.8], 4
        dataset.ImagePositionPatient = [0, 0, 3 * number]
        dataset.SliceLocation = 3 * number
        for tag in lost:
            delattr(dataset, tag)
        dataset.save_as(file)
        if number >= count:
            file.unlink()
    done = batch(tmp_path / "in", write=NIFTI, spacing=(5.0, 1.0, 2.0))
    made = SimpleITK.ReadImage(str(tmp_path / "out/nifti/ct/ct.nii.gz"))
    assert made.GetSpacing() == pytest.approx(expected[::-1])
    assert tuple(done.scan["spacing_mm"]) == pytest.approx(expected)
    assert done.scan["lung_ml"] == pytest.approx(np.count_nonzero(square[:count]) * np.prod(expected) / 1000)
    assert done.summary["notes"] == ([] if lost else ["--spacing was not used: the files give their own"])


def test_images_of_several_sizes_are_no_stack(batch, save_slice, draw, tmp_path):
    save_slice(tmp_path / "in/a/1.png", draw(1, 64, 48))
    save_slice(tmp_path / "in/a/2.png", draw(1, 64, 40))
    save_slice(tmp_path / "in/b/1.png", draw(1, 64, 48))
    done = batch(tmp_path / "in", write=("mask", "nifti"), spacing=(1.0, 1.0, 1.0))
    assert done.summary["notes"] == ["no nifti of 1 scan: images of several sizes"]
    assert [f.name for f in (tmp_path / "out/nifti").rglob("*.nii.gz")] == ["b.nii.gz"]
    assert len(done.masks) == 3


def test_300_images_are_one_stack(batch, save_slice, draw, tmp_path):
    for number in range(300):
        save_slice(tmp_path / f"in/{number}.png", draw(number % 7, 64, 16))
    done = batch(tmp_path / "in", write=NIFTI, spacing=(1.0, 1.0, 1.0))
    made = np.asarray(nibabel.load(tmp_path / "out/nifti/in.nii.gz").dataobj)
    np.testing.assert_array_equal(made, np.stack([draw(n % 7, 64, 16) for n in range(300)]).transpose(2, 1, 0))
    assert done.scan["slices"] == 300


def test_names_and_colours_go_along(batch, save_volume, labels, make_model, tmp_path):
    save_volume(tmp_path / "in/ct.nii.gz", labels)
    model = make_model(tmp_path / "mine.onnx", name="mine", version="7")
    done = batch(tmp_path / "in", write=NIFTI, model=str(model))
    header = nibabel.load(tmp_path / "out/nifti/ct.nii.gz").header
    assert header.get_intent()[0] == "label"
    assert bytes(header["aux_file"]).rstrip(b"\0") == b"labels.txt"
    (extension,) = header.extensions
    assert extension.get_code() == 6  # a comment
    told = json.loads(extension.get_content())
    assert told["model"] == {"name": "mine", "version": "7", "sha256": done.summary["model"]["sha256"]}
    colours = {0: (0, 0, 0), 1: (58, 134, 255), 2: (255, 190, 11), 3: (230, 57, 70)}
    assert {label["value"]: tuple(label["rgb"]) for label in told["labels"]} == colours
    names = {label["value"]: label["name"] for label in told["labels"]}
    for line in (done.out / "nifti/labels.ctbl").read_text().splitlines():
        if not line.startswith("#"):
            index, name, *colour = line.split()
            assert (name, tuple(map(int, colour))) == (names[int(index)], (*colours[int(index)], 255 * (index != "0")))
    rows = [r for r in (done.out / "nifti/labels.txt").read_text().splitlines() if not r.startswith("#")]
    assert len(rows) == 4
    for row in rows:
        fields, name, _ = row.split('"')
        index, *colour, alpha, visible, mesh = map(int, fields.split())
        assert (name.replace(" ", "_"), tuple(colour)) == (names[index], colours[index])
        assert alpha == visible == mesh == (index > 0)


def test_the_same_call_gives_the_same_bytes(batch, save_volume, labels, tmp_path):
    save_volume(tmp_path / "in/ct.nii.gz", labels)
    made = [batch(tmp_path / "in", write=NIFTI, out=tmp_path / f"out{n}", workers=n).out for n in (1, 3)]
    assert (made[0] / "nifti/ct.nii.gz").read_bytes() == (made[1] / "nifti/ct.nii.gz").read_bytes()


def test_it_is_a_truth_for_the_scan_that_it_was_made_of(batch, save_volume, labels, tmp_path):
    save_volume(tmp_path / "in/ct.nii.gz", labels)
    batch(tmp_path / "in", write=NIFTI)
    again = batch(tmp_path / "in", truth=tmp_path / "out/nifti", out=tmp_path / "again")
    assert again.scan["iou"]["mean"] == 1


def test_masks_and_label_map_agree(batch, save_volume, labels, tmp_path):
    save_volume(tmp_path / "in/ct.nii.gz", labels)
    batch(tmp_path / "in", write=("mask", "nifti"))
    masks = [cv2.imread(str(tmp_path / f"out/masks/ct.nii.gz/{index:04d}.png"), -1) for index in range(3)]
    found = SimpleITK.DICOMOrient(SimpleITK.ReadImage(str(tmp_path / "out/nifti/ct.nii.gz")), "LPS")
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(found), masks)


def test_a_stack_of_images_with_too_many_voxels_has_no_label_map_and_says_so(
    batch, draw, save_slice, monkeypatch, tmp_path
):
    monkeypatch.setattr("ctseg.grid.MOST_VOXELS", 1000)
    for number in range(2):
        save_slice(tmp_path / f"in/{number}.png", draw(number))
    done = batch(tmp_path / "in", spacing=(5, 1, 1), write=("mask", "nifti"))
    assert (done.status, done.scan["errors"]) == (0, [])
    (left_out,) = done.scan["left_out"]
    assert "it would have 2 x" in left_out["reason"]


def test_a_series_that_is_tilted_has_its_labels_where_its_slices_lie(batch, square, save_series, tmp_path):
    """The pixels are not square, and slices are shifted by whole ones."""
    files = save_series(tmp_path / "in/ct", square)
    for index, file in enumerate(files):
        dataset = pydicom.dcmread(file)
        dataset.PixelSpacing = [0.5, 1.0]
        dataset.ImagePositionPatient = [-100.5 + 0.9 * index, 40.25 - 1.3 * index, 2.5 * index]
        dataset.save_as(file)
    done = batch(tmp_path / "in", write=("mask", "nifti"))
    made = SimpleITK.ReadImage(str(done.out / "nifti/ct/ct.nii.gz"))
    found = SimpleITK.GetArrayFromImage(made)
    for file in files:
        place = [float(c) for c in pydicom.dcmread(file).ImagePositionPatient]
        x, y, z = made.TransformPhysicalPointToIndex(place)
        np.testing.assert_array_equal(found[z, y : y + 64, x : x + 64], done.masks[f"ct/{file.name}.png"])
