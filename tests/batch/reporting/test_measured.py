"""What the report shows of `--measures full`: lungs, thirds, lesions, distances, agreement."""

import json
import re

import numpy as np
import pytest

from ctseg.cli import main

# Of the lungs in voxels of 0.25 mL: a slice of the right one, and of the left one.
RIGHT_ML, LEFT_ML = 20 * 32 / 4, 16 * 32 / 4

UNKNOWN = "\N{EN DASH}"


def plain(text):
    """A text with a minus as one types it."""
    return text.replace("\N{MINUS SIGN}", "-")


def rows(table):
    """The rows of a table's body by their heading, as the text of their cells."""
    return {
        row.one("th").text: [plain(cell.text) for cell in row.all("td")]
        for body in table.all("tbody")
        for row in body.all("tr")
    }


def columns(top):
    """The columns of the table of scans: the values of each by its key."""
    data = top.data("table-data")
    values = [row["values"] for row in data["rows"]]
    return {column["key"]: list(of) for column, of in zip(data["columns"], zip(*values, strict=True), strict=True)}


@pytest.fixture
def lung_table(page):
    """The table of the lungs of the one scan of an OUT."""
    return lambda out: page(out).one("article").one("table", class_="lungs")


@pytest.fixture
def edited(measured, tmp_path):
    """An OUT of full measures whose summary of its one scan is changed afterwards."""

    def changed(change):
        out = measured(1)
        summary = json.loads((out / "summary.json").read_text())
        change(summary["scans"][0])
        (out / "summary.json").write_text(json.dumps(summary))
        return out

    return changed


def test_each_lung_is_told_by_thirds_the_right_one_first(lung_table, measured):
    table = lung_table(measured(1))
    heads = [one.text for one in table.all("th", scope="colgroup")]
    assert heads == ["Right lung", "Left lung"]
    told = {name: [cell.split()[0] for cell in cells] for name, cells in rows(table).items()}
    healthy = [f"{2 * RIGHT_ML:.0f}", "0.0", "-600"]
    assert told == {
        "Upper": [*healthy, "256", "0.0", "-600"],
        "Middle": [*healthy, "256", "0.0", "-600"],
        "Lower": [*healthy, "256", "100.0", "100"],
        "Whole": ["960", "0.0", "-600", "768", "33.3", "-367"],
        "Severity": ["0", "3"],
        "Lesions": ["0", "1"],
        "Mass": ["384", "486"],  # g: 960 mL of 0.4 g/mL; 512 of 0.4 and 256 of 1.1
    }
    assert rows(table)["Severity"] == ["0 of 5", "3 of 5"]
    assert rows(table)["Mass"] == ["384 g", "486 g"]


def test_a_bar_shares_a_place_out_by_class_and_says_so(lung_table, measured):
    lower = lung_table(measured(1)).all("svg", class_="share")[5]
    assert lower["role"] == "img"
    assert lower.one("title").text == "0.0 % ground glass, 100.0 % consolidation"
    assert [(bar["class"], bar["width"]) for bar in lower.all("rect")] == [("rest", "100"), ("consolidation", "100.0")]


def test_lesions_are_told_in_a_sentence(page, measured, edited):
    assert "1 lesion, 256.0 mL in all." in page(measured(1)).one("article").text
    many = {"count": 3, "smaller": 2, "volume_ml": 1234.56, "median_ml": 0.94, "largest_ml": 1200.0}
    said = page(edited(lambda scan: scan["lesions"].update(many))).one("article").text
    assert "3 lesions, 1,234.6 mL in all: median 0.9 mL, largest 1,200.0 mL; 2 pieces below 0.1 mL not counted." in said
    none = {"count": 0, "smaller": 1, "volume_ml": 0.0, "median_ml": None, "largest_ml": None}
    said = page(edited(lambda scan: scan["lesions"].update(none))).one("article").text
    assert "No lesion; 1 piece below 0.1 mL not counted." in said


def test_lesions_and_distances_that_were_not_measured_have_dashes(page, edited):
    part = page(edited(lambda scan: scan.update(lesions=None, surface=None))).one("article")
    table = rows(part.one("table", class_="lungs"))
    assert table["Lesions"] == [UNKNOWN, UNKNOWN]
    assert table["Severity"] == ["0 of 5", "3 of 5"]
    assert rows(part.one("table", class_="scores"))["consolidation"][2:4] == [UNKNOWN, UNKNOWN]
    assert not [note for note in part.all("p", class_="note") if "lesion" in note.text.lower()]


def test_a_lung_that_is_not_there_is_said_to_be_missing(batch, page, save_volume, lungs, tmp_path):
    save_volume(tmp_path / "in/ct.nii", np.where(np.arange(64) < 32, lungs, 0), (10, 5, 5))
    top = page(batch(tmp_path / "in", measures="full").out)
    part = top.one("article")
    table = rows(part.one("table", class_="lungs"))
    assert table["Upper"] == ["320", "0.0 0.0 % ground glass, 0.0 % consolidation", "-600", "No left lung was found."]
    assert [len(table[name]) for name in ("Middle", "Lower", "Whole")] == [3, 3, 3]
    assert (table["Severity"], table["Mass"]) == (["0 of 5", UNKNOWN], ["384 g", UNKNOWN])
    assert "Severity" not in [one.text for one in part.one("dl").all("dt")]
    assert "no left lung" in part.one("ul", class_="doubts").text
    shown = columns(top)
    assert shown["right_involvement_percent"] == [0]
    assert not {"severity_total", "left_involvement_percent"} & shown.keys()


def test_a_third_with_nothing_in_it_has_dashes(lung_table, edited):
    def emptied(scan):
        third = scan["regions"]["left"]["thirds"]["upper"]
        third.update(lung_ml=0.0, involvement_percent=None)
        for figures in ("percent", "mean_hu"):
            third[figures] = dict.fromkeys(third[figures])

    assert rows(lung_table(edited(emptied)))["Upper"][3:] == ["0", UNKNOWN, UNKNOWN]


@pytest.mark.parametrize("slices", [1, 2, 3])
def test_a_scan_of_one_or_two_slices_has_no_thirds(batch, lung_table, save_volume, lungs, tmp_path, slices):
    save_volume(tmp_path / "in/ct.nii", lungs[:slices], (10, 5, 5))
    told = rows(lung_table(batch(tmp_path / "in", measures="full").out))
    for third in ("Upper", "Middle", "Lower"):
        assert (set(told[third]) == {UNKNOWN}) == (slices < 3)
    assert told["Whole"][0] == f"{slices * RIGHT_ML:.0f}"


def test_a_mean_near_water_is_not_told_as_little(lung_table, edited):
    def change(scan):
        scan["regions"]["left"]["thirds"]["upper"]["mean_hu"]["lung"] = 0.3

    assert rows(lung_table(edited(change)))["Upper"][5] == "0"


def test_without_hu_neither_mean_nor_mass_is_shown(batch, lung_table, save_slice, lungs, tmp_path):
    for index, labels in enumerate(lungs):
        save_slice(tmp_path / f"in/{index}.png", labels)
    table = lung_table(batch(tmp_path / "in", measures="full", spacing=(10, 5, 5)).out)
    assert [one.text for one in table.all("th", scope="col")] == ["Volume mL", "Involved %"] * 2
    assert list(rows(table)) == ["Upper", "Middle", "Lower", "Whole", "Severity", "Lesions"]


def test_the_table_of_scans_has_columns_for_them(page, measured):
    shown = columns(page(measured(1)))
    assert list(shown)[-9:] == [
        "involvement_percent", "severity_total", "right_involvement_percent", "left_involvement_percent",
        "lesions_count", "lesions_largest_ml", "iou_mean", "dice_mean", "consolidation_hd95_mm",
    ]  # fmt: skip
    assert shown["severity_total"] == [3]
    assert shown["left_involvement_percent"] == [33.3]
    assert (shown["lesions_count"], shown["lesions_largest_ml"]) == ([1], [256])
    assert shown["consolidation_hd95_mm"] == [pytest.approx(10, abs=0.01)]


def test_a_run_of_basic_measures_has_nothing_of_it(batch, page, save_volume, lungs, tmp_path):
    for number in range(3):
        save_volume(tmp_path / f"in/{number}.nii", lungs, (10, 5, 5))
        save_volume(tmp_path / f"truth/{number}.nii", lungs, truth=True)
    top = page(batch(tmp_path / "in", truth=tmp_path / "truth").out)
    assert list(columns(top)) == [
        "slices", "lung_ml", "ground_glass_ml", "consolidation_ml", "involvement_percent", "iou_mean", "dice_mean",
    ]  # fmt: skip
    assert "wide" not in top.one("table", id="table").get("class")
    assert not top.all("table", class_="lungs")
    assert not top.all("section", id="agreement")
    assert not top.all("figure", data_column="severity_total")
    heads = [one.text for one in top.all("table", class_="scores")[0].all("th", scope="col")]
    assert heads == ["Class", "IoU", "Dice"]


def test_distances_from_the_truth_stand_beside_the_scores(page, measured):
    table = page(measured(1)).one("article").one("table", class_="scores")
    heads = [one.text for one in table.all("th", scope="col")]
    assert heads == ["Class", "IoU", "Dice", "HD95 mm", "ASSD mm", "Volume error mL"]
    told = rows(table)
    assert told["consolidation"][2] == "10.0"
    assert told["consolidation"][4] == f"-{LEFT_ML:.1f}"
    assert told["normal lung"][4] == f"+{LEFT_ML:.1f}"
    assert told["ground glass"][2:] == [UNKNOWN, UNKNOWN, "0.0"]
    assert told["background"][2:] == told["mean"][2:] == ["", "", ""]


def test_bias_and_limits_of_agreement_are_tabled_and_drawn(page, measured):
    """Masks that hold 0, 1 and 2 slices less of consolidation than the truth: 128 mL less, give or take 128."""
    section = page(measured(0, 1, 2)).one("section", id="agreement")
    table = rows(section.one("table"))
    share = 100 * LEFT_ML / (6 * (RIGHT_ML + LEFT_ML))
    assert table["Consolidation mL"] == ["3", "384.0", "-128.0", "-378.9", "+122.9"]
    assert table["Normal lung mL"] == ["3", "1,344.0", "+128.0", "-122.9", "+378.9"]
    assert table["Lung mL"] == ["3", "1,728.0", "0.0", "0.0", "0.0"]
    assert table["Involvement %"][:3] == ["3", f"{3 * share:.1f}", f"-{share:.1f} points"]
    plots = {figure.one("h3").text: figure for figure in section.all("figure")}
    assert list(plots) == ["Involvement", "Lung", "Ground glass", "Consolidation"]
    caption = plain(plots["Consolidation"].one("figcaption").text)
    assert caption == (
        "On average 128.0 mL below the reference; 95 % of the differences are expected between -378.9 and +122.9 mL."
    )
    assert plots["Lung"].one("figcaption").text.startswith("On average as the reference; ")
    assert "-" not in plots["Consolidation"].one("figcaption").text
    drawn = plots["Consolidation"].one("svg")
    assert drawn["aria-label"].startswith("Bland-Altman plot of 3 scans. Consolidation: On average 128.0 mL below")
    dots = [one for one in drawn.walk() if "data-scan" in one.attributes]
    assert [dot["data-scan"] for dot in dots] == ["0", "1", "2"]
    assert dots[2].one("title").text == "2.nii: 256.0 mL in the mask, 512.0 mL in the reference"
    lines = {plain(text.text) for text in drawn.all("text")}
    assert {"bias -128.0", "-378.9", "+122.9"} <= lines


@pytest.mark.parametrize(
    ("scans", "error", "is_told"),
    [
        (12, lambda size: size // 5, True),
        (12, lambda size: 1_000 - size // 20, False),  # they shrink
        (12, lambda size: 500, False),
        (9, lambda size: size // 5, False),  # too few to tell
    ],
)
def test_differences_that_grow_with_the_mean_are_told(page, save_summary, summary_of, scans, error, is_told):
    def compared(place):
        size = 1_000 * (place + 1)
        more, less = (error(size), 0) if place % 2 else (0, error(size))
        return {"confusion": [[90_000, 0, 0, 0], [0, 50_000, 0, more], [0, 0, 0, 0], [0, less, 0, size - less]]}

    summary = summary_of(
        *map(compared, range(scans)), groups=["background", "normal_lung", "ground_glass", "consolidation"]
    )
    found = {"n": scans, "bias": 0.0, "lower_limit": -5.0, "upper_limit": 5.0}
    summary["totals"]["agreement"] = {
        "volumes_ml": {"normal_lung": None, "ground_glass": None, "consolidation": found},
        "lung_ml": found,
        "involvement_percent": None,
    }
    section = page(save_summary(summary)).one("section", id="agreement")
    plots = {figure.one("h3").text: figure.one("figcaption").text for figure in section.all("figure")}
    assert ("Differences grow with the mean" in plots["Consolidation"]) == is_told
    assert "Differences grow" not in plots["Lung"]  # there are none


@pytest.mark.parametrize("scans", [1, 2])
def test_few_scans_have_a_bias_and_neither_limits_nor_plots(page, measured, scans):
    section = page(measured(*[1] * scans)).one("section", id="agreement")
    assert rows(section.one("table"))["Consolidation mL"] == [
        str(scans),
        f"{3 * LEFT_ML:.1f}",
        f"-{LEFT_ML:.1f}",
        UNKNOWN,
        UNKNOWN,
    ]
    assert not section.all("figure")


def test_scans_are_counted_by_severity(page, summary_of, save_summary):
    grades = [0, 3, 3, 10, None]
    scans = [{"severity": {"right": 0, "left": 0, "total": total}} for total in grades]
    figure = page(save_summary(summary_of(*scans, {}))).one("figure", data_column="severity_total")
    bars = [one for one in figure.walk() if "data-from" in one.attributes]
    assert [int(re.search(r": (\d+) scan", bar.one("title").text)[1]) for bar in bars] == [1, 0, 0, 2, *[0] * 6, 1]
    assert [bar["data-label"] for bar in bars] == [f"Severity {grade}" for grade in range(11)]
    inside = [[g for g in grades if g is not None and float(b["data-from"]) <= g < float(b["data-to"])] for b in bars]
    assert inside[3] == [3, 3]
    assert "Median 3;" in figure.one("figcaption").text
    assert "Not known for 2 scans" in figure.one("figcaption").text


def test_a_page_of_full_measures_is_built_as_screen_readers_expect(page, measured):
    top = page(measured(0, 1, 2))
    assert all(one.get("scope") for one in top.all("th"))
    for name in ("lungs", "scores", "agreement"):
        assert all(table.one("caption").text for table in top.all("table", class_=name))
    for drawn in top.all("svg", role="img"):
        assert drawn.get("aria-label") or drawn.one("title").text
    ids = [one["id"] for one in top.walk() if "id" in one.attributes]
    assert len(set(ids)) == len(ids)
    assert "#agreement" in {one["href"] for one in top.all("a")}


def test_of_runs_that_were_joined_each_scan_has_what_its_own_run_measured(
    batch, page, save_volume, lungs, tmp_path, capsys
):
    save_volume(tmp_path / "truth/b/ct.nii", lungs, (10, 5, 5), truth=True)
    for name, truth in {"a": None, "b": tmp_path / "truth"}.items():
        save_volume(tmp_path / f"in/{name}/ct.nii", lungs, (10, 5, 5))
        measures = "full" if truth else "basic"
        batch(tmp_path / "in" / name, out=tmp_path / name, root=tmp_path / "in", measures=measures, truth=truth)
    with pytest.raises(SystemExit) as left:
        main(["summarize", *(str(tmp_path / name) for name in "ab"), "--out", str(tmp_path / "all"), "--mixed"])
    capsys.readouterr()
    assert not left.value.code
    top = page(tmp_path / "all")
    assert columns(top)["severity_total"] == [None, 3]
    basic, full = top.all("article")
    assert not basic.all("table", class_="lungs")
    assert rows(full.one("table", class_="lungs"))["Severity"] == ["0 of 5", "3 of 5"]
    assert not basic.all("table", class_="scores")
    assert full.one("table", class_="scores")


def test_lesions_are_told_where_the_lungs_are_not_known(page, edited):
    def change(scan):
        scan |= {"regions": None, "severity": None}
        scan["lesions"] |= {"right": None, "left": None}

    out = edited(change)
    found = page(out)
    article = found.one("article")
    assert not article.all("table", class_="lungs")
    count = json.loads((out / "summary.json").read_text())["scans"][0]["lesions"]["count"]
    assert count
    assert any(note.text.startswith(f"{count} lesion") for note in article.all("p", class_="note"))
    assert columns(found)["lesions_count"] == [count]
    assert "severity_total" not in columns(found)
