import json
import shutil

import cv2
import numpy as np
import pytest

from ctseg.classes import BACKGROUND, CONSOLIDATION, GROUND_GLASS, NORMAL_LUNG
from ctseg.datasets.dataset import Dataset, SeriesDataset, meaning_beside, read_dataset, read_datasets
from ctseg.datasets.mask_meaning import MaskMeaning
from ctseg.errors import DatasetError

INFECTION = MaskMeaning({0: (BACKGROUND,), 7: (NORMAL_LUNG,), 9: (GROUND_GLASS, CONSOLIDATION)})


def describe(folder, **changes):
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(folder / "images" / name), np.zeros((4, 4), np.uint8))
        cv2.imwrite(str(folder / "masks" / name), np.zeros((4, 4), np.uint8))
    (folder / "index.csv").write_text("file,patient,split\na.png,p1,train\nb.png,p2,val\n")
    described = {
        "name": "mine", "images": "images", "masks": "masks", "index": "index.csv", "group": "patient",
        "mask_values": {"0": ["background"], "7": ["normal_lung"], "9": ["ground_glass", "consolidation"]},
    }  # fmt: skip
    (folder / "dataset.json").write_text(json.dumps({**described, **changes}))
    return folder


def test_classes_that_a_value_does_not_tell_apart_are_one_group(tmp_path):
    assert INFECTION.groups == ((0,), (1,), (2, 3))
    assert INFECTION.names == ("background", "normal_lung", "ground_glass+consolidation")
    mask = np.array([[0, 7, 9]], np.uint8)
    assert INFECTION.allowed(mask, tmp_path).tolist() == [[0b0001, 0b0010, 0b1100]]
    assert INFECTION.grouped(mask, tmp_path).tolist() == [[0, 1, 2]]


def test_groups_that_a_further_value_does_not_tell_apart_become_one():
    meaning = {0: (BACKGROUND,), 1: (GROUND_GLASS, CONSOLIDATION), 2: (NORMAL_LUNG, CONSOLIDATION)}
    assert MaskMeaning(meaning).groups == ((0,), (1, 2, 3))


def test_a_value_without_a_meaning_is_named(tmp_path):
    with pytest.raises(DatasetError, match=r"odd\.png.*5"):
        INFECTION.grouped(np.array([[0, 5]], np.uint8), tmp_path / "odd.png")


def test_a_described_folder_is_read_as_it_says(tmp_path):
    found = read_dataset(describe(tmp_path / "d"))
    assert isinstance(found, Dataset)
    assert [(s.image.name, s.group, s.split) for s in found.slices] == [
        ("a.png", "p1", "train"),
        ("b.png", "p2", "val"),
    ]
    assert found.meaning == INFECTION


def test_a_description_may_begin_with_the_mark_of_utf8(tmp_path):
    description = describe(tmp_path / "d") / "dataset.json"
    description.write_text(description.read_text(), encoding="utf-8-sig")
    assert read_dataset(tmp_path / "d").name == "mine"


def seed_layout(folder):
    for part, ending in (("image", ".jpg"), ("mask", ".png")):
        for patient in ("7", "12"):
            (folder / part / patient).mkdir(parents=True)
            cv2.imwrite(str(folder / part / patient / f"3{ending}"), np.zeros((4, 4), np.uint8))
    return folder


def test_the_seed_layout_is_read_as_it_is(tmp_path):
    found = read_dataset(seed_layout(tmp_path))
    assert isinstance(found, Dataset)
    assert {(s.group, s.image.name, s.mask.name) for s in found.slices} == {
        ("7", "3.jpg", "3.png"),
        ("12", "3.jpg", "3.png"),
    }
    (tmp_path / "mask" / "7" / "3.png").unlink()
    with pytest.raises(DatasetError, match=r"3\.jpg has no mask"):
        read_dataset(tmp_path)


@pytest.mark.parametrize("place", ["loose.png", "7/study2/3.png", "7/a/b/3.dcm"])
def test_a_slice_in_another_place_of_the_seed_layout_is_not_left_out(tmp_path, place):
    file = seed_layout(tmp_path) / "image" / place
    file.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(tmp_path / "slice.png"), np.zeros((4, 4), np.uint8))
    (tmp_path / "slice.png").rename(file)
    with pytest.raises(DatasetError, match=rf"{place} is not where slices belong"):
        read_dataset(tmp_path)


def test_what_file_browsers_leave_in_the_seed_layout_is_no_slice(tmp_path):
    seed_layout(tmp_path)
    for place in (".DS_Store", "Thumbs.db", "7/.DS_Store", "7/Thumbs.db", "7/._3.png", ".cache/a/3.png", "notes.txt"):
        (tmp_path / "image" / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "image" / place).write_bytes(b"no slice")
    assert len(read_dataset(tmp_path).slices) == 2


@pytest.mark.parametrize("place", ["13/3.webp", "13/study/3.gif"])
def test_a_patient_without_a_slice_that_is_read_is_not_left_out(tmp_path, place):
    seed_layout(tmp_path)
    for junk in ("13/.DS_Store", "13/Thumbs.db", "13/desktop.ini", ".cache/3.webp"):
        (tmp_path / "image" / junk).parent.mkdir(exist_ok=True)
        (tmp_path / "image" / junk).write_bytes(b"no slice")
    (tmp_path / "image/14").mkdir()
    assert len(read_dataset(tmp_path).slices) == 2
    for part in ("image", "mask"):
        (tmp_path / part / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / part / place).write_bytes(b"a slice")
    with pytest.raises(DatasetError, match=rf"image/13 holds no slice of a kind that can be read, only {place}: save"):
        read_dataset(tmp_path)


def test_numbers_at_the_end_of_names_tell_slices_apart(tmp_path):
    """As in `IM.0001`; what such a file is, its first bytes tell."""
    for part in ("image", "mask"):
        (tmp_path / part / "p").mkdir(parents=True)
        for number in ("0001", "0002", "0003"):
            cv2.imwrite(str(tmp_path / "slice.png"), np.zeros((4, 4), np.uint8))
            (tmp_path / "slice.png").rename(tmp_path / part / "p" / f"IM.{number}")
    found = [(s.image.name, s.mask.name) for s in read_dataset(tmp_path).slices]
    assert found == [(name, name) for name in ("IM.0001", "IM.0002", "IM.0003")]


def test_what_lies_beside_a_mask_and_is_no_picture_is_no_mask(tmp_path):
    seed_layout(tmp_path)
    for name in ("3.json", "3.txt", "3.xml", "._3.png"):
        (tmp_path / "mask" / "7" / name).write_bytes(b"no mask")
    assert {s.mask.name for s in read_dataset(tmp_path).slices} == {"3.png"}


def test_a_slice_of_another_kind_is_not_left_out_though_it_has_a_mask(tmp_path):
    image = seed_layout(tmp_path) / "image" / "7" / "3.jpg"
    image.with_suffix(".json").write_text("{}")
    assert len(read_dataset(tmp_path).slices) == 2
    image.with_suffix(".json").unlink()
    image.rename(image.with_suffix(".webp"))
    with pytest.raises(DatasetError, match=r"3\.webp has a mask, but is not an image"):
        read_dataset(tmp_path)


@pytest.mark.parametrize("gone", [["image/7", "mask/7"], ["image/7/3.jpg"], ["mask/7/3.png"]])
def test_a_link_that_leads_nowhere_is_named(tmp_path, gone):
    seed_layout(tmp_path / "set")
    (tmp_path / "share").mkdir()
    for number, place in enumerate(gone):
        (tmp_path / "set" / place).rename(tmp_path / "share" / str(number))
        (tmp_path / "set" / place).symlink_to(tmp_path / "share" / str(number))
    assert len(read_dataset(tmp_path / "set").slices) == 2
    (tmp_path / "share").rename(tmp_path / "away")
    with pytest.raises(DatasetError, match=rf"set/{gone[0]} leads to .*share/0, which does not exist: mount"):
        read_dataset(tmp_path / "set")


@pytest.mark.parametrize("gone", ["image/7/3.jpg", "image/7"])
def test_a_mask_without_a_slice_is_not_left_out(tmp_path, gone):
    (seed_layout(tmp_path) / gone).rename(tmp_path / "elsewhere")
    with pytest.raises(DatasetError, match=r"mask.7.3\.png has no slice below .*image: leave it out, or add its slice"):
        read_dataset(tmp_path)


def test_a_slice_and_its_mask_may_differ_in_how_accents_are_encoded(tmp_path):
    seed_layout(tmp_path)
    (tmp_path / "image/7/3.jpg").rename(tmp_path / "image/7/e\u0301.jpg")
    (tmp_path / "mask/7/3.png").rename(tmp_path / "mask/7/\u00e9.png")
    (tmp_path / "image/7").rename(tmp_path / "image/Mu\u0308ller")
    (tmp_path / "mask/7").rename(tmp_path / "mask/M\u00fcller")
    found = {(one.group, one.image.name, one.mask.name) for one in read_dataset(tmp_path).slices}
    assert found == {("12", "3.jpg", "3.png"), ("Mu\u0308ller", "e\u0301.jpg", "\u00e9.png")}
    shutil.copytree(tmp_path / "image/Mu\u0308ller", tmp_path / "image/M\u00fcller", dirs_exist_ok=True)
    if len(list((tmp_path / "image").iterdir())) == 3:  # where the file system takes the two names for one, there are 2
        with pytest.raises(DatasetError, match="are the same slice by their names, which differ only in how accents"):
            read_dataset(tmp_path)


def test_what_is_wrong_is_told_however_accents_are_encoded(tmp_path):
    seed_layout(tmp_path)
    (tmp_path / "image/7/3.jpg").rename(tmp_path / "image/7/3.webp")
    (tmp_path / "image/7").rename(tmp_path / "image/Mu\u0308ller")
    (tmp_path / "mask/7").rename(tmp_path / "mask/Mu\u0308ller")
    with pytest.raises(DatasetError, match=r"3\.webp has a mask, but is not an image of a kind that can be read"):
        read_dataset(tmp_path)
    for name in ("e\u0301.jpg", "\u00e9.jpg"):
        shutil.copyfile(tmp_path / "image/12/3.jpg", tmp_path / "image/12" / name)
    if len(list((tmp_path / "image/12").iterdir())) == 3:
        with pytest.raises(DatasetError, match="are the same slice by their names, which differ only in how accents"):
            read_dataset(tmp_path)


@pytest.mark.parametrize("name", ["image/7/3.png", "mask/7/3.bmp"])
def test_two_files_of_one_slice_are_refused(tmp_path, name):
    cv2.imwrite(str(seed_layout(tmp_path) / name), np.zeros((4, 4), np.uint8))
    with pytest.raises(DatasetError, match=r"7.3\.\w+ and .*7.3\.\w+ are the same slice"):
        read_dataset(tmp_path)


def test_series_say_which_classes_a_slice_may_have(tmp_path):
    (tmp_path / "s.csv").write_text("file,infected\nb.dcm,1\na.dcm,0\n")
    described = {
        "name": "ct", "series": {"s": "s.csv"},
        "slice_labels": {"column": "infected", "0": ["background"], "1": ["normal_lung", "consolidation"]},
    }  # fmt: skip
    (tmp_path / "dataset.json").write_text(json.dumps(described))
    found = read_dataset(tmp_path)
    assert isinstance(found, SeriesDataset)
    assert found.labels == {"s": {"b.dcm": 0b1010, "a.dcm": 0b0001}}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("b.dcm,2", r"s\.csv, line 3, has '2' under 'infected': dataset\.json defines only 0, 1"),
        ("b.dcm,yes", r"s\.csv, line 3, has 'yes' under 'infected'"),
        ("b.dcm,", r"s\.csv, line 3, has no value in column 'infected'"),
        ("b.dcm", r"s\.csv, line 3, ends before 'infected'"),
        ("a.dcm,1", r"s\.csv, line 3, names a\.dcm again"),
    ],
)
def test_a_slice_label_that_can_not_be_is_named(tmp_path, row, reason):
    (tmp_path / "s.csv").write_text(f"file,infected\na.dcm,0\n{row}\n")
    labels = {"column": "infected", "0": ["background"], "1": ["normal_lung", "consolidation"]}
    (tmp_path / "dataset.json").write_text(json.dumps({"name": "ct", "series": {"s": "s.csv"}, "slice_labels": labels}))
    with pytest.raises(DatasetError, match=reason):
        read_dataset(tmp_path)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"mask_values": {"0": ["lung"]}}, "no class is called 'lung'"),
        ({"mask_values": {"300": ["background"]}}, "300 is not a value"),
        ({"mask_values": {"lung": ["normal_lung"]}}, "lung is not a value of an 8-bit mask"),
        ({"mask_values": 3}, r"dataset\.json has 3 under 'mask_values', not an object: docs/training\.md"),
        ({"index": ["index.csv"]}, r"dataset\.json has \[\"index\.csv\"\] under 'index', not a string: docs"),
        ({"series": {"s": None}}, r"dataset\.json has no key 'slice_labels': docs/training\.md describes"),
        ({"series": {"s": None}, "slice_labels": {}}, r"dataset\.json has no key 'column'"),
        ({"series": {"s": None}, "slice_labels": {"column": "a"}}, r"has null under 's', not a string"),
        ({"series": [], "slice_labels": {}}, r"dataset\.json has \[\] under 'series', not an object"),
        ({"index": "none.csv"}, "none.csv can't be read"),
        ({"group": "person"}, r"index\.csv has no column 'person', but 'file', 'patient', 'split'"),
        ({"mask_values": {"2": ["background"], "02": ["normal_lung"]}}, "mask_values has a value twice"),
        ({"mask_values": {"0": ["background"], "7": []}}, r"dataset\.json: the mask value 7 stands for no class"),
        ({"mask_values": {"0": "background"}}, r"the value 0 needs a list of classes, .*not 'background'"),
        ({"images": "pictures"}, "does not exist"),
        ({"license": "free"}, r"dataset\.json says 'license': write 'licence'"),
        ({"Citations": "Doe 2020"}, r"dataset\.json says 'Citations': write 'citation'"),
    ],
)
def test_descriptions_that_do_not_fit_are_refused(tmp_path, changes, reason):
    with pytest.raises(DatasetError, match=reason):
        read_dataset(describe(tmp_path / "d", **changes))


@pytest.mark.parametrize("key", ["name", "images", "masks", "index", "group", "mask_values"])
def test_what_a_description_lacks_is_named(tmp_path, key):
    description = describe(tmp_path / "d") / "dataset.json"
    described = json.loads(description.read_text())
    del described[key]
    description.write_text(json.dumps(described))
    with pytest.raises(DatasetError, match=rf"dataset\.json has no key '{key}': docs/training\.md describes"):
        read_dataset(tmp_path / "d")
    description.write_text("[]")
    with pytest.raises(DatasetError, match=r"dataset\.json does not contain a JSON object"):
        read_dataset(tmp_path / "d")


def test_an_index_out_of_a_spreadsheet_is_read(tmp_path):
    """Excel's "CSV UTF-8" begins with a byte order mark."""
    folder = describe(tmp_path / "d")
    index = folder / "index.csv"
    index.write_text(index.read_text(), encoding="utf-8-sig")
    assert len(read_dataset(folder).slices) == 2


def test_blanks_around_the_name_of_a_column_are_no_part_of_it(tmp_path):
    folder = describe(tmp_path / "d")
    splits = [one.split for one in read_dataset(folder).slices]
    assert any(splits)
    index = folder / "index.csv"
    index.write_text(index.read_text().replace("file,patient,split", " file, patient , split", 1))
    assert [one.split for one in read_dataset(folder).slices] == splits


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("file,patient,Split", r"index\.csv has a column 'Split': write 'split'"),
        ("file,patient,patient", r"index\.csv has several columns 'patient': leave all but one out"),
    ],
)
def test_a_column_that_would_be_passed_over_is_named(tmp_path, header, reason):
    folder = describe(tmp_path / "d")
    index = folder / "index.csv"
    index.write_text(index.read_text().replace("file,patient,split", header, 1))
    with pytest.raises(DatasetError, match=reason):
        read_dataset(folder)


def test_slices_that_are_kept_by_their_content_are_two_though_they_are_alike(tmp_path):
    """As git-annex and DVC link them."""
    folder = describe(tmp_path / "d")
    (folder / "images" / "a.png").rename(tmp_path / "object")
    for name in ("a.png", "b.png"):
        (folder / "images" / name).unlink(missing_ok=True)
        (folder / "images" / name).symlink_to(tmp_path / "object")
    assert [one.image.name for one in read_dataset(folder).slices] == ["a.png", "b.png"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("a.png,p3,val", r"index\.csv, line 4, names .*a\.png again"),
        ("./a.png,p1,train", r"line 4, names .*a\.png again"),
        ("../images/a.png,p1,train", r"line 4, names .*a\.png again"),
        ("c.png,,val", r"line 4, has no value in column 'patient'"),
        ("c.png, ,val", r"line 4, has no value in column 'patient'"),
        (",p3,val", r"line 4, has no value in column 'file'"),
        ("c.png", r"line 4, ends before 'patient'"),
        ("c.png,p3", r"line 4, ends before 'split'"),
        ("c.png,p3,Train", r"index\.csv, line 4, has the split 'Train': write 'train'"),
        ("c.png,p3,validation", r"line 4, has the split 'validation': write 'val'"),
        ("c.png,p3,fold 1", r"line 4, has the split 'fold 1': write one of train, val, test, or nothing"),
        ("c.png,Doe, Anna,val", r"line 4, has more cells than there are columns"),
    ],
)
def test_a_row_of_the_index_that_can_not_be_is_named(tmp_path, row, reason):
    folder = describe(tmp_path / "d")
    for part in ("images", "masks"):
        cv2.imwrite(str(folder / part / "c.png"), np.zeros((4, 4), np.uint8))
    index = folder / "index.csv"
    index.write_text(f"{index.read_text()}{row}\n")
    with pytest.raises(DatasetError, match=reason):
        read_dataset(folder)


@pytest.mark.parametrize("named", ["/images/c.png", "../images/c.png"])
def test_a_path_by_which_a_slice_would_be_its_own_mask_is_refused(tmp_path, named):
    folder = describe(tmp_path / "d")
    cv2.imwrite(str(folder / "images/c.png"), np.zeros((4, 4), np.uint8))
    named = named if named.startswith("..") else f"{folder}{named}"
    with (folder / "index.csv").open("a") as index:
        index.write(f"{named},p3,train\n")
    with pytest.raises(DatasetError, match=rf"index\.csv, line 4, names {named}, .* write its path below .*d/images$"):
        read_dataset(folder)


@pytest.mark.parametrize("masks", ["images", "./images/", "link"])
def test_a_folder_of_slices_that_is_said_to_be_that_of_masks_is_refused(tmp_path, masks):
    folder = describe(tmp_path / "d", masks=masks)
    (folder / "link").symlink_to("images")
    with pytest.raises(DatasetError, match=r"dataset\.json gives the same folder 'images' under 'images' and 'masks'"):
        read_dataset(folder)


def test_blanks_around_a_patient_make_no_other_patient(tmp_path):
    folder = describe(tmp_path / "d")
    (folder / "index.csv").write_text("file,patient,split\na.png,p1 ,train\nb.png, p1,\n")
    assert [(s.group, s.split) for s in read_dataset(folder).slices] == [("p1", "train"), ("p1", None)]


def test_an_index_in_another_encoding_is_told_by_its_name(tmp_path):
    folder = describe(tmp_path / "d")
    index = folder / "index.csv"
    index.write_text(index.read_text(), encoding="utf-16")
    with pytest.raises(DatasetError, match=r'index\.csv is not in UTF-8: .*"CSV UTF-8"'):
        read_dataset(folder)


def test_two_data_sets_of_one_name_are_not_taken_for_one(tmp_path):
    one, other = describe(tmp_path / "one"), describe(tmp_path / "other")
    with pytest.raises(DatasetError, match=r"one and .*other are both data sets named 'mine'"):
        read_datasets([one, other])
    assert [d.name for d in read_datasets([one, describe(tmp_path / "third", name="theirs")])] == ["mine", "theirs"]


def test_a_folder_that_is_no_data_set_is_refused(tmp_path):
    with pytest.raises(DatasetError, match=r"is not a data set: it has neither .* nor the folders image/ and mask/$"):
        read_dataset(tmp_path)
    (describe(tmp_path / "d") / "dataset.json").unlink()
    with pytest.raises(DatasetError, match=r"; for images/ and masks/, an index and a dataset\.json say"):
        read_dataset(tmp_path / "d")


def test_masks_mean_what_the_description_beside_or_above_says(tmp_path):
    assert meaning_beside(describe(tmp_path / "d") / "masks") == INFECTION
    (tmp_path / "plain").mkdir()
    assert meaning_beside(tmp_path / "plain").groups == ((0,), (1,), (2,), (3,))


def test_a_misspelt_key_for_the_meaning_of_masks_is_named(tmp_path):
    """They would count as class indices."""
    folder = describe(tmp_path / "d")
    description = folder / "dataset.json"
    description.write_text(description.read_text().replace("mask_values", "mask_value"))
    with pytest.raises(DatasetError, match=r"dataset\.json says 'mask_value': write 'mask_values'"):
        meaning_beside(folder / "masks")


def test_a_description_may_say_more(tmp_path):
    more = {"image_size": 512, "n_images": 2, "group_by": "patient", "licence_url": "https://example.org", "labels": {}}
    assert len(read_dataset(describe(tmp_path / "d", **more)).slices) == 2


@pytest.mark.parametrize("separator", [";", "\t"])
def test_an_index_with_other_separators_says_what_it_needs(tmp_path, separator):
    index = describe(tmp_path / "d") / "index.csv"
    index.write_text(index.read_text().replace(",", separator))
    with pytest.raises(DatasetError, match=r"csv has no column .file., but only .*: separate its cells by commas"):
        read_dataset(tmp_path / "d")


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ('{"name": "a", "name": "b"}', "'name' occurs twice"),
        ('{"mask_values": {"2": ["ground_glass"], "2": ["consolidation"]}}', "'2' occurs twice"),
        ("[" * 100_000, "can't be read"),
    ],
)
def test_a_description_that_says_something_twice_or_can_not_be_read_is_refused(tmp_path, written, reason):
    (tmp_path / "dataset.json").write_text(written)
    with pytest.raises(DatasetError, match=reason):
        read_dataset(tmp_path)
