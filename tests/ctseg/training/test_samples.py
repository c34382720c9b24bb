import csv
import json
import shutil
from collections import Counter
from dataclasses import replace

import cv2
import numpy as np
import pydicom
import pytest

from ctseg.datasets.dataset import read_dataset
from ctseg.errors import DatasetError
from ctseg.phantom import Phantom, write_dicom
from ctseg.training.batches import plan_epoch
from ctseg.training.lung_field import lung_field
from ctseg.training.recipe import LIGHT, SEED
from ctseg.training.samples import load_samples, split_groups


def seed_layout(folder, patients, slices=2):
    for patient in range(patients):
        for part in ("image", "mask"):
            (folder / part / str(patient)).mkdir(parents=True)
        for number in range(slices):
            cv2.imwrite(str(folder / "image" / str(patient) / f"{number}.png"), np.full((16, 16), 9, np.uint8))
            cv2.imwrite(str(folder / "mask" / str(patient) / f"{number}.png"), np.full((16, 16), 3, np.uint8))
    return folder


@pytest.mark.parametrize(("groups", "expected"), [(20, (14, 3, 3)), (3, (1, 1, 1)), (2, (1, 1, 0)), (1, (1, 0, 0))])
def test_groups_are_split_70_15_15(groups, expected):
    count = Counter(split_groups(map(str, range(groups)), seed=0).values())
    assert tuple(count[split] for split in ("train", "val", "test")) == expected


def test_the_split_repeats_with_its_seed_and_changes_with_another():
    groups = [str(n) for n in range(20)]
    assert split_groups(groups, 1) == split_groups(reversed(groups), 1)
    assert split_groups(groups, 1) != split_groups(groups, 2)


def test_no_patient_is_on_two_sides(tmp_path):
    data = load_samples(read_dataset(seed_layout(tmp_path, 12)), seed=3)
    sides = [{sample.group for sample in samples} for samples in data.splits.values()]
    assert sum(map(len, sides)) == 12
    assert len(set().union(*sides)) == 12
    assert all(sample.allowed[0, 0] == 0b1000 for samples in data.splits.values() for sample in samples)


def test_a_named_group_validates(tmp_path):
    data = load_samples(read_dataset(seed_layout(tmp_path, 12)), seed=3, validation_groups=["7", "8"])
    assert {"7", "8"} <= {sample.group for sample in data.splits["val"]}


def test_a_group_is_where_any_of_its_rows_says(tmp_path):
    folder = seed_layout(tmp_path, 8)
    split = {0: "train", 1: "val"}
    rows = [f"{n}/{k}.png,{n},{split.get(n, '') if k else ''}" for n in range(8) for k in range(2)]
    (folder / "index.csv").write_text("\n".join(["file,patient,split", *rows]))
    described = {"name": "own", "images": "image", "masks": "mask", "index": "index.csv", "group": "patient"}
    described["mask_values"] = {"3": ["consolidation"]}
    (folder / "dataset.json").write_text(json.dumps(described))
    for seed in range(5):
        splits = load_samples(read_dataset(folder), seed=seed).splits
        sides = {sample.group: name for name, samples in splits.items() for sample in samples}
        assert (sides["0"], sides["1"], sum(map(len, splits.values()))) == ("train", "val", 16)


def test_a_named_group_validates_alone_also_if_the_index_gives_it_a_split(tmp_path):
    folder = seed_layout(tmp_path, 8)
    rows = [f"{patient}/0.png,{patient},{'train' if patient == 3 else ''}" for patient in range(8)]
    (folder / "index.csv").write_text("\n".join(["file,patient,split", *rows]))
    described = {"name": "own", "images": "image", "masks": "mask", "index": "index.csv", "group": "patient"}
    values = {"0": ["background"], "3": ["consolidation"]}
    (folder / "dataset.json").write_text(json.dumps({**described, "mask_values": values}))
    data = load_samples(read_dataset(folder), seed=0, validation_groups=["3"])
    assert {split: len(samples) for split, samples in data.splits.items()} == {"train": 7, "val": 1, "test": 0}


def test_the_arrays_of_a_folder_are_hounsfield_where_any_of_them_goes_low(tmp_path):
    folder = seed_layout(tmp_path, 1)
    for image, lowest in zip(sorted((folder / "image" / "0").iterdir()), (-1000, 20), strict=True):
        np.save(image.with_suffix(".npy"), np.linspace(lowest, 400, 256, dtype=np.int16).reshape(16, 16))
        image.unlink()
    data = load_samples(read_dataset(folder), seed=0)
    assert [sample.image.domain for sample in data.splits["train"]] == ["hu", "hu"]


def series_layout(folder, rows, meanings):
    """A data set of the series `s`, whose slices the rows of its table name."""
    described = {"name": "ct", "series": {"s": "s.csv"}, "slice_labels": {"column": "infected", **meanings}}
    (folder / "dataset.json").write_text(json.dumps(described))
    (folder / "s.csv").write_text("file,infected\n" + "".join(f"{file},{label}\n" for file, label in rows))
    return read_dataset(folder)


def test_slices_of_a_series_that_may_be_diseased_are_set_apart_for_a_teacher(tmp_path):
    files = write_dicom(Phantom(seed=1, slices=6, size=64), tmp_path / "s")
    rows = "".join(f"{file.name},{int(n < 2)}\n" for n, file in enumerate(files))
    (tmp_path / "s.csv").write_text(f"file,infected\n{rows}")
    described = {
        "name": "ct", "series": {"s": "s.csv"},
        "slice_labels": {
            "column": "infected", "0": ["background", "normal_lung"], "1": ["normal_lung", "consolidation"],
        },
    }  # fmt: skip
    (tmp_path / "dataset.json").write_text(json.dumps(described))
    dataset = read_dataset(tmp_path)
    data = load_samples(dataset, seed=0)
    assert {s.file for s in data.unlabelled} == set(files[:2])
    assert {s.file for s in data.splits["train"]} == set(files[2:])
    assert all((s.allowed == 0b1010).all() for s in data.unlabelled)
    held_back = load_samples(dataset, seed=0, validation_groups=["s"])
    assert {s.file for s in held_back.splits["val"]} == set(files[2:])
    assert not held_back.unlabelled
    assert len(load_samples(dataset, 0, None).unlabelled) == 2


def test_gas_below_the_lungs_is_no_lung_of_a_healthy_series(tmp_path):
    files = write_dicom(Phantom(seed=1, slices=6, size=128), tmp_path / "s")
    rows = [(file.name, 0) for file in files]
    dataset = series_layout(tmp_path, rows, {"0": ["background", "normal_lung"]})
    without = {s.file: s.allowed for s in load_samples(dataset, seed=0).splits["train"]}
    slices = [pydicom.dcmread(file) for file in files[:2]]
    hu = [one.pixel_array * float(one.RescaleSlope) + float(one.RescaleIntercept) for one in slices]
    soft = np.all([(one > -150) & (one < 150) for one in hu], axis=0).astype(np.uint8)
    y, x = np.unravel_index(cv2.distanceTransform(soft, cv2.DIST_C, 3).argmax(), soft.shape)
    hu[0][y - 4 : y + 4, x - 4 : x + 4] = -800
    stored = (hu[0] - float(slices[0].RescaleIntercept)) / float(slices[0].RescaleSlope)
    slices[0].PixelData = stored.astype(slices[0].pixel_array.dtype).tobytes()
    slices[0].save_as(files[0])
    assert lung_field(hu[0].astype(np.int16))[y, x]  # in the slice alone it looks like lung
    (found,) = (s.allowed for s in load_samples(dataset, seed=0).splits["train"] if s.file == files[0])
    np.testing.assert_array_equal(found, without[files[0]])


def test_a_series_that_is_stored_turned_teaches_what_it_does_upright(tmp_path):
    files = write_dicom(Phantom(seed=1, slices=3, size=128), tmp_path / "s")
    dataset = series_layout(tmp_path, [(file.name, 0) for file in files], {"0": ["background", "normal_lung"]})
    upright = load_samples(dataset, seed=0).splits["train"]
    for file in files:
        slice_ = pydicom.dcmread(file)
        slice_.ImageOrientationPatient = [-1, 0, 0, 0, -1, 0]
        slice_.PixelData = np.ascontiguousarray(slice_.pixel_array[::-1, ::-1]).tobytes()
        slice_.save_as(file)
    for found, expected in zip(load_samples(dataset, seed=0).splits["train"], upright, strict=True):
        np.testing.assert_array_equal(found.image.pixels, expected.image.pixels)
        np.testing.assert_array_equal(found.allowed, expected.allowed)
    assert any((sample.allowed == 0b0010).any() for sample in upright)


def halve(slice_):
    slice_.Rows, slice_.PixelData = 16, slice_.PixelData[: len(slice_.PixelData) // 2]


def forget_hu(slice_):
    slice_.PixelRepresentation = 0
    del slice_["RescaleSlope"], slice_["RescaleIntercept"]


@pytest.mark.parametrize(("spoil", "reason"), [(halve, "several sizes"), (forget_hu, "not in Hounsfield")])
def test_a_healthy_series_whose_lung_can_not_be_told_is_refused(tmp_path, spoil, reason):
    files = write_dicom(Phantom(seed=1, slices=2, size=32), tmp_path / "s")
    slice_ = pydicom.dcmread(files[1])
    spoil(slice_)
    slice_.save_as(files[1])
    (tmp_path / "s.csv").write_text("file,infected\n0000.dcm,0\n0001.dcm,0\n")
    labels = {"column": "infected", "0": ["background", "normal_lung"]}
    (tmp_path / "dataset.json").write_text(json.dumps({"name": "ct", "series": {"s": "s.csv"}, "slice_labels": labels}))
    with pytest.raises(DatasetError, match=reason):
        load_samples(read_dataset(tmp_path), seed=0)


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([("0000.dcm", 0), ("0001.dcm", 0), ("gone.dcm", 0)], r"gone\.dcm has a slice label.*does not exist"),
        (
            [("0000.dcm", 0), ("0001.dcm", 0), ("Thumbs.db", 0)],
            r"Thumbs\.db has a slice label.*: it is not a DICOM file",
        ),
        (
            [("0000.dcm", 0), ("0001.dcm", 0), ("copy 0.dcm", 0)],
            r"copy 0\.dcm has a slice label.*: copy of another slice",
        ),
        ([("0000.dcm", 0)], r"0001\.dcm has no row"),
    ],
)
def test_no_slice_of_a_series_is_lost_without_a_word(tmp_path, rows, reason):
    files = write_dicom(Phantom(seed=1, slices=2, size=32), tmp_path / "s")
    shutil.copy(files[0], tmp_path / "s/copy 0.dcm")
    (tmp_path / "s/Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
    with pytest.raises(DatasetError, match=reason):
        load_samples(series_layout(tmp_path, rows, {"0": ["background", "normal_lung"]}), seed=0)


def test_what_a_file_browser_leaves_in_a_series_is_passed_over(tmp_path):
    files = write_dicom(Phantom(seed=1, slices=2, size=32), tmp_path / "s")
    for name in ("Thumbs.db", ".DS_Store", f"._{files[0].name}", "notes.txt"):
        (tmp_path / "s" / name).write_bytes(b"no slice of a series")
    data = load_samples(
        series_layout(tmp_path, [(f.name, 0) for f in files], {"0": ["background", "normal_lung"]}), seed=0
    )
    assert {sample.file for sample in data.splits["train"]} == set(files)


@pytest.mark.parametrize("made", [True, False])
def test_a_series_without_slices_is_refused(tmp_path, made):
    if made:
        (tmp_path / "s").mkdir()
    with pytest.raises(DatasetError, match="holds no slices of a series"):
        load_samples(series_layout(tmp_path, [], {"0": ["background"]}), seed=0)


def test_a_slice_of_one_class_is_that_throughout(tmp_path):
    """What looks like lung in a slice that holds none, as air in the bowel does, is not."""
    files = write_dicom(Phantom(seed=1, slices=6, size=128), tmp_path / "s")
    meanings = {"0": ["background"], "1": ["normal_lung", "background"]}
    data = load_samples(series_layout(tmp_path, [(f.name, int(f != files[3])) for f in files], meanings), seed=0)
    fields = {sample.file: set(np.unique(sample.allowed).tolist()) for sample in data.splits["train"]}
    assert fields[files[3]] == {0b01}
    assert fields[files[2]] == {0b01, 0b10}


def test_an_index_that_puts_a_patient_on_two_sides_is_refused(tmp_path):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        for name in ("a.png", "b.png"):
            cv2.imwrite(str(tmp_path / folder / name), np.zeros((4, 4), np.uint8))
    with (tmp_path / "index.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("file", "p", "split"), ("a.png", "x", "train"), ("b.png", "x", "val")])
    described = {
        "name": "d", "images": "images", "masks": "masks", "index": "index.csv", "group": "p",
        "mask_values": {"0": ["background"]},
    }  # fmt: skip
    (tmp_path / "dataset.json").write_text(json.dumps(described))
    said = r"index\.csv, line 3, puts the group \(patient\) x into val, but .*index\.csv, line 2, into train: give all"
    with pytest.raises(DatasetError, match=said):
        load_samples(read_dataset(tmp_path), seed=0)
    for validation_groups in (["x"], None):
        assert load_samples(read_dataset(tmp_path), 0, validation_groups).splits["test"] == ()


def test_a_mask_of_another_size_is_refused(tmp_path):
    folder = seed_layout(tmp_path, 3)
    cv2.imwrite(str(folder / "mask" / "0" / "0.png"), np.zeros((8, 8), np.uint8))
    with pytest.raises(DatasetError, match="sizes must agree"):
        load_samples(read_dataset(folder), seed=0)


def test_the_seed_recipe_shows_every_slice_four_times_an_epoch(tmp_path):
    samples = load_samples(read_dataset(seed_layout(tmp_path, 4)), seed=0).splits["train"]
    plan = plan_epoch([samples], SEED, epoch=1)
    shown = Counter((draw.sample.file, draw.variant) for batch in plan for draw in batch)
    assert set(shown.values()) == {1}
    assert len(shown) == 4 * len(samples)
    assert all(len(batch) <= 5 for batch in plan)


def test_the_light_recipe_draws_alike_from_every_data_set(tmp_path):
    few = load_samples(read_dataset(seed_layout(tmp_path / "few", 3, slices=1)), seed=0).splits["train"]
    many = load_samples(read_dataset(seed_layout(tmp_path / "many", 12, slices=9)), seed=0).splits["train"]
    plan = plan_epoch([few, many], LIGHT, epoch=1)
    for batch in plan:
        assert Counter(draw.sample.dataset for draw in batch) == {"few": 6, "many": 6}
    assert plan != plan_epoch([few, many], LIGHT, epoch=2)
    assert plan == plan_epoch([few, many], LIGHT, epoch=1)


def test_what_a_batch_can_not_share_out_evenly_goes_to_each_data_set_in_turn(tmp_path):
    sets = [
        load_samples(read_dataset(seed_layout(tmp_path / name, 3, slices)), seed=0).splits["train"]
        for name, slices in (("a", 1), ("b", 2), ("c", 9))
    ]
    recipe = replace(LIGHT, batch_size=4)
    batches = [batch for epoch in (1, 2) for batch in plan_epoch(sets, recipe, epoch)]
    assert all(sorted(Counter(draw.sample.dataset for draw in batch).values()) == [1, 1, 2] for batch in batches)
    assert len(batches) == 6
    assert Counter(draw.sample.dataset for batch in batches for draw in batch) == {"a": 8, "b": 8, "c": 8}
