import gzip
import struct

import nibabel
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, ornt_transform

from ctseg.errors import UnreadableFile
from ctseg.phantom import Phantom, write_dicom, write_nifti
from ctseg.reading import open_series, open_volume, read_mask_volume

# Slices from the feet up, rows from the front, columns from the patient's right: what every file below must give.
SHOWN = np.arange(3 * 4 * 5, dtype=np.int16).reshape(3, 4, 5) * 7 - 1000
STEPS = (2.5, 0.7, 0.8)  # of slices, rows, columns


def image(codes, voxels=None, form=nibabel.Nifti1Image):
    """SHOWN as a NIfTI image whose axes run towards `codes`, `RAS` or any other."""
    shown = SHOWN if voxels is None else voxels
    lps = shown.transpose(2, 1, 0)  # columns run to the left, rows to the back, slices to the head
    affine = np.diag([-STEPS[2], -STEPS[1], STEPS[0], 1.0])
    turn = ornt_transform(axcodes2ornt("LPS"), axcodes2ornt(codes))
    turned = nibabel.orientations.apply_orientation(lps, turn)
    return form(np.ascontiguousarray(turned), affine @ inv_ornt_aff(turn, lps.shape))


def slices(volume):
    return np.stack([volume.read(index).pixels for index in range(len(volume))])


@pytest.mark.parametrize("codes", ["RAS", "LPS", "LAS", "RPI", "PIR", "ASL", "SRA", "IPL"])
def test_any_orientation_is_shown_as_radiologists_see_it(tmp_path, codes):
    file = tmp_path / "ct.nii"
    written = image(codes)
    assert "".join(nibabel.aff2axcodes(written.affine)) == codes
    nibabel.save(written, file)
    volume = open_volume(file)
    np.testing.assert_array_equal(slices(volume), SHOWN)
    assert volume.lengths_mm == pytest.approx(STEPS)
    assert volume.flags == ()
    assert volume.is_stack


@pytest.mark.parametrize("codes", ["RAS", "PIR", "SRA"])
def test_a_mask_goes_back_to_the_files_own_axes(tmp_path, codes):
    file = tmp_path / "ct.nii.gz"
    labels = (np.arange(SHOWN.size) % 4).astype(np.uint8).reshape(SHOWN.shape)
    nibabel.save(image(codes), file)
    expected = np.asanyarray(image(codes, labels).dataobj)
    np.testing.assert_array_equal(open_volume(file).grid().filled(dict(enumerate(labels))), expected)


@pytest.mark.parametrize("form", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_both_versions_and_compression(tmp_path, form, ending):
    file = tmp_path / f"ct{ending}"
    nibabel.save(image("RAS", form=form), file)
    volume = open_volume(file)
    assert volume.read(0).domain == "hu"
    np.testing.assert_array_equal(slices(volume), SHOWN)
    volume.close()
    np.testing.assert_array_equal(volume.read(2).pixels, SHOWN[2])


def test_slope_and_intercept_hold(tmp_path):
    file = tmp_path / "ct.nii"
    written = image("RAS", ((SHOWN + 1000) // 2).astype(np.uint8))
    written.header.set_slope_inter(2, -1000)
    nibabel.save(written, file)
    stored = nibabel.load(file)
    assert stored.dataobj.slope == 2
    np.testing.assert_array_equal(slices(open_volume(file)), stored.get_fdata()[::-1, ::-1].transpose(2, 1, 0))


def test_fractions_are_kept_and_padding_is_air(tmp_path):
    file = tmp_path / "ct.nii"
    values = SHOWN.astype(np.float32) + 0.25
    values[0, 0, 0] = -3000
    nibabel.save(image("RAS", values), file)
    expected = values.copy()
    expected[0, 0, 0] = -1024
    np.testing.assert_array_equal(slices(open_volume(file)), expected)


def test_values_that_never_go_low_are_grey_in_the_volumes_own_range_but_for_rare_ones(tmp_path):
    file = tmp_path / "ct.nii"
    values = np.arange(2000, dtype=np.int16).repeat(16).reshape(20, 40, 40)
    values[7, :2, :2] = 30000
    nibabel.save(image("RAS", values), file)
    volume = open_volume(file)
    assert volume.read(0).domain == "grey8"
    assert volume.read(0).is_stretched
    assert volume.flags == ()
    shown = slices(volume)
    assert (shown.min(), shown.max()) == (0, 255)
    np.testing.assert_allclose(shown, np.clip((values - 10.0) * (255 / 1980), 0, 255), atol=1.5)
    volume.close()
    assert volume.read(1).is_stretched


@pytest.mark.parametrize(("lowest", "domain"), [(-201, "hu"), (-200, "grey8"), (-160, "grey8")])
def test_values_are_hounsfield_where_they_go_below_minus_200(tmp_path, lowest, domain):
    values = np.linspace(lowest, 240, SHOWN.size).round().astype(np.int16).reshape(SHOWN.shape)
    nibabel.save(image("RAS", values), tmp_path / "ct.nii")
    assert open_volume(tmp_path / "ct.nii").read(0).domain == domain


@pytest.mark.parametrize("codes", ["RAS", "PIR"])
def test_8_bits_are_grey_as_they_are(tmp_path, codes):
    grey = (np.arange(SHOWN.size) + 90).astype(np.uint8).reshape(SHOWN.shape)
    nibabel.save(image(codes, grey), tmp_path / "ct.nii")
    volume = open_volume(tmp_path / "ct.nii")
    assert volume.read(0).domain == "grey8"
    np.testing.assert_array_equal(slices(volume), grey)
    assert not volume.read(0).is_stretched


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(tmp_path, bad):
    file = tmp_path / "ct.nii"
    values = SHOWN.astype(np.float32)
    values[1, 1, 1] = bad
    nibabel.save(image("RAS", values), file)
    with pytest.raises(UnreadableFile, match="not finite"):
        open_volume(file).read(0)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_a_volume_that_was_cut_off_anywhere_is_refused(tmp_path, ending):
    file = tmp_path / f"ct{ending}"
    noise = np.random.default_rng(0).integers(-1000, 1000, (6, 9, 9)).astype(np.int16)
    nibabel.save(image("RAS", noise), file)
    whole = file.read_bytes()
    for end in range(0, len(whole), 37):
        file.write_bytes(whole[:end])
        with pytest.raises(UnreadableFile, match="ct"):
            open_volume(file).read(0)


def test_a_damaged_gzip_is_refused_by_its_checksum(tmp_path):
    file = tmp_path / "ct.nii.gz"
    nibabel.save(image("RAS"), file)
    content = bytearray(gzip.decompress(file.read_bytes()))
    packed = bytearray(gzip.compress(content, compresslevel=0))
    packed[-40] ^= 1
    file.write_bytes(packed)
    with pytest.raises(UnreadableFile, match="damaged"):
        open_volume(file).read(0)


def test_a_header_that_promises_more_than_there_is_takes_no_memory(tmp_path):
    file = tmp_path / "ct.nii"
    nibabel.save(image("RAS"), file)
    content = bytearray(file.read_bytes())
    struct.pack_into("<8h", content, 40, 3, 30000, 30000, 30000, 1, 1, 1, 1)
    file.write_bytes(content)
    with pytest.raises(UnreadableFile):
        open_volume(file)


def test_memory_is_taken_for_what_there_is_and_not_for_what_a_compressed_header_promises(tmp_path, peak_memory):
    file = tmp_path / "ct.nii.gz"
    content = bytearray(image("RAS").to_bytes())
    struct.pack_into("<8h", content, 40, 3, 1024, 1024, 1000, 1, 1, 1, 1)
    file.write_bytes(gzip.compress(content) + bytes(3_000_000))  # as many bytes as could hold so much
    with pytest.raises(UnreadableFile, match="cut off: it holds"):
        open_volume(file).read(0)
    assert peak_memory() < 50_000_000


def test_a_bomb_is_unpacked_as_far_as_its_header_goes(tmp_path, peak_memory):
    file = tmp_path / "ct.nii.gz"
    file.write_bytes(gzip.compress(image("RAS").to_bytes()) + gzip.compress(bytes(2**24)) * 64)
    np.testing.assert_array_equal(slices(open_volume(file)), SHOWN)
    assert peak_memory() < 50_000_000


@pytest.mark.parametrize("step", [0, 1e-20, 1e6, np.nan])
def test_voxels_that_are_no_distance_apart_are_refused(tmp_path, step):
    file = tmp_path / "ct.nii"
    content = bytearray(image("RAS").to_bytes())
    struct.pack_into("<4f", content, 280, step, 0, 0, 0)  # srow_x
    file.write_bytes(content)
    with pytest.raises(UnreadableFile, match="can't be used"):
        open_volume(file)


@pytest.mark.parametrize("read", [lambda file: open_volume(file).read(0), lambda file: read_mask_volume(file, None)])
def test_a_slope_that_leads_nowhere_is_refused(tmp_path, read):
    file = tmp_path / "ct.nii"
    content = bytearray(image("RAS").to_bytes())
    struct.pack_into("<2f", content, 112, 3e38, 1.0)
    file.write_bytes(content)
    with pytest.raises(UnreadableFile, match="not finite"):
        read(file)


def test_a_volume_that_becomes_another_after_its_header_was_read_is_refused(tmp_path):
    file = tmp_path / "ct.nii"
    nibabel.save(image("RAS"), file)
    volume = open_volume(file)
    file.write_bytes(b"%PDF-1.7" + bytes(file.stat().st_size))
    with pytest.raises(UnreadableFile, match="has changed"):
        volume.read(0)


def test_several_volumes_in_a_file_are_refused_and_one_in_four_dimensions_is_not(tmp_path):
    file = tmp_path / "ct.nii"
    flat = np.asanyarray(image("RAS").dataobj)
    affine = image("RAS").affine
    nibabel.save(nibabel.Nifti1Image(np.stack([flat, flat], axis=-1), affine), file)
    with pytest.raises(UnreadableFile):
        open_volume(file)
    nibabel.save(nibabel.Nifti1Image(flat[..., None], affine), file)
    np.testing.assert_array_equal(slices(open_volume(file)), SHOWN)


def test_colours_are_refused(tmp_path):
    file = tmp_path / "ct.nii"
    colours = np.zeros((4, 4, 4), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    nibabel.save(nibabel.Nifti1Image(colours, np.eye(4)), file)
    with pytest.raises(UnreadableFile):
        open_volume(file)


@pytest.mark.parametrize("form", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("ending", ["nii", "nii.gz"])
def test_voxels_that_would_begin_within_the_header_are_refused(tmp_path, form, ending):
    """nibabel and ITK read other bytes of such a file, and both not the voxels."""
    plain = tmp_path / "plain.nii"
    nibabel.save(form(np.zeros((4, 5, 6), np.int16), np.eye(4)), plain)
    written = bytearray(plain.read_bytes())
    at, code = (108, "<f") if form is nibabel.Nifti1Image else (168, "<q")
    struct.pack_into(code, written, at, 0)
    file = tmp_path / f"ct.{ending}"
    file.write_bytes(gzip.compress(written) if ending == "nii.gz" else written)
    with pytest.raises(UnreadableFile, match="would begin within its header, at byte 0: save it again"):
        open_volume(file)


def test_an_oblique_volume_and_one_without_orientation_say_so(tmp_path):
    file = tmp_path / "ct.nii"
    written = image("RAS")
    turn = np.eye(4)
    turn[1:3, 1:3] = [[np.cos(0.2), -np.sin(0.2)], [np.sin(0.2), np.cos(0.2)]]
    nibabel.save(nibabel.Nifti1Image(np.asanyarray(written.dataobj), turn @ written.affine), file)
    assert open_volume(file).flags == ("oblique",)
    assert open_volume(file).patients_right == "left"
    written.set_sform(None, code=0)
    written.set_qform(None, code=0)
    nibabel.save(written, file)
    assert "orientation unknown" in open_volume(file).flags
    assert open_volume(file).patients_right is None


def test_a_header_that_tells_of_two_spacings_says_so(tmp_path):
    file = tmp_path / "ct.nii"
    written = image("RAS")
    written.set_sform(written.affine, 1)
    for scale, flags in ((1.005, ()), (1.2, ("two spacings",))):
        written.set_qform(written.affine @ np.diag([scale, scale, scale, 1]), 1)
        nibabel.save(written, file)
        assert open_volume(file).flags == flags
        assert open_volume(file).lengths_mm == pytest.approx(STEPS)
    written.set_sform(None, 0)
    nibabel.save(written, file)
    assert open_volume(file).flags == ()
    assert open_volume(file).lengths_mm == pytest.approx(np.multiply(STEPS, 1.2))


@pytest.mark.parametrize(
    ("turn", "flags"),
    [
        (np.diag([-1, 1, 1, 1]), ("two orientations",)),
        (np.diag([1, 1, -1, 1]), ("two orientations",)),
        (np.diag([-1, -1, 1, 1]), ("two orientations",)),
        (np.array([[0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]), ("two orientations",)),
        (np.array([[0.96, -0.28, 0, 9], [0.28, 0.96, 0, -9], [0, 0, 1, 30], [0, 0, 0, 1]]), ()),
    ],
)
def test_a_header_that_tells_of_two_orientations_says_so_and_knows_no_sides(tmp_path, turn, flags):
    file = tmp_path / "ct.nii"
    written = image("RAS")
    written.set_sform(written.affine, 1)
    written.set_qform(turn @ written.affine, 1)
    nibabel.save(written, file)
    assert open_volume(file).flags == flags
    assert open_volume(file).patients_right == (None if flags else "left")
    for code, side in ((0, "left"), (1, None if flags else "left")):
        written.header["qform_code"] = code
        nibabel.save(written, file)
        assert open_volume(file).patients_right == side


@pytest.mark.parametrize(("unit", "time", "mm"), [("mm", "sec", 1), ("meter", "sec", 1000), ("micron", "msec", 0.001)])
def test_lengths_are_in_the_unit_of_the_header_whatever_that_of_time_is(tmp_path, unit, time, mm):
    written = image("RAS")
    written.set_sform(np.diag([1 / mm, 1 / mm, 1 / mm, 1]) @ written.affine, 1)
    written.header.set_xyzt_units(unit, time)
    nibabel.save(written, tmp_path / "ct.nii")
    assert open_volume(tmp_path / "ct.nii").lengths_mm == pytest.approx(STEPS)


def test_a_qform_that_is_no_rotation_leaves_the_sform(tmp_path):
    written = image("RAS")
    written.header["qform_code"], written.header["quatern_b"] = 1, 2
    nibabel.save(written, tmp_path / "ct.nii")
    assert open_volume(tmp_path / "ct.nii").flags == ()


@pytest.mark.parametrize("form", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_voxels_that_are_0_mm_apart_are_refused_unless_an_affine_says_better(tmp_path, form):
    written = form(np.zeros((4, 5, 6), np.int16), np.diag([0.7, 0.7, 5, 1]))
    written.header["pixdim"][3] = 0
    nibabel.save(written, tmp_path / "ct.nii")
    assert open_volume(tmp_path / "ct.nii").lengths_mm == pytest.approx((5, 0.7, 0.7))
    written.header["sform_code"], written.header["qform_code"] = 0, 1
    with (tmp_path / "ct.nii").open("r+b") as file:
        file.write(written.header.binaryblock)
    with pytest.raises(UnreadableFile, match=r"0\.7 x 0\.7 x 0 mm apart"):
        open_volume(tmp_path / "ct.nii")


def test_slices_shifted_against_each_other_are_as_far_apart_as_along_their_normal(tmp_path):
    """A gantry tilted by 20 degrees, the table moved by 5 mm a slice: as dcm2niix writes it, rows turned, steps not."""
    tilt = np.radians(20)
    affine = np.array([[0.7, 0, 0, 0], [0, 0.7 * np.cos(tilt), 0, 0], [0, 0.7 * np.sin(tilt), 5, 0], [0, 0, 0, 1]])
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 5, 6), np.int16), affine), tmp_path / "ct.nii")
    volume = open_volume(tmp_path / "ct.nii")
    assert volume.lengths_mm == pytest.approx((5 * np.cos(tilt), 0.7, 0.7), abs=1e-5)
    assert np.prod(volume.lengths_mm) == pytest.approx(np.linalg.det(affine[:3, :3]), rel=1e-5)
    assert "gantry tilt" in volume.flags


def test_rows_and_columns_that_are_not_at_right_angles_are_refused(tmp_path):
    """As MetaImage and NRRD are: slices pushed over each other stay pictures of the patient, skewed ones do not."""
    affine = np.array([[0.7, 0.25, 0, 0], [0, 0.7, 0, 0], [0, 0, 5, 0], [0, 0, 0, 1]])
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 5, 6), np.int16), affine), tmp_path / "ct.nii")
    with pytest.raises(UnreadableFile, match="not at right angles: resample it first"):
        open_volume(tmp_path / "ct.nii")


def test_the_labels_of_a_mask_volume_are_exact(tmp_path):
    labels = (np.arange(SHOWN.size) % 5).astype(np.uint8).reshape(SHOWN.shape)
    for codes, dtype in (("RAS", np.uint8), ("PIR", np.int32), ("LPS", np.float32)):
        file = tmp_path / f"{codes}.nii.gz"
        nibabel.save(image(codes, labels.astype(dtype)), file)
        np.testing.assert_array_equal(read_mask_volume(file, None), labels)
    nibabel.save(image("RAS", labels + np.float32(0.5)), tmp_path / "half.nii")
    with pytest.raises(UnreadableFile, match="fractions"):
        read_mask_volume(tmp_path / "half.nii", None)


@pytest.mark.parametrize("kept", [slice(2, 6), slice(4)])
def test_masks_of_more_slices_than_the_scan_has_are_refused(tmp_path, kept):
    """Whichever are too many: each would be taken for another's."""
    phantom = Phantom(seed=0, slices=6, size=32)
    write_nifti(phantom, tmp_path / "ct.nii", tmp_path / "mask.nii")
    write_dicom(phantom, tmp_path / "series")
    whole = nibabel.load(tmp_path / "ct.nii")
    nibabel.save(whole.slicer[:, :, kept], tmp_path / "some.nii")
    files = open_series(sorted((tmp_path / "series").iterdir())).series[0].files
    for scan in (open_volume(tmp_path / "some.nii"), open_series(files[kept]).series[0]):
        with pytest.raises(UnreadableFile, match="has 6 slices, but its scan 4: they must agree"):
            read_mask_volume(tmp_path / "mask.nii", scan)
