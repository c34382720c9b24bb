import hashlib
import json
import os
import re
import shutil
import sys
from base64 import b64decode, b64encode
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
import SimpleITK

from ctseg.cli import main
from ctseg.model import find_model
from ctseg_batch.reporting import words
from ctseg_batch.reporting.words import explain
from ctseg_batch.url import location

ATTACK = "<script>alert(1)</script>"


@pytest.fixture
def stack(draw):
    """Labels (6, 64, 64): all four classes in each slice, the fourth all consolidation."""
    labels = np.stack([draw(seed, 64, 64) for seed in range(6)])
    labels[3] = 3
    return labels


@pytest.fixture
def volume(batch, save_volume, list_slices, tmp_path, stack):
    """A run over one volume, its slices 5 mm apart, with its list of slices."""
    save_volume(tmp_path / "in" / "ct.nii.gz", stack, spacing=(5, 1, 1))
    done = batch(tmp_path / "in")
    list_slices(done.out, {"ct.nii.gz": {f"ct.nii.gz/{index:04d}.png": "ct.nii.gz" for index in range(6)}})
    return done


def pixels(uri):
    """What a data URI shows."""
    return cv2.imdecode(np.frombuffer(b64decode(uri.split(",", 1)[1]), np.uint8), -1)


def test_the_first_screen_says_what_was_run_and_what_it_is_not_for(page, volume):
    top = page(volume.out)
    assert top.one("h1").text == "1 scan of chest CT"
    overview = top.one("section", id="overview").text
    assert "For research, not for diagnosis." in overview
    assert "quarters, version 1 (fp32)" in overview
    assert "6 slices in" in overview
    assert f"{volume.scan['involvement_percent']:.1f} %" in overview


def test_a_page_is_built_as_readers_and_screen_readers_expect(page, volume):
    top = page(volume.out)
    assert top.one("html")["lang"] == "en"
    assert len(top.all("main")) == len(top.all("h1")) == len(top.all("title")) == 1
    assert all(
        one.get("aria-label") or one.get("aria-labelledby") for tag in ("nav", "section") for one in top.all(tag)
    )
    levels = [int(one.tag[1]) for one in top.walk() if re.fullmatch("h[1-6]", one.tag)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    ids = [one["id"] for one in top.walk() if "id" in one.attributes]
    assert len(set(ids)) == len(ids)
    inner = {one["href"][1:] for one in top.all("a") if one["href"].startswith("#")}
    named = {one[name] for one in top.walk() for name in ("aria-labelledby",) if name in one.attributes}
    assert inner | named <= set(ids)
    assert top.all("a")[0]["class"] == "skip"
    assert all(one.get("scope") for one in top.all("th"))


def test_nothing_is_loaded_and_only_the_pages_own_script_and_style_may_run(page, volume):
    top = page(volume.out)
    html = (volume.out / "report.html").read_text()
    assert not re.search(r"""(?:src|href|action|url)\s*[=(]\s*["']?(?!data:|#)[a-z/]""", html)
    assert not [one for one in top.walk() for name in one.attributes if name.startswith("on") or name == "style"]
    policy = top.one("meta", http_equiv="Content-Security-Policy")["content"]
    assert policy.startswith("default-src 'none'; img-src data:; ")
    (style,) = top.one("style").children
    (script,) = (one.children[0] for one in top.all("script") if "type" not in one.attributes)
    for kind, text in (("style", style), ("script", script)):
        digest = b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy


def test_the_table_holds_the_figures_of_the_summary(page, volume):
    top = page(volume.out)
    data = top.data("table-data")
    (row,) = data["rows"]
    values = dict(zip((column["key"] for column in data["columns"]), row["values"], strict=True))
    scan = volume.scan
    assert (row["name"], row["status"], row["part"]) == ("ct.nii.gz", "ok", True)
    assert values["slices"] == 6
    digits = {column["key"]: column["digits"] for column in data["columns"]}
    for key, figure in (
        ("lung_ml", scan["lung_ml"]),
        ("ground_glass_ml", scan["volumes_ml"]["ground_glass"]),
        ("involvement_percent", scan["involvement_percent"]),
    ):
        assert values[key] == round(figure, digits[key])  # a browser may round no further
    body = top.one("table", id="table").one("tbody")
    assert body.one("a")["href"] == "#scan-0"
    assert f"{scan['involvement_percent']:.1f}" in [cell.text for cell in body.all("td")]


def test_columns_that_say_nothing_of_any_scan_are_left_out(page, summary_of, save_summary):
    def heads(*scans):
        table = page(save_summary(summary_of(*scans))).one("table", id="table")
        rows = [[cell.tag for cell in row.children if not isinstance(cell, str)] for row in table.all("tr")]
        assert {len(row) for row in rows} == {len(rows[0])}
        return [one.text for one in table.one("thead").all("th")]

    bare = heads({"lung_ml": None}, {"lung_ml": None})
    assert bare == ["Scan", "Status", "Slices", "Ground glass mL", "Consolidation mL", "Involvement %"]
    error = {"file": "a.dcm", "reason": "is cut off"}
    assert heads({"lung_ml": None, "errors": [error]}, {"flags": ["gap"], "lung_ml": None}) == [
        *bare[:2], "Flags", *bare[2:], "Errors",
    ]  # fmt: skip
    assert heads({}) == [*bare[:3], "Lung mL", *bare[3:]]
    assert len(heads()) > len(bare)  # an empty table still says what it would hold


def test_a_scan_is_shown_by_slices_whose_pictures_say_what_is_seen(page, volume, stack):
    montage = page(volume.out).one("article").one("ul", class_="montage")
    tiles = montage.all("li")
    assert [tile["data-index"] for tile in tiles] == ["5", "4", "3", "2", "1", "0"]
    worst = tiles[2]
    assert "largest diseased area" in worst.text
    assert "100.0 % of its lung" in worst.text
    ct, layer = worst.all("img")
    assert ct["alt"] == "Slice 3: of the lung in it, 0 % ground glass and 100 % consolidation"
    assert layer["alt"] == ""
    assert pixels(ct["src"]).mean() > 200  # consolidation, 100 HU, is nearly white in a lung window
    classes = pixels(layer["src"])
    assert classes.shape[2] == 4
    assert {tuple(colour) for colour in classes[..., :3].reshape(-1, 3).tolist()} == {(70, 57, 230)}


def test_percentages_of_a_class_say_of_what_they_are(page, save_summary, summary_of):
    facts = page(save_summary(summary_of({}))).one("article").one("dl")
    told = dict(zip((one.text for one in facts.all("dt")), (one.text for one in facts.all("dd")), strict=True))
    assert told["Ground glass"] == "400.0 mL, 10.0 % of the lung"
    assert told["Consolidation"] == "200.0 mL, 5.0 % of the lung"


def test_slices_of_a_known_window_are_shown_in_a_lung_window(batch, save, list_slices, page, tmp_path):
    texture = np.random.default_rng(0).integers(0, 9, (64, 64), dtype=np.uint8)
    save(tmp_path / "in/ct/0.png", np.pad(np.full((56, 56), 60, np.uint8), 4) + texture)
    done = batch(tmp_path / "in", window=(-1024.0, 3056.0))  # 16 HU a step: -64 to 64 HU inside
    list_slices(done.out, {"ct": {"ct/0.png": "ct/0.png"}})
    article = page(done.out).one("article")
    told = dict(zip((one.text for one in article.all("dt")), (one.text for one in article.all("dd")), strict=True))
    assert told["Window"] == "\N{MINUS SIGN}1024 to 3056 HU, as given"
    assert pixels(article.all("img")[0]["src"]).max() > 200  # of at most 68 as stored


def test_a_slice_is_told_by_its_file_where_it_has_one_to_itself(batch, page, save_slice, draw, tmp_path, volume):
    for name in ("043", "060", "<b>"):
        save_slice(tmp_path / f"images/{name}.png", draw(0))
    top = page(batch(tmp_path / "images", out=tmp_path / "of images").out)
    tile = top.one("ul", class_="montage").one("li", data_index="1")
    assert tile.one("figcaption").text.startswith("1 060.png ")
    assert tile.one("code")["title"] == "060.png"
    assert tile.all("img")[0]["alt"].startswith("Slice 1 (060.png): ")
    assert top.data("profile-data")["0"]["names"] == ["0 (043.png)", "1 (060.png)", "2 (<b>.png)"]
    assert "most in slice 0 (043.png)" in top.one("figure", class_="profile").one("svg")["aria-label"]
    assert not page(volume.out).one("ul", class_="montage").all("code")


def test_the_view_from_the_front_has_the_proportions_of_the_patient(page, volume):
    planes = page(volume.out).one("article").all("figure", class_="plane")
    assert len(planes) == 2
    for plane in planes:
        shown = plane.all("img")[0]
        assert "head at the top" in shown["alt"] or "from the front" in shown["alt"]
        width, height = int(shown["width"]), int(shown["height"])
        assert width / height == pytest.approx(64 / 30, rel=0.02)  # 64 columns of 1 mm, 6 slices of 5 mm


def test_the_profile_holds_the_area_of_each_class_in_each_slice(page, volume, stack):
    top = page(volume.out)
    profile = top.data("profile-data")["0"]
    assert profile["unit"] == "cm²"
    assert len(profile["names"]) == 6
    expected = [[np.count_nonzero(labels == index) / 100 for index in (1, 2, 3)] for labels in stack]
    np.testing.assert_allclose(profile["areas"], expected, atol=0.051)
    drawn = top.one("figure", class_="profile").one("svg")
    assert drawn["role"] == "img"
    assert "most in slice 3, where 100 % of the lung is diseased" in drawn["aria-label"]


@pytest.mark.parametrize(
    ("value", "digits", "told"),
    [(0.0, 1, "0.0"), (0.04, 1, "<0.1"), (0.06, 1, "0.1"), (0.3, 0, "<1"), (-0.3, 0, "0"), (0.0002, 3, "<0.001")],
)
def test_a_number_that_is_little_is_not_told_as_nothing(value, digits, told):
    assert words.number(value, digits) == told
    assert words.signed(0.04) == "0.0"  # a difference has two sides


def test_figures_that_are_little_are_not_told_as_nothing(page, save_summary, summary_of):
    little = {"normal_lung": 4000.0, "ground_glass": 0.04, "consolidation": 0.0}
    top = page(save_summary(summary_of({"volumes_ml": little, "lung_ml": 4000.04, "involvement_percent": 0.001})))
    facts = top.one("article").one("dl").text
    assert "Ground glass <0.1 mL, <0.1 % of the lung" in facts
    assert "Consolidation 0.0 mL, 0.0 % of the lung" in facts
    assert "Involvement <0.1 %" in facts
    assert "Involvement <0.1 %" in top.one("dl", class_="figures").text
    cells = [cell.text for cell in top.one("table", id="table").one("tbody").all("td")]
    assert cells[3:6] == ["<0.1", "0.0", "<0.1"]


def test_what_is_little_is_not_told_as_nothing(batch, page, save_volume, tmp_path):
    labels = np.ones((3, 64, 64), np.uint8)
    labels[:, 0, :2] = 2
    labels[:, 1, :20] = 3
    save_volume(tmp_path / "in/ct.nii", labels)
    top = page(batch(tmp_path / "in").out)
    told = top.one("ul", class_="montage").all("img")[0]["alt"]
    assert told == "Slice 2: of the lung in it, below 0.1 % ground glass and 0.5 % consolidation"
    profile = top.one("figure", class_="profile").one("svg")["aria-label"]
    assert profile.endswith("where 0.5 % of the lung is diseased")


def order(top):
    """In which order a scan's slices are said to be: below the profile, and in its own words."""
    figure = top.one("figure", class_="profile")
    words = re.search(r"slices (.+?): ", figure.one("svg")["aria-label"])[1]
    assert figure.one("figcaption").text == f"Slice by slice {words}, the first below"
    return words


def test_the_profile_says_in_which_order_the_slices_are(batch, page, save_slice, save_series, volume, stack, tmp_path):
    for number in range(3):
        save_slice(tmp_path / f"images/{number}.png", stack[number])
    nowhere = {"ImagePositionPatient": None, "SliceLocation": None}
    save_series(tmp_path / "series", stack, **nowhere)
    save_series(tmp_path / "placed", stack)
    outs = {name: batch(tmp_path / name, out=tmp_path / f"out {name}").out for name in ("images", "series", "placed")}
    assert order(page(outs["images"])) == "in the order of file names"
    assert order(page(outs["series"])) == "in the order worked out from InstanceNumbers"
    assert order(page(outs["placed"])) == order(page(volume.out)) == "from the feet to the head"


def test_a_scan_without_lung_has_a_profile_with_an_axis_of_round_numbers_alone(batch, page, save_volume, tmp_path):
    save_volume(tmp_path / "in/ct.nii", np.zeros((4, 32, 32), np.uint8))
    top = page(batch(tmp_path / "in").out)
    assert not top.all("figure", class_="plane")
    drawn = top.one("figure", class_="profile").one("svg")
    assert not [text.text for text in drawn.all("text") if "e" in text.text and text.text[0].isdigit()]
    assert "0.5" in [text.text for text in drawn.all("text")]


def test_the_same_out_gives_the_same_bytes(report, volume, tmp_path):
    report(volume.out)
    first = (volume.out / "report.html").read_bytes()
    report(volume.out, "--file", tmp_path / "again.html")
    assert (tmp_path / "again.html").read_bytes() == first


def test_names_from_outside_stay_text(batch, save_slice, save, draw, list_slices, page, tmp_path):
    folder = tmp_path / "in" / ATTACK
    save_slice(folder / "a.png", draw(0))
    save_slice(folder / "\u202egnp.b.png", draw(1))
    (folder / "<img src=x onerror=alert(2)>.png").write_bytes(b"none")
    done = batch(tmp_path / "in")
    (name,) = done.scans
    names = sorted(file.name for file in folder.iterdir())
    list_slices(done.out, {name: {f"{name}/{file}": f"{name}/{file}" for file in names}})
    top = page(done.out)
    html = (done.out / "report.html").read_text()
    assert html.count("<script") == 3
    assert "<img src=x" not in html
    assert "\u202e" not in html
    assert top.one("article").one("h3").text == name
    (row,) = top.data("table-data")["rows"]
    assert row["name"] == name
    assert row["errors"][0][0] == f"{name}/<img src=x onerror=alert(2)>.png"
    assert r"\u003c/script\u003e" in html.split('id="table-data">')[1].split("</script>")[0]


@pytest.mark.skipif(os.name != "posix", reason="elsewhere every name is Unicode")
def test_a_name_that_is_no_unicode_is_spelt_out(batch, save_slice, draw, list_slices, page, tmp_path):
    name = os.fsdecode(b"p\xff")
    for number in range(3):
        save_slice(tmp_path / "in" / name / f"{number}.png", draw(number))
    done = batch(tmp_path / "in")
    list_slices(done.out, {name: {f"{name}/{number}.png": f"{name}/{number}.png" for number in range(3)}})
    part = page(done.out).one("article")
    assert part.one("h3").text == r"p\udcff"
    assert len(part.one("ul", class_="montage").all("img")) == 6


def test_images_without_a_distance_are_shown_but_not_from_the_front(
    batch, save_slice, draw, list_slices, page, tmp_path
):
    for number in range(4):
        save_slice(tmp_path / "in" / "7" / f"{number}.jpg", draw(number))
    done = batch(tmp_path / "in")
    list_slices(done.out, {"7": {f"7/{number}.jpg.png": f"7/{number}.jpg" for number in range(4)}})
    top = page(done.out)
    part = top.one("article")
    assert len(part.all("li", data_index="3")) == 1
    assert not part.all("figure", class_="plane")
    assert "Its spacing is not known" in part.text
    assert top.data("profile-data")["0"]["unit"] == "pixels"
    assert [column["key"] for column in top.data("table-data")["columns"]] == [
        "slices", "ground_glass_percent", "consolidation_percent", "involvement_percent",
    ]  # fmt: skip


def test_a_series_is_found_again_by_its_files_whatever_their_names(
    batch, save_series, list_slices, page, tmp_path, stack
):
    stems = ["f", "b", "d", "a", "c", "e"]  # from the feet up
    save_series(tmp_path / "in" / "ct", stack, stems)
    done = batch(tmp_path / "in")
    list_slices(done.out, {"ct": {f"ct/{stem}.dcm.png": f"ct/{stem}.dcm" for stem in stems}})
    part = page(done.out).one("article")
    (tile,) = part.all("li", data_index="3")
    ct, _ = tile.all("img")
    assert pixels(ct["src"]).mean() > 200
    assert not part.all("p", class_="note")


def test_without_the_scans_the_masks_are_shown_alone_and_the_page_says_so(page, volume, tmp_path):
    shutil.rmtree(tmp_path / "in")
    part = page(volume.out).one("article")
    assert "only its masks are shown" in part.text
    tiles = part.one("ul", class_="montage").all("img")
    assert len(tiles) == 6
    assert all(tile["alt"].startswith("Slice ") for tile in tiles)
    assert part.one("figure", class_="profile")


def in_two_stacks(file):
    """Have the first half of an object's frames, the upper one, be a stack, and the rest another."""
    dataset = pydicom.dcmread(file)
    frames = dataset.PerFrameFunctionalGroupsSequence
    for place, frame in enumerate(frames):
        frame.FrameContentSequence[0].StackID = "lower" if place >= len(frames) / 2 else "upper"
    dataset.save_as(file)


def brightness(part):
    """How bright the slices of a scan are on the average, the CT alone; None of one that is shown by its mask alone."""
    tiles = [tile.all("img") for tile in part.one("ul", class_="montage").all("li")]
    return {round(pixels(shown[0]["src"]).mean()) if len(shown) == 2 else None for shown in tiles}


def test_each_stack_of_one_file_is_laid_under_its_own_masks(batch, page, save_series, convert, tmp_path):
    labels = np.repeat([1, 3], 3)[:, None, None] * np.ones((1, 64, 64), np.uint8)
    series = save_series(tmp_path / "series", labels)
    in_two_stacks(convert(tmp_path / "in/ct.dcm", series))
    top = page(batch(tmp_path / "in").out)
    parts = {part.one("h3").text: part for part in top.all("article")}
    assert parts.keys() == {"ct.dcm/1", "ct.dcm/2"}
    (upper,), (lower,) = (brightness(parts[f"ct.dcm/{number}"]) for number in (1, 2))
    assert upper > 200 > 150 > lower  # consolidation is nearly white in a lung window
    assert not [part for part in parts.values() if part.all("p", class_="note")]


def test_so_is_each_of_an_object_in_several_files(batch, page, save_series, convert, tmp_path):
    labels = np.repeat([1, 3], 3)[:, None, None] * np.ones((1, 64, 64), np.uint8)
    series = save_series(tmp_path / "series", labels)
    for number, (name, some) in enumerate({"a": series[:3], "b": series[3:]}.items(), start=1):
        file = convert(tmp_path / f"in/{name}.dcm", some, series_instance_uid="1.2.8")
        dataset = pydicom.dcmread(file)
        dataset.ConcatenationUID, dataset.InConcatenationNumber, dataset.InConcatenationTotalNumber = "1.2.9", number, 2
        for frame in dataset.PerFrameFunctionalGroupsSequence:
            frame.FrameContentSequence[0].StackID = name
        dataset.save_as(file)
    parts = {part.one("h3").text: part for part in page(batch(tmp_path / "in").out).all("article")}
    assert parts.keys() == {"a.dcm/1", "a.dcm/2"}
    (lower,), (upper,) = (brightness(parts[f"a.dcm/{number}"]) for number in (1, 2))
    assert upper > 200 > 150 > lower


def test_an_object_that_holds_other_stacks_now_is_not_laid_under_old_masks(
    batch, page, save_series, convert, stack, tmp_path
):
    file = convert(tmp_path / "in/ct.dcm", save_series(tmp_path / "series", stack))
    out = batch(tmp_path / "in").out
    in_two_stacks(file)
    part = page(out).one("article")
    assert brightness(part) == {None}
    assert "The scan is where the run read it, but can't be read or has changed" in part.text


def test_of_a_scan_that_is_there_and_cant_be_read_it_is_not_said_that_it_moved(page, volume, tmp_path):
    file = tmp_path / "in/ct.nii.gz"
    for content in (b"", file.read_bytes()[:400]):
        file.write_bytes(content)
        part = page(volume.out).one("article")
        assert brightness(part) == {None}
        assert [note.text for note in part.all("p", class_="note")] == [
            "The scan is where the run read it, but can't be read or has changed, so only its masks are shown."
        ]


def test_a_scan_that_changed_its_size_is_not_laid_under_old_masks(page, volume, save_volume, tmp_path, draw):
    save_volume(tmp_path / "in" / "ct.nii.gz", np.stack([draw(seed, 32, 32) for seed in range(6)]))
    tiles = page(volume.out).one("article").one("ul", class_="montage").all("img")
    assert len(tiles) == 6  # one picture each: the mask alone


def test_a_scan_that_was_replaced_is_not_laid_under_old_masks(page, volume, tmp_path):
    file = tmp_path / "in/ct.nii.gz"
    file.write_bytes(file.read_bytes())
    part = page(volume.out).one("article")
    assert brightness(part) == {None}
    assert "has changed, so only its masks are shown" in part.text


def test_overlays_stand_in_for_masks_that_were_not_written(batch, save_volume, list_slices, page, tmp_path, stack):
    save_volume(tmp_path / "in" / "ct.nii.gz", stack)
    done = batch(tmp_path / "in", write=("mask", "overlay"))
    list_slices(done.out, {"ct.nii.gz": {f"ct.nii.gz/{index:04d}.png": "ct.nii.gz" for index in range(6)}})
    shutil.rmtree(done.out / "masks")
    shown = page(done.out).one("article").one("ul", class_="montage").all("img")
    assert len(shown) == 6
    assert pixels(shown[0]["src"]).shape[:2] == (300, 300)  # the slice without the strip of its legend is square


def test_without_masks_and_overlays_a_scan_keeps_its_figures(page, volume):
    shutil.rmtree(volume.out / "masks")
    part = page(volume.out).one("article")
    assert "neither masks nor overlays are in place" in part.text
    assert not part.all("img")
    assert "Involvement" in part.text


def test_an_out_without_a_list_of_slices_is_reported_without_pictures(page, volume):
    (volume.out / "slices.csv").unlink()
    top = page(volume.out)
    assert "Pictures need slices.csv" in top.one("article").text
    assert "This file holds no pictures." in top.one("footer").text


@pytest.mark.parametrize("content", [None, b"damaged"])
def test_masks_that_are_gone_are_told_and_leave_no_hole_in_a_picture(page, volume, content):
    mask = volume.out / "masks" / "ct.nii.gz" / "0002.png"
    mask.unlink() if content is None else mask.write_bytes(content)
    part = page(volume.out).one("article")
    assert "A mask of it is missing or damaged" in part.text
    assert "the same call of ctseg batch makes what is missing again" in part.text
    assert [tile["data-index"] for tile in part.one("ul", class_="montage").all("li")] == ["5", "4", "3", "1", "0"]
    assert not part.all("figure", class_="plane")


def test_of_an_archive_only_masks_are_shown(batch, page, save_volume, stack, tmp_path):
    save_volume(tmp_path / "in/ct.nii.gz", stack)
    shutil.make_archive(str(tmp_path / "scans"), "zip", tmp_path / "in")
    part = page(batch(location(f"zip::{tmp_path / 'scans.zip'}")).out).one("article")
    assert "read from an archive or a store" in part.text
    assert part.one("ul", class_="montage").all("li")


def test_slices_that_are_stored_in_several_ways_are_not_shown_from_the_front(batch, page, save_series, stack, tmp_path):
    files = save_series(tmp_path / "in/ct", stack)
    assert len(page(batch(tmp_path / "in").out).one("article").all("figure", class_="plane")) == 2
    turned = pydicom.dcmread(files[2])
    turned.ImageOrientationPatient = [-1, 0, 0, 0, 1, 0]
    turned.save_as(files[2])
    part = page(batch(tmp_path / "in").out).one("article")
    assert "its slices are stored in several orientations" in part.text
    assert not part.all("figure", class_="plane")


def test_a_slice_that_failed_leaves_a_gap(page, volume, list_slices):
    (volume.out / "masks" / "ct.nii.gz" / "0002.png").unlink()
    list_slices(volume.out, {"ct.nii.gz": {f"ct.nii.gz/{index:04d}.png": "ct.nii.gz" for index in range(6)}})
    top = page(volume.out)
    assert top.data("profile-data")["0"]["areas"][2] is None
    assert [tile["data-index"] for tile in top.one("ul", class_="montage").all("li")] == ["5", "4", "3", "1", "0"]
    assert len(top.all("figure", class_="plane")) == 2


def test_nothing_outside_of_out_and_root_is_looked_at(page, volume, list_slices, save, tmp_path):
    secret = str(save(tmp_path / "secret.png", np.full((64, 64), 3, np.uint8)))
    names = {f"{'./' * more}../../secret.png": f"{'./' * more}../secret.png" for more in range(5)} | {secret: secret}
    list_slices(volume.out, {"ct.nii.gz": names})
    assert not page(volume.out).one("article").all("img")


def test_scores_stand_in_the_table_and_beside_the_pictures(batch, save_volume, list_slices, page, tmp_path, stack):
    truth = stack.copy()
    truth[0] = 0
    save_volume(tmp_path / "in" / "ct.nii.gz", stack)
    save_volume(tmp_path / "truth" / "ct.nii.gz", truth, truth=True)
    done = batch(tmp_path / "in", truth=tmp_path / "truth")
    list_slices(done.out, {"ct.nii.gz": {f"ct.nii.gz/{index:04d}.png": "ct.nii.gz" for index in range(6)}})
    top = page(done.out)
    rows = [[cell.text for cell in row.all("td")] for row in top.one("table", class_="scores").one("tbody").all("tr")]
    assert rows[-1] == [f"{done.scan[score]['mean']:.3f}" for score in ("iou", "dice")]
    keys = [column["key"] for column in top.data("table-data")["columns"]]
    assert keys[-2:] == ["iou_mean", "dice_mean"]


def test_files_that_failed_are_told_by_reason(page, summary_of, save_summary):
    broken = [{"file": f"a/{number}.dcm", "reason": "is cut off"} for number in range(60)]
    odd = {"file": "b/1.dcm", "reason": "holds no pixels"}
    scans = [{"status": "partial", "errors": broken}, {"status": "failed", "lung_ml": None, "errors": [odd]}]
    top = page(save_summary(summary_of(*scans, skipped=[{"file": "c.dcm", "reason": "localizer"}], ignored=12)))
    first, second = (row.all("td") for row in top.one("section", id="failures").one("tbody").all("tr"))
    assert [cell.text for cell in first[:2]] == ["is cut off", "60"]
    assert len(first[2].all("code")) == 50
    assert "10 more in summary.json" in first[2].text
    assert [cell.text for cell in second] == ["holds no pixels", "1", "b/1.dcm"]
    left_out = top.one("section", id="left-out")
    assert [cell.text for cell in left_out.one("tbody").all("td")] == ["localizer", "1", "c.dcm"]
    assert "12 files of other kinds were ignored" in left_out.text
    _, failed = top.all("article")
    assert "None of it could be read" in failed.text
    assert top.data("table-data")["rows"][0]["failures"] == 60


@pytest.mark.parametrize(
    ("skipped", "ignored", "told"),
    [
        (160, 40, "160 files or series were left out, 40 files of other kinds were ignored."),
        (1, 0, "1 file or series was left out."),
        (0, 1, "1 file of other kinds was ignored."),
        (0, 0, ""),
    ],
)
def test_the_first_screen_says_how_much_was_left_out_and_leads_there(
    page, summary_of, save_summary, skipped, ignored, told
):
    files = [{"file": f"{number}.dcm", "reason": "localizer"} for number in range(skipped)]
    top = page(save_summary(summary_of({}, skipped=files, ignored=ignored)))
    lead = top.one("p", class_="lead")
    assert lead.text == " ".join(filter(None, ["Nothing failed. No figure is flagged as doubtful.", told]))
    assert [link["href"] for link in lead.all("a")] == ["#left-out"][: len(told)]
    assert len(top.all("section", id="left-out")) == bool(told)
    assert not top.all("section", id="failures")
    assert ("#left-out" in [link["href"] for link in top.one("nav").all("a")]) == bool(told)


def test_the_page_opens_what_is_folded_up_for_paper(page, summary_of, save_summary):
    top = page(save_summary(summary_of({})))
    (script,) = (one.text for one in top.all("script") if not one.get("id"))
    assert script.index('querySelectorAll("details:not([open])")') > script.rindex('addEventListener("beforeprint"')


def test_flags_are_explained_and_counted(page, summary_of, save_summary):
    scans = [
        {"flags": ["gap", "no reference for 1 slice"]},
        {"flags": ["gap"]},
        {"flags": ["no reference for 1,231 slices"]},
    ]
    top = page(save_summary(summary_of(*scans, {})))
    doubts = [one.text for one in top.one("section", id="overview").all("ul", class_="doubts")[0].all("li")]
    assert doubts[0].startswith("gap 2 scans Slices are missing in between")
    assert doubts[1] == "no reference for some slices 2 scans IoU and Dice rest on the other slices."
    buttons = [one["data-flag"] for one in top.all("span", class_="flag") if one.get("data-flag")]
    assert buttons == ["gap", "no reference for some slices"]
    assert [flag[2] for flag in top.data("table-data")["flags"]] == ["gap", *[buttons[1]] * 2]
    assert "3 of 4 scans carry flags" in top.one("p", class_="lead").text
    top = page(save_summary(summary_of({"flags": ["no reference"]}, {}), "unscored"))
    assert "No figure is flagged as doubtful." in top.one("p", class_="lead").text
    (doubt,) = top.one("section", id="overview").all("ul", class_="doubts")[0].all("li")
    assert doubt.text == "no reference 1 scan It has no usable reference mask: it is not scored."
    top = page(save_summary(summary_of(scans[0]), "one"))
    assert "1 of 1 scan carries flags" in top.one("p", class_="lead").text


def test_every_flag_that_the_docs_name_is_explained():
    docs = Path(__file__).parents[3] / "docs" / "summary.md"
    section = docs.read_text().partition("### Flags")[2].partition("\n\n*")[0]
    listed = " ".join(row.split("|")[1] for row in section.splitlines() if row.startswith("| `"))
    flags = [re.sub(r"\bN\b", "3", flag) for flag in re.findall(r"`([^`]+)`", listed)]
    assert len(flags) > 30
    assert [flag for flag in flags if not explain(flag)] == []


def test_histograms_count_every_scan_once_as_the_table_does(page, summary_of, save_summary):
    shares = [0.0, 1.0, 4.9, 5.0, 9.99996, 38.0, 100.0, None]
    top = page(save_summary(summary_of(*({"involvement_percent": share} for share in shares))))
    figure = top.one("figure", data_column="involvement_percent")
    bars = [one for one in figure.walk() if "data-from" in one.attributes]
    counts = {
        (float(bar["data-from"]), float(bar["data-to"])): int(re.search(r": (\d+) scan", bar.one("title").text)[1])
        for bar in bars
    }
    assert sum(counts.values()) == 7
    data = top.data("table-data")
    column = [one["key"] for one in data["columns"]].index("involvement_percent")
    listed = [row["values"][column] for row in data["rows"]]
    for (low, high), many in counts.items():
        is_last = high == max(to for _, to in counts)
        inside = [
            share for share in listed if share is not None and (low <= share < high or (is_last and share == high))
        ]
        assert len(inside) == many
    assert "Median 5.0 %" in figure.one("figcaption").text
    assert "Not known for 1 scan" in figure.one("figcaption").text


@pytest.mark.parametrize("widest", [0.0, 0.004, 0.37, 1.9, 19.5, 19.99, 20.0, 97.0])
def test_a_histogram_has_few_bars_however_far_its_values_reach(page, summary_of, save_summary, widest):
    shares = [0.0, widest / 3, widest]
    top = page(save_summary(summary_of(*({"involvement_percent": share} for share in shares))))
    bars = [one for one in top.one("figure", data_column="involvement_percent").walk() if "data-from" in one.attributes]
    assert 0 < len(bars) <= 20
    assert float(bars[0]["data-from"]) == 0
    assert float(bars[-1]["data-to"]) >= widest


@pytest.mark.parametrize("volumes", [(0, 0, 0), (150, 200, 300), (210, 3000, 5000, 4200), (1900, 4200, 5000)])
def test_lungs_smaller_than_any_should_be_have_their_bars(page, summary_of, save_summary, volumes):
    top = page(save_summary(summary_of(*({"lung_ml": volume} for volume in volumes))))
    bars = [one for one in top.one("figure", data_column="lung_ml").walk() if "data-from" in one.attributes]
    assert sum(int(re.search(r": (\d+) scan", bar.one("title").text)[1]) for bar in bars) == len(volumes)
    assert float(bars[0]["data-from"]) <= min(volumes)


def test_each_dot_of_the_scatter_plot_leads_to_its_scan(page, summary_of, save_summary):
    pixels = {"background": 0, "normal_lung": 90, "ground_glass": 10, "consolidation": 0}
    no_spacing = {"volumes_ml": None}
    scans = [{"pixels": dict.fromkeys(pixels, 0), **no_spacing}, {"pixels": pixels, **no_spacing}, {}, {"scan": ATTACK}]
    top = page(save_summary(summary_of(*scans)))
    dots = [one for one in top.walk() if "data-scan" in one.attributes]
    assert [dot["data-scan"] for dot in dots] == ["1", "2", "3"]
    assert dots[0].one("title").text == "scan 1: 10.0 % ground glass, 0.0 % consolidation"
    assert dots[2].one("title").text.startswith(ATTACK)


def test_shares_of_the_lung_weigh_slices_as_volumes_and_involvement_do(page, summary_of, save_summary):
    """A third of the pixels is consolidated, in slices that stand for less room than the others."""
    pixels = {"background": 0, "normal_lung": 200, "ground_glass": 0, "consolidation": 100}
    volumes = {"normal_lung": 900.0, "ground_glass": 0.0, "consolidation": 100.0}
    scan = {"pixels": pixels, "volumes_ml": volumes, "lung_ml": 1000.0, "involvement_percent": 10.0}
    top = page(save_summary(summary_of(scan, scan, scan)))
    facts = top.all("article")[0].one("dl").text
    assert "Consolidation 100.0 mL, 10.0 %" in facts
    assert "Involvement 10.0 %" in facts
    dot = next(one for one in top.walk() if "data-scan" in one.attributes)
    assert dot.one("title").text == "scan 0: 0.0 % ground glass, 10.0 % consolidation"


def test_two_scans_make_no_distribution(page, summary_of, save_summary):
    assert not page(save_summary(summary_of({}, {}))).all("section", id="distributions")


def test_of_thousands_of_scans_all_are_in_the_data_and_few_in_the_page(page, summary_of, save_summary):
    out = save_summary(summary_of(*({"involvement_percent": number / 100} for number in range(6000))))
    top = page(out)
    data = top.data("table-data")
    assert len(data["rows"]) == 6000
    assert sum(row["part"] for row in data["rows"]) == len(top.all("article")) == 50
    table = top.one("table", id="table")
    assert table["aria-rowcount"] == "6001"
    assert len(table.one("tbody").all("tr")) == 200
    assert "50 scans of 6,000 scans are shown here" in top.one("section", id="pictures").text
    assert "ctseg report OUT --pictures 6000" in top.one("section", id="pictures").text
    assert (out / "report.html").stat().st_size < 2_500_000


def test_as_many_scans_have_pictures_as_are_asked_for(page, report, summary_of, save_summary):
    out = save_summary(summary_of(*({"scan": str(number)} for number in range(9))))
    assert len(page(out, "--pictures", 4).all("article")) == 4
    none = page(out, "--pictures", 0)
    assert not none.all("section", id="pictures")
    assert "#pictures" not in {one["href"] for one in none.all("a")}
    assert report(out, "--pictures", -1).status == 2


def test_the_shipped_models_own_figures_are_told(page, summary_of, save_summary):
    sha256 = hashlib.sha256(find_model("fast").with_suffix(".fp16.onnx").read_bytes()).hexdigest()
    model = {"name": "fast", "version": "11", "precision": "fp16", "licence": "limited", "sha256": sha256}
    section = page(save_summary(summary_of({}, model=model))).one("section", id="model")
    assert "What it was trained on" in section.text
    learnt, scored = section.all("table")
    rows = {row.one("th").text: [cell.text for cell in row.all("td")] for row in learnt.one("tbody").all("tr")}
    assert rows["covid_ct_seg"][:2] == ["1,255", "13"]
    medseg = next(body for body in scored.all("tbody") if body.one("th").text == "medseg")
    assert "mean of the classes that occur 0.748" in medseg.text
    classes = [row.all("td")[-3].text for row in medseg.all("tr")]
    assert classes == ["background", "normal lung", "ground glass", "consolidation", "mean of the classes that occur"]
    assert [body.one("th").text for body in scored.all("tbody")] == ["medseg", "covid_ct_seg", "covid_ct_md"]
    without_disease = next(body for body in scored.all("tbody") if body.one("th").text == "covid_ct_md")
    shown = {row.all("td")[-3].text: row.all("td")[-1].text for row in without_disease.all("tr")}
    assert list(shown.values()) == ["0.999", "0.984", "\N{EN DASH}", "\N{EN DASH}", "0.991"]
    assert "A dash: no slice of the set shows the class." in section.text
    assert "file does not tell" not in section.text
    assert "README and model card, differ a little" in section.text
    assert "figures are those of one that was trained alike, but held groups back" in section.text
    assert "For research, not for diagnosis" in section.text


def test_a_model_that_is_not_at_hand_is_told_by_the_summary(page, report, volume, quarters):
    section = page(volume.out).one("section", id="model")
    assert "quarters, version 1, fp32" in section.text
    assert "file is not available" in section.text
    assert "not at hand" not in page(volume.out, "--model", quarters).one("section", id="model").text
    wrong = report(volume.out, "--model", "fast")
    assert wrong.status == 2
    assert "is not the model of this run" in wrong.err


def test_runs_of_other_models_that_were_joined_have_a_report(
    batch, page, make_model, save_volume, stack, tmp_path, capsys
):
    other = make_model(tmp_path / "other.onnx", name="other")
    for name, call in {"a": {}, "b": {"model": str(other)}}.items():
        save_volume(tmp_path / f"in/{name}/ct.nii", stack)
        batch(tmp_path / "in" / name, out=tmp_path / name, root=tmp_path / "in", **call)
    with pytest.raises(SystemExit) as left:
        main(["summarize", *(str(tmp_path / name) for name in "ab"), "--out", str(tmp_path / "all"), "--mixed"])
    capsys.readouterr()
    assert not left.value.code
    top = page(tmp_path / "all")
    overview = top.one("section", id="overview")
    assert "Model quarters, version 1 (fp32) and other, version 1 (fp32) on the CPU" in overview.text
    runs = [[cell.text for cell in (row.one("th"), *row.all("td"))] for row in overview.one("tbody").all("tr")]
    assert [run[:3] for run in runs] == [[str(tmp_path / name), "1", "basic"] for name in "ab"]
    assert "None" not in overview.text
    assert len(top.one("section", id="model").all("dl")) == 2
    for part in top.all("article"):
        tiles = part.one("ul", class_="montage").all("li")
        assert [len(tile.all("img")) for tile in tiles] == [2] * 6  # the CT and its mask
    told = page(tmp_path / "all", "--model", other).one("section", id="model").text
    assert told.count("file is not available") == 1


def test_scans_whose_masks_have_the_same_paths_in_two_runs_keep_their_own_pictures(
    batch, page, save_slice, draw, tmp_path, capsys
):
    """Each INPUT is itself a scan, so its masks lie at the top of its OUT."""
    for seed, name in enumerate(("anna", "bert")):
        for number in range(3):
            save_slice(tmp_path / "in" / name / f"{number}.png", draw(seed, 64, 64))
        batch(tmp_path / "in" / name, out=tmp_path / name, spacing=(5.0, 1.0, 1.0))
    with pytest.raises(SystemExit) as left:
        main(["summarize", *(str(tmp_path / name) for name in ("anna", "bert")), "--out", str(tmp_path / "all")])
    capsys.readouterr()
    assert not left.value.code

    def shown(out):
        return [[image["src"] for image in part.all("img")] for part in page(out).all("article")]

    (anna,), (bert,) = shown(tmp_path / "anna"), shown(tmp_path / "bert")
    assert anna != bert
    assert sorted(shown(tmp_path / "all")) == sorted([anna, bert])


def test_a_run_of_nothing_but_failures_has_a_report_too(page, summary_of, save_summary):
    top = page(save_summary(summary_of(errors=[{"file": "x.dcm", "reason": "is cut off"}])))
    assert top.one("h1").text == "0 scans of chest CT"
    assert "1 input that belongs to no scan failed" in top.one("p", class_="lead").text


def test_the_report_goes_where_it_is_told_to(report, volume, tmp_path):
    left = report(volume.out, "--file", tmp_path / "new" / "a.html")
    assert left.status == 0
    assert str(tmp_path / "new" / "a.html") in left.err
    assert "pictures of 1 of 1 scan (" in left.err
    assert (tmp_path / "new" / "a.html").read_text().startswith("<!doctype html>")
    assert not (volume.out / "report.html").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "holds no run"),
        ("{", "is damaged"),
        ("[]", "is not a summary of ctseg"),
        ('{"schema": 1}', "another version of ctseg (schema 1, not 2)"),
        ('{"schema": 2}', "is not a summary of ctseg"),
    ],
)
def test_an_out_that_is_none_is_a_wrong_call(report, tmp_path, content, said):
    if content:
        (tmp_path / "summary.json").write_text(content)
    left = report(tmp_path)
    assert (left.status, left.err.count("\n")) == (2, 1)
    assert said in left.err


@pytest.mark.parametrize(
    ("shares", "said"),
    [([], "has not ended; call ctseg batch again"), (["slices.1-of-2.csv"], "with ctseg summarize first")],
)
def test_an_out_without_a_summary_leads_to_one(report, volume, shares, said):
    (volume.out / "summary.json").unlink()
    for name in shares:
        (volume.out / name).touch()
    left = report(volume.out)
    assert (left.status, left.err.count("\n")) == (2, 1)
    assert said in left.err


def test_a_summary_of_a_later_version_is_refused(report, summary_of, save_summary):
    left = report(save_summary({**summary_of({}), "schema": 99}))
    assert left.status == 2
    assert "update ctseg" in left.err


@pytest.mark.parametrize("line", ["scan,slice\nct.nii.gz,0\n", "scan,slice,source,mask,status\nct.nii.gz,x,a,b,ok\n"])
def test_a_damaged_list_of_slices_is_named(report, volume, line):
    (volume.out / "slices.csv").write_text(line)
    left = report(volume.out)
    assert left.status == 2
    assert "slices.csv is damaged" in left.err


def test_a_report_is_html(report, volume):
    left = report(volume.out, "--file", volume.out / "summary.json")
    assert left.status == 2
    assert "ends in .html" in left.err
    assert json.loads((volume.out / "summary.json").read_text())["schema"] == 2


def test_a_place_that_cant_be_written_to_is_named(report, volume):
    left = report(volume.out, "--file", "/proc/nowhere/a.html")
    assert left.status == 2
    assert "/proc/nowhere/a.html" in left.err


def test_batch_writes_a_report_at_the_end(command, save_volume, tmp_path, stack):
    save_volume(tmp_path / "in" / "ct.nii.gz", stack)
    left = command(tmp_path / "in", "--out", tmp_path / "out", "--report")
    assert left.status == 0
    assert "report.html" in left.err
    html = (tmp_path / "out" / "report.html").read_text()
    assert "ct.nii.gz" in html
    assert "not at hand" not in html  # the run knows its model's file
    assert not (tmp_path / "elsewhere" / "report.html").exists()


def test_the_report_of_a_run_shows_every_kind_of_scan(
    command, written, save_volume, save_series, save_slice, convert, tmp_path, stack
):
    series = save_series(tmp_path / "in/series", stack)
    convert(tmp_path / "in/frames/ct.dcm", series)
    save_volume(tmp_path / "in/ct.nii.gz", stack)
    SimpleITK.WriteImage(SimpleITK.ReadImage(tmp_path / "in/ct.nii.gz"), tmp_path / "in/ct.nrrd")
    for number, labels in enumerate(stack):
        save_slice(tmp_path / f"in/images/{number}.png", labels)
    left = command(tmp_path / "in", "--out", tmp_path / "out", "--report")
    assert left.status == 0
    top = written(tmp_path / "out")
    shown = {part.one("h3").text: part.one("ul", class_="montage").all("li") for part in top.all("article")}
    assert shown.keys() == {"ct.nii.gz", "ct.nrrd", "frames/ct.dcm", "images", "series"}
    assert {scan: [len(tile.all("img")) for tile in tiles] for scan, tiles in shown.items()} == {
        scan: [2] * 6
        for scan in shown  # the CT and its mask
    }


def test_batch_never_writes_its_report_over_what_is_none(command, save_volume, tmp_path, stack):
    save_volume(tmp_path / "in/a.nii", stack)
    call = (tmp_path / "in", "--out", tmp_path / "out")
    assert command(*call).status == 0
    (tmp_path / "out/report.html").write_text("<p>of the meeting</p>")
    assert "report.html" not in command(*call).err
    left = command(*call, "--report")
    assert left.status == 2
    assert "report.html exists and is not a report by ctseg: rename it" in left.err
    assert (tmp_path / "out/report.html").read_text() == "<p>of the meeting</p>"


def test_a_report_of_an_earlier_run_is_told_as_one(command, save_volume, tmp_path, stack):
    save_volume(tmp_path / "in/a.nii.gz", stack, (5.0, 2.0, 2.0))
    call = (tmp_path / "in", "--out", tmp_path / "out")
    assert "of an earlier run" not in command(*call, "--report").err
    assert "of an earlier run" not in command(*call).err
    told = "report.html in OUT is from an earlier run: ctseg report renews it\n"
    save_volume(tmp_path / "in/b.nii.gz", stack, (5.0, 2.0, 2.0))
    assert told in command(*call).err
    command(*call, "--report")
    for _ in range(2):  # though nothing is segmented
        assert told in command(tmp_path / "in/a.nii.gz", *call[1:], "--root", tmp_path / "in").err


def test_without_its_extra_a_report_is_refused_before_the_run(
    command, report, save_volume, tmp_path, stack, monkeypatch
):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    save_volume(tmp_path / "in" / "ct.nii.gz", stack)
    for left in (command(tmp_path / "in", "--out", tmp_path / "out", "--report"), report(tmp_path)):
        assert left.status == 2
        assert "pip install '.[report]'" in left.err
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_no_report_is_never_written_over(report, volume, tmp_path):
    own = tmp_path / "page.html"
    own.write_text("<p>mine</p>")
    status, err = report(volume.out, "--file", own)
    assert status == 2
    assert "page.html exists and is not a report by ctseg: rename it, or name another file to ctseg report" in err
    assert own.read_text() == "<p>mine</p>"
    own.unlink()
    assert report(volume.out, "--file", own)[0] == report(volume.out, "--file", own)[0] == 0


def test_the_key_figures_are_those_of_the_scan_in_the_middle(page, summary_of, save_summary):
    summary = summary_of(
        {"involvement_percent": 1.0, "lung_ml": 3000.0},
        {"involvement_percent": 40.0, "lung_ml": 8000.0},
        {"involvement_percent": 5.0, "lung_ml": 4000.0, "slices": 40, "failed_slices": 2},
    )
    summary["totals"] |= {"dice": {"mean": 0.8}, "iou": {"mean": 0.7}}
    named = page(save_summary(summary)).one("dl", **{"class": "figures"})
    told = dict(zip((one.text for one in named.all("dt")), (one.text for one in named.all("dd")), strict=False))
    shown = {
        name: value
        for name, value in told.items()
        if name in ("Slices labelled", "Involvement", "Lung volume", "Mean Dice")
    }
    expected = {"Slices labelled": "118", "Involvement": "5.0 %", "Lung volume": "4.00 L", "Mean Dice": "0.800"}
    assert {name: value.startswith(expected[name]) for name, value in shown.items()} == dict.fromkeys(expected, True)


def test_the_caption_of_a_histogram_names_the_middle_half(page, summary_of, save_summary):
    shares = (0.0, 10.0, 20.0, 30.0, 40.0)
    top = page(save_summary(summary_of(*({"involvement_percent": share} for share in shares))))
    caption = top.one("figure", data_column="involvement_percent").one("figcaption").text
    assert "Median 20.0 %; half of the scans lie between 10.0 and 30.0 %." in caption
