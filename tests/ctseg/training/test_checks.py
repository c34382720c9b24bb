"""What `ctseg train` and `ctseg evaluate` look at before they learn from data sets or judge by them."""

import json
import shutil

import cv2
import numpy as np
import pytest

from ctseg.cli import main
from ctseg.phantom import Phantom, write_dicom

CLASSES = ("background", "normal_lung", "ground_glass", "consolidation")
MEANING = {str(index): [name] for index, name in enumerate(CLASSES)}


UNJUDGED = (
    "warning: no group is held out, so this run will have no figures and no temperature, which confidence needs: "
    "name a network that has them by --figures-of, or by a single --start"
)


@pytest.fixture
def noise(tmp_path):
    """Write a data set of slices of noise, by group and file name."""

    def written(name, groups, meaning=MEANING, label=3):
        folder, rng = tmp_path / name, np.random.default_rng(len(name))
        rows, mask = ["file,patient"], label * np.eye(16, dtype=np.uint8)
        every = [int(value) for value, classes in meaning.items() if len(classes) == 1]
        mask[-1, : len(every)] = every  # else a class would be missing
        for number, (group, files) in enumerate(groups.items()):
            for file in files:
                for part, pixels in (("images", rng.integers(0, 255, (16, 16), np.uint8)), ("masks", mask)):
                    (folder / part / str(number)).mkdir(parents=True, exist_ok=True)
                    cv2.imwrite(str(folder / part / str(number) / file), pixels)
                rows.append(f"{number}/{file},{group}")
        (folder / "index.csv").write_text("\n".join(rows), encoding="utf-8")
        places = {"images": "images", "masks": "masks", "index": "index.csv", "group": "patient"}
        (folder / "dataset.json").write_text(json.dumps({"name": name, "mask_values": meaning, **places}))
        return folder

    return written


@pytest.fixture
def train(tmp_path, capsys, monkeypatch):
    """What `ctseg train` says before the first epoch, and its exit status."""
    monkeypatch.setattr("ctseg.training.train.run", lambda *_: None)

    def said(*arguments):
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
        with pytest.raises(SystemExit) as left:
            main(["train", *map(str, arguments), "--out", str(tmp_path / "run"), "--device", "cpu"])
        return " ".join(capsys.readouterr().err.split()), left.value.code or 0

    return said


def test_a_slice_that_is_learnt_from_and_judged_by_is_warned_of(noise, train):
    data = noise("mine", {group: ["a.png", "b.png"] for group in ("one", "two", "three")})
    split = ("--validation-group", "two")
    assert train(data, *split) == ("", 0)
    copied = data / "images/0/a.png", data / "images/1/b.png"
    shutil.copy(*copied)
    said, status = train(data, *split)
    assert status == 0
    assert f"warning: {copied[0]} (train) and {copied[1]} (val) are the same slice: figures" in said
    shutil.copy(data / "images/0/b.png", data / "images/1/a.png")
    assert "are the same slice, and 1 more of the same two patients: figures" in train(data, *split)[0]
    assert train(data, "--all-groups") == (UNJUDGED, 0)


def test_the_same_patient_in_two_data_sets_is_warned_of(noise, train):
    mine, theirs = noise("mine", {"one": ["a.png"], "two": ["b.png"]}), noise("theirs", {"x": ["c.png"]})
    shutil.copy(mine / "images/0/a.png", theirs / "images/0/c.png")
    said, _ = train(mine, theirs, "--validation-group", "two", "--validation-group", "x")
    assert f"{mine / 'images/0/a.png'} (train) and {theirs / 'images/0/c.png'} (val) are the same slice" in said


def test_copies_of_16_bits_are_the_same_slice_whatever_lies_beside_them(noise, train):
    """What becomes of their numbers depends on their folder."""
    data = noise("mine", {group: ["a.png", "b.png"] for group in ("one", "two", "three")})
    for number, file in enumerate(sorted((data / "images").rglob("*.png"))):
        pixels = np.random.default_rng(number).integers(0, 1000 * (number + 1), (16, 16), np.uint16)
        cv2.imwrite(str(file), pixels)
    copied = data / "images/0/a.png", data / "images/1/b.png"
    shutil.copy(*copied)
    said, _ = train(data, "--validation-group", "two")
    assert f"{copied[0]} (train) and {copied[1]} (val) are the same slice" in said
    can_be_no_hu = f"{data} has slices whose numbers are not of 8 bits and can be no HU (6 of 6, the first is "
    assert said.count(f"warning: {can_be_no_hu}{data / 'images/0/a.png'})") == 1


def test_slices_with_their_masks_painted_on_them_are_warned_of(noise, train, capsys):
    data = noise("mine", {"one": ["a.png", "b.png"], "two": ["c.png"]})
    for file in ("0/b.png", "1/c.png"):
        painted = cv2.cvtColor(cv2.imread(str(data / "images" / file), cv2.IMREAD_UNCHANGED), cv2.COLOR_GRAY2BGR)
        painted[:8, :8] = (0, 0, 255)
        cv2.imwrite(str(data / "images" / file), painted)
    said, status = train(data, "--validation-group", "two")
    assert status == 0
    assert said.count("warning: ") == 1
    assert f"{data} has slices in colour (2 of 3, the first is {data / 'images/0/b.png'}), which CT is not" in said
    with pytest.raises(SystemExit):
        main(["evaluate", "fast", str(data), "--group", "two"])
    said = " ".join(capsys.readouterr().err.split())
    assert f"has slices in colour (1 of 1, the first is {data / 'images/1/c.png'})" in said


def test_slices_with_next_to_nothing_in_them_may_be_the_same(noise, train):
    data = noise("mine", {"one": ["a.png", "b.png"], "two": ["c.png"]})
    for file in ("0/a.png", "1/c.png"):
        pixels = np.zeros((16, 16), np.uint8)
        pixels[0, :2] = 255
        cv2.imwrite(str(data / "images" / file), pixels)
    assert train(data, "--validation-group", "two") == ("", 0)


@pytest.mark.parametrize(("one", "other"), [("Anna", "anna"), ("Ren\u00e9e", "Rene\u0301e")])
def test_groups_that_are_probably_one_patient_are_warned_of(noise, train, one, other):
    data = noise("mine", {one: ["a.png"], other: ["b.png"], "x": ["c.png"]})
    said, status = train(data, "--validation-group", other)
    assert status == 0
    names = sorted([(one, "train"), (other, "val")])
    assert (
        "the groups (patients) {} ({}) and {} ({}) of mine have names that differ only in case".format(
            *names[0], *names[1]
        )
        in said
    )
    assert train(data, "--validation-group", one, "--validation-group", other) == ("", 0)


def test_nothing_is_judged_by_masks_that_tell_no_two_classes_apart(noise, train, capsys):
    meaning = {"0": ["background", "normal_lung"], "1": ["normal_lung", "ground_glass", "consolidation"]}
    data = noise("mine", {"one": ["a.png"], "two": ["b.png"]}, meaning, label=1)
    said, status = train(data)
    assert status == 2
    assert f"{data / 'dataset.json'}: its mask_values distinguish no two classes" in said
    assert train(data, "--all-groups") == (UNJUDGED, 0)
    with pytest.raises(SystemExit) as left:
        main(["evaluate", "fast", str(data)])
    assert left.value.code == 2
    assert "distinguish no two classes" in " ".join(capsys.readouterr().err.split())


def test_classes_that_are_one_for_a_value_that_no_mask_has_are_warned_of(noise, train):
    groups, meaning = {"one": ["a.png"], "two": ["b.png"]}, {**MEANING, "5": ["background", "normal_lung"]}
    data = noise("mine", groups, meaning)
    said, status = train(data)
    assert status == 0
    assert "background, normal_lung are scored as one because of value 5 of mask_values, which no mask has" in said
    assert train(noise("other", groups, meaning, label=5)) == ("", 0)
    assert train(noise("open", groups, {**MEANING, "5": CLASSES})) == ("", 0)


def test_classes_that_no_mask_has_are_warned_of(noise, train, capsys):
    data = noise("mine", {"one": ["a.png", "b.png"], "two": ["c.png"]})
    for value, held in ((1, "0 (background), 1 (normal lung)"), (0, "0 (background)")):
        for file in (data / "masks").rglob("*.png"):
            cv2.imwrite(str(file), value * np.eye(16, dtype=np.uint8))
        said, status = train(data, "--validation-group", "two")
        assert status == 0
        missing = "ground glass or consolidation" if value else "normal lung or ground glass or consolidation"
        assert said == (
            f"warning: {data}: no mask of its training slices has {missing}, only {held}, so the network can't learn "
            "this from them; if the values mean something else, say so in dataset.json"
        )
        with pytest.raises(SystemExit):
            main(["evaluate", "fast", str(data), "--group", "two"])
        said = " ".join(capsys.readouterr().err.split())
        assert f"no mask of its slices has {missing}, only {held}, so no score says how well this is found" in said


def test_a_class_that_is_told_from_no_other_or_by_several_values_is_not_missing(noise, train):
    groups = {"one": ["a.png"], "two": ["b.png"]}
    lesion = {"0": CLASSES[:1], "1": CLASSES[1:2], "2": CLASSES[2:]}
    assert train(noise("lesion", groups, lesion, label=2)) == ("", 0)
    assert train(noise("effusion", groups, {**MEANING, "4": CLASSES[:1]})) == ("", 0)
    assert (
        "no mask of its training slices has ground glass or consolidation, only 0 (background), 1 (normal lung), "
        in (train(noise("none", groups, lesion, label=1))[0])
    )


def test_slices_that_all_may_show_disease_are_learnt_from_with_a_teacher(noise, train, capsys, monkeypatch, tmp_path):
    files = write_dicom(Phantom(seed=1, slices=2, size=32), tmp_path / "ct" / "s")
    (tmp_path / "ct/s.csv").write_text("file,infected\n" + "".join(f"{file.name},1\n" for file in files))
    labels = {"column": "infected", "1": CLASSES}
    described = {"name": "ct", "series": {"s": "s.csv"}, "slice_labels": labels}
    (tmp_path / "ct/dataset.json").write_text(json.dumps(described))
    said, status = train(tmp_path / "ct", "--all-groups")
    assert status == 2
    assert "by their labels, all training slices may show disease anywhere: they are useful only with a" in said
    noted = []
    monkeypatch.setattr("ctseg.training.train.run", lambda _, __, training, *___: noted.append(training))
    assert train(tmp_path / "ct", "--all-groups", "--teacher", "fast") == (UNJUDGED, 0)
    (recorded,) = json.loads((tmp_path / "run/recipe.json").read_text())["datasets"]
    assert (recorded["slices"]["train"], recorded["groups"]["train"]) == (2, ["s"])
    assert {**noted[0]["datasets"][0], "digest": recorded["digest"]} == recorded
    said, status = train(tmp_path / "ct", noise("mine", {"one": ["a.png"], "two": ["b.png"]}))
    assert status == 0
    assert f"{tmp_path / 'ct'}: nothing is learnt from it without a --teacher" in said
    for options in ((), ("--slices", "all"), ("--group", "s")):
        with pytest.raises(SystemExit) as left:
            main(["evaluate", "fast", str(tmp_path / "ct"), *options])
        assert left.value.code == 2
        said = " ".join(capsys.readouterr().err.split())
        assert (
            f"all slices of {'s' if '--group' in options else 'it'} may show disease anywhere: there is nothing" in said
        )


def test_a_patient_of_whom_all_slices_may_show_disease_is_held_out_by_name(noise, train, tmp_path):
    files = write_dicom(Phantom(seed=1, slices=2, size=32), tmp_path / "ct" / "s")
    (tmp_path / "ct/s.csv").write_text("file,infected\n" + "".join(f"{file.name},1\n" for file in files))
    labels = {"column": "infected", "1": CLASSES}
    described = {"name": "ct", "series": {"s": "s.csv"}, "slice_labels": labels}
    (tmp_path / "ct/dataset.json").write_text(json.dumps(described))
    mine = noise("mine", {"one": ["a.png"], "two": ["b.png"]})
    held_out = ("--validation-group", "s", "--validation-group", "two")
    assert train(mine, tmp_path / "ct", *held_out)[1] == 0
    (_, recorded) = json.loads((tmp_path / "run/recipe.json").read_text())["datasets"]
    assert recorded["groups"].get("train", []) == []


def test_masks_that_leave_all_open_are_set_aside_unless_there_is_a_teacher(noise, train, capsys, tmp_path):
    open_ = noise("open", {"one": ["a.png"], "two": ["b.png"]}, {"0": CLASSES, "3": CLASSES})
    said, status = train(open_, "--all-groups")
    assert (status, "they are useful only with a --teacher" in said) == (2, True)
    mine = noise("mine", {"three": ["a.png"], "four": ["b.png"]})
    said, status = train(mine, open_)
    assert (status, f"{open_}: nothing is learnt from it without a --teacher" in said) == (0, True)
    with pytest.raises(SystemExit) as left:
        main(["evaluate", "fast", str(open_)])
    assert left.value.code == 2
    assert "there is nothing to score" in " ".join(capsys.readouterr().err.split())


def test_the_same_hu_are_the_same_slice_in_whatever_numbers_they_are_stored(noise, train, tmp_path):
    first, second = (noise(name, {"one": ["a.png"], "two": ["b.png"]}) for name in ("first", "second"))
    hu = np.random.default_rng(0).integers(-1000, 400, (16, 16)).astype(np.int16)
    for folder, kind in ((first, np.int16), (second, np.float64)):
        np.save(folder / "images/0/a.npy", hu.astype(kind))
        (folder / "masks/0/a.png").rename(folder / "masks/0/a.npy.png")
        np.save(folder / "masks/0/a.npy", cv2.imread(str(folder / "masks/0/a.npy.png"), cv2.IMREAD_UNCHANGED))
        index = (folder / "index.csv").read_text().replace("0/a.png,one", f"0/a.npy,{folder.name} one")
        (folder / "index.csv").write_text(index)
    said, status = train(first, second, "--validation-group", "second one", "--validation-group", "two")
    assert status == 0
    assert "are the same slice" in said
