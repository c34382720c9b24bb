"""The Python API: the same labels and figures as the command's, and errors that say what was wrong."""

import ast
import gc
import json
import os
import pickle
import subprocess
import sys
import weakref
from pathlib import Path

import cv2
import nibabel
import nrrd
import numpy as np
import pytest
import SimpleITK
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ctseg_batch
from ctseg.classes import CLASSES
from ctseg.cleanup import Cleanup
from ctseg.reading import volume as volume_reading
from ctseg_batch.network import engine

ROOT = Path(__file__).parents[2]
HU = np.array([-1000, -600, -200, 100], np.int16)


@pytest.fixture
def strict(make_model, tmp_path):
    """A model with both rules: what is smaller than a tenth of the largest piece goes, and specks in a slice."""
    return str(make_model(tmp_path / "strict.onnx", cleanup=Cleanup(slice_fraction=0.001, volume_fraction=0.1)))


@pytest.fixture
def segment(strict):
    return ctseg_batch.Segmenter(strict, device="cpu", workers=2)


def figures(scan, of=("spacing_mm", "pixels", "volumes_ml", "lung_ml", "involvement_percent", "flags", "slices")):
    return json.loads(json.dumps({key: scan[key] for key in of}))


@pytest.mark.parametrize("kind", ["png", "npy", "nii.gz", "mha", "nhdr", "series", "enhanced", "images"])
def test_a_path_gives_what_the_command_gives(
    batch, segment, strict, speck, save, save_volume, save_series, convert, tmp_path, kind
):
    source = tmp_path / "in" / "ct"
    if kind == "series":
        save_series(source, speck, ["b", "a", "d", "c"])
    elif kind in ("mha", "nhdr"):
        source = tmp_path / f"in/ct.{kind}"
        source.parent.mkdir()
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(HU[speck]), source)
    elif kind == "enhanced":
        source = convert(tmp_path / "in/ct.dcm", save_series(tmp_path / "series", speck))
    elif kind == "images":
        for number, labels in enumerate(speck):
            save(source / f"{number}.png", labels * 64 + 32)
    elif kind == "nii.gz":
        source = save_volume(tmp_path / "in/ct.nii.gz", speck, (5, 2, 2))
    else:
        pixels = speck[2] * 64 + 32 if kind == "png" else HU[speck[2]]
        source = save(tmp_path / f"in/ct.{kind}", pixels)
    result = segment(source)
    done = batch(source, model=strict)
    stems = {"series": ["b", "a", "d", "c"]}.get(kind)
    masks = [done.masks[f"{stem}.dcm.png"] for stem in stems] if stems else list(done.masks.values())
    expected = masks[0] if kind in ("png", "npy") else np.stack(masks)
    np.testing.assert_array_equal(result.labels, expected)
    assert result.labels.dtype == np.uint8
    assert figures(result.measures) == figures(done.scan)
    assert (result.device, result.precision) == ("cpu", "fp32")


@pytest.mark.parametrize(
    "stored",
    [
        lambda labels: HU[labels],
        lambda labels: HU[labels].astype(np.float64),
        lambda labels: HU[labels].astype(">i2"),
        lambda labels: np.asfortranarray(HU[labels]),
        lambda labels: HU[labels[::-1, ::-1]][::-1, ::-1],
        lambda labels: labels * 64 + 32,
        lambda labels: labels.astype(np.uint16) * 1000 + 700,
        lambda labels: (labels / 3).tolist(),
    ],
    ids=["HU", "floats", "big-endian", "columns first", "reversed", "grey", "16 bits", "lists"],
)
def test_a_stack_of_any_kind_of_numbers_has_the_rules_of_a_volume(segment, speck, stored):
    lungs = np.where(speck == 3, 0, speck)
    lungs[:, 8:32, 36:56] = 3
    result = segment(stored(np.maximum(lungs, speck)), spacing=(5, 2, 2))
    np.testing.assert_array_equal(result.labels, lungs)
    lung = np.count_nonzero(lungs)
    assert result.lung_ml == pytest.approx(lung * 20 / 1000)
    assert result.volumes_ml == pytest.approx(
        {"normal_lung": lung / 2 * 0.02, "ground_glass": lung / 4 * 0.02, "consolidation": lung / 4 * 0.02}
    )
    assert result.involvement_percent == pytest.approx(50)
    assert result.spacing_mm == (5, 2, 2)
    assert "lungs cut off at the first slice" in result.flags


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(["array", "stack", ".png", ".npy"]),
    offset=st.integers(0, 20_000),
    slope=st.floats(0.2, 12),
    spot=st.integers(0, 65_535),
    place=st.integers(0, 64 * 48 - 1),
)
def test_any_scaling_of_a_16_bit_slice_gives_the_same_labels(
    quarters, draw, save, tmp_path, kind, offset, slope, spot, place
):
    """Whatever one pixel holds."""
    labels = draw()
    texture = np.random.default_rng(0).integers(0, 200, labels.shape)
    stored = np.rint((labels * 1000.0 + texture) * slope + offset).astype(np.uint16)
    stored.ravel()[place] = spot
    segment = ctseg_batch.Segmenter(str(quarters), device="cpu", workers=1)
    if kind == "stack":
        found = segment(np.stack([stored, stored])).labels[1]
    else:
        found = segment(stored if kind == "array" else save(tmp_path / f"a{kind}", stored)).labels
    np.testing.assert_array_equal(np.delete(found, place), np.delete(labels, place))


def test_an_array_gives_what_a_volume_file_of_it_gives(batch, segment, strict, speck, save_volume, tmp_path):
    save_volume(tmp_path / "in/ct.nii", speck, (5, 2, 2))
    done = batch(tmp_path / "in", model=strict)
    result = segment(HU[speck], (5, 2, 2))
    np.testing.assert_array_equal(result.labels, np.stack(list(done.masks.values())))
    assert figures(result.measures) == figures(done.scan)


@pytest.mark.parametrize("kind", ["file", "array"])
def test_full_measures_are_those_of_the_command(batch, strict, speck, save_volume, tmp_path, kind):
    file = save_volume(tmp_path / "in/ct.nii", speck, (5, 4, 4))
    segment = ctseg_batch.Segmenter(strict, device="cpu", measures="full")
    result = segment(file) if kind == "file" else segment(HU[speck], (5, 4, 4))
    done = batch(file, model=strict, measures="full").scan
    told = ("regions", "severity", "lesions")
    assert figures(result.measures, told) == figures(done, told)
    assert result.measures["regions"]["left"]["percent"]["ground_glass"] == pytest.approx(100)
    assert ("sides assumed" in result.flags) == (kind == "array")  # an array does not say where the right is


def test_a_slice_is_flat_and_has_no_rule_of_volumes(segment, speck):
    result = segment(HU[speck[2]])
    np.testing.assert_array_equal(result.labels, speck[2])
    assert (result.volumes_ml, result.lung_ml, result.spacing_mm) == (None, None, None)
    assert result.confidence is None


def test_an_array_of_numbers_that_can_be_no_hu_is_flagged(segment, speck):
    assert "not rescaled to HU" not in segment(HU[speck]).flags
    assert "not rescaled to HU" in segment(HU[speck] + 1024).flags
    assert "not rescaled to HU" not in segment((speck * 80).astype(np.uint8)).flags


def test_the_callers_array_stays_as_it_is(segment, speck):
    for stored in (HU[speck], speck * 64 + 32):
        before = stored.copy()
        labels = segment(stored).labels
        labels[...] = 9
        np.testing.assert_array_equal(stored, before)


def test_any_number_of_workers_gives_the_same(strict, draw):
    stack = HU[np.stack([draw(seed, 64, 64) for seed in range(9)])]
    one, many = (ctseg_batch.Segmenter(strict, "cpu", workers=n)(stack, (1, 1, 1)) for n in (1, 4))
    np.testing.assert_array_equal(one.labels, many.labels)
    assert one.measures == many.measures


def test_confidence_is_that_of_the_command(command, draw, save_slice, tmp_path):
    file = save_slice(tmp_path / "in/a.png", draw(3, 64, 64))
    command(file, "--out", tmp_path / "out", "--model", "fast", "--write", "mask,confidence")
    result = ctseg_batch.Segmenter(device="cpu").with_confidence(file)
    for kind, found in (("masks", result.labels), ("confidence", result.confidence)):
        np.testing.assert_array_equal(found, cv2.imread(str(tmp_path / f"out/{kind}/a.png"), -1))
    stack = ctseg_batch.Segmenter(device="cpu").with_confidence(np.stack([cv2.imread(str(file), -1)] * 2))
    np.testing.assert_array_equal(stack.confidence, np.stack([result.confidence] * 2))


def test_native_labels_lie_as_the_voxels_of_the_file(segment, speck, save_volume, tmp_path):
    file = save_volume(tmp_path / "ct.nii.gz", speck[:3], (5, 2, 2))
    result = segment(file)
    voxels = nibabel.load(file).get_fdata()
    assert result.native_labels.shape == voxels.shape
    expected = np.searchsorted(HU, voxels.astype(np.int16))
    np.testing.assert_array_equal(result.native_labels, np.where(expected == 3, 0, expected))
    array = segment(HU[speck])
    assert array.native_labels is array.labels


@pytest.mark.parametrize(
    ("orientation", "side"),
    [([1, 0, 0, 0, 1, 0], "left"), ([-1, 0, 0, 0, -1, 0], "right"), ([0, 1, 0, -1, 0, 0], "bottom")],
)
def test_slices_of_a_series_lie_as_stored_and_the_patients_right_is_told(
    segment, speck, save_series, save_volume, tmp_path, orientation, side
):
    save_series(tmp_path / "ct", speck, ImageOrientationPatient=orientation)
    result = segment(tmp_path / "ct")
    assert result.patients_right == side
    assert {tuple(np.argwhere(labels == 2)[0]) for labels in result.labels} == {(8, 36)}
    assert segment(save_volume(tmp_path / "ct.nii", speck)).patients_right == "left"
    assert segment(HU[speck]).patients_right is None


def test_native_labels_of_nrrd_lie_as_pynrrd_has_its_voxels(segment, speck, tmp_path):
    """A file whose first axis runs from the feet up, its second to the left."""
    file = tmp_path / "ct.nrrd"
    space = {"space": "left-posterior-superior", "space directions": [[0, 0, 5], [2, 0, 0], [0, 2, 0]]}
    nrrd.write(str(file), HU[speck[:3]].transpose(0, 2, 1), space)
    result = segment(file)
    assert result.labels.shape == (3, 64, 64)
    np.testing.assert_array_equal(result.labels, np.where(speck[:3] == 3, 0, speck[:3]))
    np.testing.assert_array_equal(result.native_labels, result.labels.transpose(0, 2, 1))


def test_an_overlay_is_in_rgb_and_shows_the_slice_with_most_disease(segment, speck, save_series, tmp_path):
    speck[0, 20:30, 8:28] = 2
    save_series(tmp_path / "ct", speck)
    result = segment(tmp_path / "ct")
    np.testing.assert_array_equal(result.overlay(), result.overlay(0))
    picture = result.overlay(1)
    assert picture.shape == (64 + 72, 64, 3)
    assert tuple(picture[8, 36]) == CLASSES[2].colour  # the outline of the lesion
    assert tuple(picture[8, 8]) == CLASSES[1].colour
    np.testing.assert_array_equal(result.overlay(-3), picture)
    for index in (4, -5):
        with pytest.raises(IndexError, match=f"ct has no slice {index}: it has 4 slices"):
            result.overlay(index)
    assert segment(HU[speck[1]]).overlay().shape == (64 + 72, 64, 3)


def test_an_overlay_leaves_nothing_of_a_volume_in_memory(segment, speck, save_volume, tmp_path, monkeypatch):
    loaded = []

    def noted(*given):
        whole = real(*given)
        loaded.append(weakref.ref(whole.voxels))
        return whole

    real = volume_reading._load
    monkeypatch.setattr(volume_reading, "_load", noted)
    result = segment(save_volume(tmp_path / "ct.nii", speck))
    np.testing.assert_array_equal(result.overlay(1), result.overlay(1))
    gc.collect()
    assert [voxels() for voxels in loaded] == [None] * 3


def test_a_folder_with_several_scans_is_an_error_that_names_them_and_scans_goes_through_them(
    batch, segment, strict, speck, save, save_volume, save_series, tmp_path
):
    top = tmp_path / "in"
    save_volume(top / "ct.nii", speck, (5, 2, 2))
    save_series(top / "series", speck, SeriesInstanceUID="1.2.3")
    for number in range(300):
        save(top / "images" / f"{number}.png", speck[number % 4] * 64 + 32)
    with pytest.raises(ctseg_batch.CallError, match=r"holds 3 scans \(ct.nii, images, series\): segment one at a time"):
        segment(top)
    done = batch(top, model=strict)
    found = {scan.name: segment(scan) for scan in segment.scans(top)}
    for number in range(4):
        save_volume(top / f"more\x1b/{number}.nii", speck, (5, 2, 2))
    with pytest.raises(
        ctseg_batch.CallError, match=r"holds 7 scans \(ct.nii, images, more\\x1b/0.nii.* and 2 others\):"
    ):
        segment(top)
    assert list(found) == list(done.scans)
    for name, result in found.items():
        assert result.name == name
        assert figures(result.measures) == figures(done.scans[name])
    assert found["images"].labels.shape == (300, 64, 64)


def test_scans_of_one_series_in_several_folders_are_known_by_it(batch, segment, strict, speck, save_series, tmp_path):
    for name in "ab":
        save_series(tmp_path / "in" / name, speck)
    done = batch(tmp_path / "in", model=strict)
    flag = "other files of the series in another folder"
    for scan in segment.scans(tmp_path / "in"):
        result, told = segment(scan), done.scans[scan.name]
        assert [*result.flags, flag] == told["flags"]
        assert result.measures["series"] == told["series"] == segment(tmp_path / "in" / scan.name).measures["series"]
        assert told["series"]


def test_each_file_of_a_folder_is_known_by_its_own_name(segment, speck, save, save_series, tmp_path):
    save_series(tmp_path / "in/series", speck)
    for number in range(2):
        save(tmp_path / f"in/images/{number}.png", speck[number] * 64 + 32)
    files = sorted((tmp_path / "in").rglob("*.*"))
    assert len(files) > 4
    assert [segment(file).name for file in files] == [file.name for file in files]


def test_scans_takes_the_filters_of_the_command(segment, speck, save_series, tmp_path):
    for number in (1, 2):
        uids = {"SeriesInstanceUID": f"1.2.{number}", "StudyInstanceUID": "1.3"}
        save_series(tmp_path / "in", speck[:number], [f"{number}-{n}" for n in range(number)], **uids)
    for thin in (["slices<2"], "slices<2"):
        assert [len(found.scan) for found in segment.scans(tmp_path / "in", series_filter=thin)] == [1]
    assert len(list(segment.scans(tmp_path / "in", best_series=True))) == 1
    with pytest.raises(ctseg_batch.CallError, match="like thickness<=2"):
        list(segment.scans(tmp_path / "in", series_filter=["thin"]))


def test_what_cannot_be_read_is_an_error_with_the_files_name(segment, speck, save_series, save_volume, save, tmp_path):
    files = save_series(tmp_path / "in/ct", speck)
    files[1].write_bytes(files[1].read_bytes()[:-100])
    with pytest.raises(ctseg_batch.UnreadableFile, match=f"{files[1]}: can't be used: it holds 8092 bytes"):
        segment(tmp_path / "in/ct")
    files[1].write_bytes(files[1].read_bytes()[:60])
    with pytest.raises(ctseg_batch.UnreadableFile, match=f"{files[1]}: "):
        segment(tmp_path / "in/ct")
    save(tmp_path / "odd/a.png", speck[0] * 64)
    (tmp_path / "odd/b.png").symlink_to("nowhere")
    with pytest.raises(ctseg_batch.UnreadableFile, match=r"b\.png: can't be opened"):
        segment(tmp_path / "odd")
    volume = save_volume(tmp_path / "in/v/a.nii", speck)
    volume.write_bytes(volume.read_bytes()[:-100])
    with pytest.raises(ctseg_batch.UnreadableFile, match=r"a\.nii: is cut off"):
        segment(volume)
    volume.write_bytes(b"none")
    save(tmp_path / "in/p/a.png", speck[0] * 64)
    names = {}
    for scan in segment.scans(tmp_path / "in"):
        try:
            names[scan.name] = segment(scan).labels.shape
        except ctseg_batch.UnreadableFile as error:
            names[scan.name] = error.file.name
    assert names == {"ct": "001.dcm", "p": (1, 64, 64), "v/a.nii": "a.nii"}


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (np.zeros((2, 3, 4, 5)), "neither one slice"),
        (np.zeros(7), "neither one slice"),
        (np.zeros((0, 4)), "is empty"),
        (np.zeros((64, 64, 3)), "looks like a colour picture"),
        (np.zeros((64, 64, 1)), r"give array\[\.\.\., 0\]"),
        (np.array([["a", "b"]]), "holds no pixels"),
        (np.full((4, 4), np.nan), "not finite"),
        (np.zeros((4, 4), complex), "holds no pixels"),
        ([[1, 2], [3]], "a list that is not an array"),
        (np.ma.masked_less(np.arange(-9, 7).reshape(4, 4), 0), "has pixels without a value: fill it first"),
        (nibabel.Nifti1Image(np.zeros((4, 4, 4), np.int16), np.eye(4)), "give its path, or an array"),
        ("", "the path is empty"),
        ("s3://bucket/ct.nii.gz", "^s3://bucket/ct.nii.gz: give a path on this machine"),
        ("nowhere/at/all.nii", "does not exist"),
    ],
)
def test_what_is_no_scan_is_a_wrong_call(segment, source, said):
    with pytest.raises(ctseg_batch.CallError, match=said):
        segment(source)


def test_of_what_is_no_slice_is_said_what_it_is(segment, save_series, speck, tmp_path):
    (file,) = save_series(tmp_path / "in", speck[:1], stems=["s"], ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    for source in (file, file.parent):
        with pytest.raises(ctseg_batch.CallError, match=r"no CT in \S+: localizer$"):
            segment(source)


def test_a_folder_without_ct_and_slices_of_several_sizes_are_wrong_calls(segment, save, tmp_path):
    (tmp_path / "in").mkdir()
    with pytest.raises(ctseg_batch.CallError, match=r"no CT in \S+in$"):
        segment(tmp_path / "in")
    save(tmp_path / "in/a.png", np.zeros((8, 8), np.uint8))
    save(tmp_path / "in/b.png", np.zeros((9, 8), np.uint8))
    with pytest.raises(ctseg_batch.CallError, match=r"several sizes \(8 x 8, 9 x 8\)"):
        segment(tmp_path / "in")


@pytest.mark.parametrize("spacing", [(1, 2), (1, 2, 0), (1, 2, float("nan")), (1, 2, 3, 4), 5, "abc"])
def test_a_spacing_that_is_none_is_a_wrong_call(segment, speck, spacing):
    with pytest.raises(ctseg_batch.CallError, match="three lengths in mm"):
        segment(HU[speck], spacing)


def test_a_spacing_in_the_order_of_simpleitk_is_a_wrong_call(segment, speck):
    with pytest.raises(ctseg_batch.CallError, match=r"the order is slices, rows, columns: 5,0\.7,0\.7\?"):
        segment(HU[speck], (0.7, 0.7, 5.0))


def test_a_spacing_that_the_source_gives_itself_is_told_as_unused(segment, speck, save_volume, tmp_path, caplog):
    volume = save_volume(tmp_path / "ct.nii", speck, (5, 2, 2))
    assert segment(volume, (1, 1, 1)).spacing_mm == (5, 2, 2)
    assert [one.message for one in caplog.records] == ["ct.nii: spacing was not used, since the source gives its own"]
    caplog.clear()
    assert segment(HU[speck], (1, 1, 1)).spacing_mm == (1, 1, 1)
    assert not caplog.records


@pytest.mark.parametrize(
    "error",
    [
        ctseg_batch.UnreadableFile(Path("a.dcm"), "is cut off"),
        *(kind("why") for kind in (ctseg_batch.CallError, ctseg_batch.ModelError, ctseg_batch.DeviceError)),
    ],
)
def test_an_error_goes_from_one_process_to_another(error):
    there = pickle.loads(pickle.dumps(error))
    assert (type(there), str(there), vars(there)) == (type(error), str(error), vars(error))


def test_a_wrong_path_is_told_before_its_scans_are_gone_through(segment, tmp_path):
    with pytest.raises(ctseg_batch.CallError, match="does not exist"):
        segment.scans(tmp_path / "none")


def test_labels_of_an_image_that_simpleitk_has_turned_lie_as_those_of_its_file(segment, speck, save_volume, tmp_path):
    """As docs/python.md has it; as it is read, it may lie otherwise."""
    volume = save_volume(tmp_path / "ct.nii", speck, (5, 2, 2))
    image = SimpleITK.DICOMOrient(SimpleITK.ReadImage(volume), "LPS")
    turned = segment(SimpleITK.GetArrayFromImage(image), image.GetSpacing()[::-1])
    np.testing.assert_array_equal(turned.labels, segment(volume).labels)


def test_an_image_of_simpleitk_is_no_array(segment, speck):
    with pytest.raises(ctseg_batch.CallError, match=r"give SimpleITK\.GetArrayFromImage\(image\)"):
        segment(SimpleITK.GetImageFromArray(HU[speck]))


def test_in_a_notebook_it_is_told_what_is_there(segment, speck, save_series, tmp_path):
    save_series(tmp_path / "study/one", speck)
    (tmp_path / "study/two.nii").write_bytes(b"damaged")
    assert repr(segment) == "<Segmenter: model quarters 1, fp32 on cpu>"
    told = {repr(scan) for scan in segment.scans(tmp_path / "study")}
    assert told == {"<NamedScan one: 4 slices>", "<NamedScan two.nii: can't be read>"}


def test_a_spacing_may_be_an_array(segment, speck):
    assert segment(HU[speck], np.array([5, 2, 2], np.float32)).measures == segment(HU[speck], (5, 2, 2)).measures


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"device": "gpu"}, "no device 'gpu': choose from auto, cpu, cuda"),
        ({"precision": "half"}, "no precision 'half': choose from auto, fp32, fp16, int8"),
        ({"workers": 0}, "0 workers"),
        ({"workers": "2"}, "'2' workers"),
    ],
)
def test_a_wish_that_there_is_not_is_a_wrong_call(strict, wanted, said):
    with pytest.raises(ctseg_batch.CallError, match=said):
        ctseg_batch.Segmenter(strict, **wanted)


def test_a_model_that_takes_no_such_values_or_gives_no_confidence_says_so(make_model, speck, save, tmp_path):
    segment = ctseg_batch.Segmenter(str(make_model(tmp_path / "hu.onnx", domains=("hu",))), "cpu")
    with pytest.raises(ctseg_batch.ModelError, match="takes Hounsfield units, not 8-bit grey"):
        segment(speck[0])
    file = save(tmp_path / "in/a.png", speck[0] * 64)
    for source in (file, tmp_path / "in", next(segment.scans(file))):
        with pytest.raises(ctseg_batch.ModelError, match="takes Hounsfield units, not 8-bit grey"):
            segment(source)
    with pytest.raises(ctseg_batch.ModelError, match=r"gives no probabilities in fp32: export the best\.pt of a run"):
        segment.with_confidence(HU[speck])
    with pytest.raises(ctseg_batch.ModelError, match="gives no probabilities in int8: take it in fp32 or fp16"):
        ctseg_batch.Segmenter(precision="int8").with_confidence(HU[speck])
    with pytest.raises(ctseg_batch.ModelError, match="no model 'slow'"):
        ctseg_batch.Segmenter("slow")


def test_a_device_that_fails_is_told_by_the_log_and_the_labels_come_all_the_same(
    segment, speck, monkeypatch, caplog, strict
):
    class Broken:
        def run(self, *_):
            raise RuntimeError("CUDA failure 2: out of memory")

    real = engine.open_engine

    def opened(file, device, precision):
        found = real(file, "cpu", precision)
        return (
            found
            if device == "cpu"
            else engine.Engine(Broken(), found.spec, found.file, found.sha256, "cuda", "on CUDA")
        )

    monkeypatch.setattr("ctseg_batch.api.segmenter.open_engine", opened)
    on_device = ctseg_batch.Segmenter(strict, workers=1)
    result = on_device(HU[speck])
    np.testing.assert_array_equal(result.labels, segment(HU[speck]).labels)
    assert result.device == "cpu"
    assert "the CPU does the rest" in caplog.text


def test_a_result_says_what_it_is_and_stays_as_it_is(segment, speck):
    result = segment(HU[speck], (5, 2, 2))
    assert repr(result) == "<Segmentation of array: 4 x 64 x 64, lung 154 mL, 50.0 % involved>"
    with pytest.raises(AttributeError):
        result.labels = None


def test_what_is_little_is_not_told_as_nothing(segment):
    labels = np.ones((3, 64, 64), np.uint8)
    labels[0, 0, 0] = 3
    assert repr(segment(HU[labels], (50, 5, 5))).endswith("3 x 64 x 64, lung 15,360 mL, <0.1 % involved>")
    assert repr(segment(HU[labels], (0.01, 0.1, 0.1))).endswith("lung <1 mL, <0.1 % involved>")


@pytest.mark.parametrize("kind", ["nii.gz", "nrrd", "series", "enhanced", "images", "array"])
def test_a_result_goes_from_one_process_to_another(
    segment, speck, save, save_volume, save_series, convert, tmp_path, kind
):
    source = tmp_path / "ct"
    if kind == "series":
        save_series(source, speck)
    elif kind == "enhanced":
        source = convert(tmp_path / "ct.dcm", save_series(source, speck))
    elif kind == "images":
        for number, labels in enumerate(speck):
            save(source / f"{number}.npy", HU[labels])
    elif kind == "nii.gz":
        source = save_volume(tmp_path / "ct.nii.gz", speck, (5, 2, 2))
    elif kind == "nrrd":
        source = tmp_path / "ct.nrrd"
        nrrd.write(str(source), HU[speck], {"space": "left-posterior-superior", "space directions": np.diag([5, 2, 2])})
    result = segment(HU[speck] if kind == "array" else source)
    copy = pickle.loads(pickle.dumps(result))
    np.testing.assert_array_equal(copy.native_labels, result.native_labels)
    np.testing.assert_array_equal(copy.overlay(), result.overlay())
    assert copy.measures == result.measures
    assert copy.patients_right == result.patients_right


def test_a_segmenter_sent_to_another_process_does_the_same_there(strict, speck):
    here = ctseg_batch.Segmenter(strict, device="cpu", measures="full")
    there = pickle.loads(pickle.dumps(here))
    result, other = (one(HU[speck], spacing="5,2,2") for one in (here, there))
    assert other.measures == result.measures
    np.testing.assert_array_equal(other.labels, result.labels)


def test_importing_is_light_and_a_segmenter_needs_no_torch(strict):
    code = (
        "import sys, ctseg_batch\n"
        "heavy = {'cv2', 'numpy', 'onnxruntime', 'pydicom', 'nibabel', 'scipy', 'typer', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert 'Segmenter' in dir(ctseg_batch)\n"
        "import numpy\n"
        "ctseg_batch.Segmenter(sys.argv[1], 'cpu')(numpy.full((64, 64), -600))\n"
        "assert 'torch' not in sys.modules and 'typer' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code, strict], check=True, capture_output=True)


def test_a_name_that_there_is_not_is_an_error():
    with pytest.raises(AttributeError, match="no attribute 'Segmentor'"):
        _ = ctseg_batch.Segmentor


def test_the_page_on_python_runs(speck, save_volume, save_series, tmp_path, monkeypatch):
    """Its code blocks, one after the other, in a folder with the files that they name."""
    page = (ROOT / "docs/python.md").read_text(encoding="utf-8")
    blocks = [block.partition("```")[0] for block in page.split("```python\n")[1:]]
    assert len(blocks) >= 4
    save_volume(tmp_path / "ct.nii.gz", speck, (5, 2, 2))
    save_series(tmp_path / "study/one", speck)
    monkeypatch.chdir(tmp_path)
    for block in blocks:
        ast.parse(block)
    program = "\n".join(blocks)
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (tmp_path / "page.py").write_text(program)
    check = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--allow-untyped-calls",
        "--config-file",
        os.devnull,
    ]  # SimpleITK's
    done = subprocess.run([*check, str(tmp_path / "page.py")], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout
