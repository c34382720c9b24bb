"""Which series of a study are done: by conditions on their headers, or the best one."""

import json
import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest

from ctseg.errors import CallError
from ctseg_batch.inputs.listing import ListedSeries, SeriesFacts, stretches_of
from ctseg_batch.inputs.selection import best_of, parse_condition

COARSE = {"SeriesInstanceUID": "1.2.2", "StudyInstanceUID": "1.3"}


def put_at(files, heights):
    """Have each file's slice lie at its height, in mm."""
    for file, height in zip(files, heights, strict=True):
        dataset = pydicom.dcmread(file)
        dataset.ImagePositionPatient, dataset.SliceLocation = [0, 0, height], None
        dataset.save_as(file)


@pytest.fixture(scope="module")
def study(draw, save_series, tmp_path_factory):
    """A folder with three reconstructions of one study: thin and sharp, thick and soft, and one that says little."""
    tags = {
        "thin": {"SeriesDescription": "Thorax LUNG", "SliceThickness": 1.0, "ConvolutionKernel": "B70f"},
        "thick": {"SeriesDescription": "Thorax soft", "SliceThickness": 5.0, "ConvolutionKernel": ["Br40d", "3"]},
        "bare": {"SeriesDescription": "", "SliceThickness": None, "ConvolutionKernel": None},
    }
    slices = {"thin": 6, "thick": 2, "bare": 3}
    top = tmp_path_factory.mktemp("study")
    for number, (name, told) in enumerate(tags.items(), start=1):
        labels = np.stack([draw(seed, 64, 64) for seed in range(slices[name])])
        stems = [f"{name}{index}" for index in range(len(labels))]
        uids = {"SeriesInstanceUID": f"1.2.{number}", "StudyInstanceUID": "1.3"}
        save_series(top / "p1", labels, stems, SeriesNumber=number, **uids, **told)
    return top


@pytest.fixture
def own_study(study, tmp_path):
    """The same, to be changed."""
    return Path(shutil.copytree(study, tmp_path / "in"))


def stems(done):
    """Which of the three were done, by their masks."""
    return sorted({name.split("/")[-1].split(".")[0].rstrip("0123456789") for name in done.masks})


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        (["description~lung"], ["thin"]),
        (["description~lung|soft"], ["thick", "thin"]),
        (["description=thorax soft"], ["thick"]),
        (["description!~lung"], ["bare", "thick"]),
        (["thickness<=2"], ["thin"]),
        (["thickness>1"], ["thick"]),
        (["thickness>=1"], ["thick", "thin"]),
        (["thickness!=5"], ["bare", "thin"]),
        (["kernel=b70f"], ["thin"]),
        (["kernel=Br40d"], ["thick"]),
        ([r"kernel=Br40d\3"], ["thick"]),
        (["slices>=3"], ["bare", "thin"]),
        (["slices = 2|3"], ["bare", "thick"]),
        (["number<3", "thickness<3"], ["thin"]),
        (["  Description ~ thorax  "], ["thick", "thin"]),
    ],
)
def test_conditions_choose_by_what_headers_say(batch, study, conditions, expected):
    done = batch(study, series_filter=conditions)
    assert stems(done) == expected
    assert len(done.scans) == len(expected)
    assert done.status == 0


def test_what_is_left_out_is_listed_with_the_reason(command, study, tmp_path):
    left = command(study, "--out", tmp_path / "out", "--series-filter", "thickness<=2", "--json")
    summary = json.loads(left.out)
    assert left.status == 0
    (scan,) = summary["scans"]
    assert scan["slices"] == 6
    reasons = {one["reason"] for one in summary["skipped"]}
    assert reasons == {
        "left out by --series-filter thickness<=2: its slices are 5 mm thick",
        "left out by --series-filter thickness<=2: its thickness is not known",
    }
    assert all(one["file"].startswith("p1#") for one in summary["skipped"])
    assert "skipped: p1#" in left.err
    best = command(study, "--out", tmp_path / "out", "--best-series", "--dry-run")
    assert "skipped: 2 series: left out by --best-series: of its study, p1#" in best.err


def test_a_dry_run_shows_what_a_filter_leaves(command, study, tmp_path):
    left = command(study, "--out", tmp_path / "out", "--series-filter", "slices>=3", "--dry-run")
    assert "p1#" in left.err
    assert "it has 2 slices" in left.err
    said = command(study, "--out", tmp_path / "out", "--series-filter", "slices>=3", "--dry-run", "--json").out
    plan = json.loads(said)
    assert sorted(scan["slices"] for scan in plan["scans"]) == [3, 6]
    assert len(plan["skipped"]) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("thicknes<=2", "did you mean thickness?"),
        ("lung", "like thickness<=2 or description~lung"),
        ("thickness<=thin", "thickness is a number, and thin is not"),
        ("thickness~2", "which takes =, !=, <, <=, >, >="),
        ("description<lung", "which takes =, !=, ~, !~"),
        ("kernel=B70f|", "an alternative beside | is empty"),
        ("slices=1e400", "1e400 is not"),
        ("=2", "like thickness<=2"),
        ("", "like thickness<=2"),
    ],
)
def test_a_condition_that_is_none_is_a_wrong_call(command, study, tmp_path, condition, said):
    left = command(study, "--out", tmp_path / "out", "--series-filter", condition)
    assert left.status == 2
    assert left.err.startswith(f"error: --series-filter {condition}: ")
    assert said in left.err
    assert not (tmp_path / "out").exists()


def test_thicknesses_are_compared_to_a_thousandth():
    facts = SeriesFacts("1", "", None, "", "", 0.60000002384, None, 1)
    assert parse_condition("thickness=0.6").refusal(facts) is None
    assert parse_condition("thickness<=.6").refusal(facts) is None
    assert parse_condition("thickness<0.6").refusal(facts) is not None


def test_images_and_volumes_are_no_series_and_stay(batch, draw, save_slice, save_volume, own_study):
    save_slice(own_study / "images/a.png", draw())
    save_volume(own_study / "ct.nii", draw()[None])
    done = batch(own_study, series_filter=["description=none of them"], best_series=True)
    assert set(done.scans) == {"images", "ct.nii"}


def test_an_enhanced_object_is_chosen_by_what_is_said_of_its_frames(batch, own_study, convert):
    """Series 1 is B70f and 1 mm, as files and as frames; the object has no kernel but that of its frames."""
    convert(own_study / "p1/whole.dcm", sorted(own_study.glob("p1/thin*")), series_number=9)
    named = ["kernel=B70f", "thickness=1", "description~lung", "slices=6"]
    done = batch(own_study, series_filter=named)
    assert "p1/whole.dcm" in done.scans
    assert stems(done) == ["", "thin"]
    assert list(batch(own_study, series_filter=[*named, "number=9"]).scans) == ["p1/whole.dcm"]
    assert "p1/whole.dcm" not in batch(own_study, series_filter=["kernel!=B70f"]).scans


def test_the_kernel_of_an_enhanced_object_is_where_the_standard_has_it(batch, own_study, convert):
    file = convert(own_study / "p2/whole.dcm", sorted(own_study.glob("p1/bare*")))
    dataset = pydicom.dcmread(file)
    reconstruction = pydicom.Dataset()
    reconstruction.ConvolutionKernel = "B60f"
    dataset.SharedFunctionalGroupsSequence[0].CTReconstructionSequence = [reconstruction]
    dataset.save_as(file)
    assert list(batch(own_study, series_filter=["kernel=B60f"]).scans) == ["p2/whole.dcm"]


def test_an_enhanced_object_is_a_series_of_its_study(batch, own_study, convert, counted):
    convert(own_study / "p1/whole.dcm", sorted(own_study.glob("p1/thin*")), series_number=9)
    first = batch(own_study, best_series=True)
    assert stems(first) == ["thin"]  # the same slices, but the lower number
    assert {one["file"] for one in first.summary["skipped"]} >= {"p1/whole.dcm"}
    for thin in own_study.glob("p1/thin*"):
        thin.unlink()
    counted()
    for slices in (6, 0):
        assert list(batch(own_study, best_series=True).scans) == ["p1/whole.dcm"]
        assert counted() == slices


def test_another_filter_does_again_nothing_that_was_done(batch, study, counted):
    batch(study, series_filter=["thickness<=2"])
    assert counted() == 6
    wider = batch(study, series_filter=["thickness<=9"])
    assert counted() == 2
    assert len(wider.scans) == 2
    everything = batch(study)
    assert counted() == 3
    narrow = batch(study, series_filter=["kernel=B70f"])
    assert counted() == 0
    (scan,) = narrow.summary["scans"]
    assert scan == everything.scans[scan["scan"]]


def test_label_maps_are_made_of_what_is_wanted_and_stay_when_less_is(batch, own_study, convert, counted):
    convert(own_study / "p1/whole.dcm", sorted(own_study.glob("p1/thick*")), series_number=9)

    def label_maps(done):
        return {file.relative_to(done.out / "nifti").as_posix() for file in done.out.rglob("*.nii.gz")}

    narrow = batch(own_study, series_filter=["thickness>2"], write=["mask", "nifti"])
    assert counted() == 4
    made = label_maps(narrow)
    assert len(made) == 2
    assert "p1/whole.dcm/whole.dcm.nii.gz" in made
    wider = batch(own_study, series_filter=["thickness>=1"], write=["mask", "nifti"])
    assert counted() == 6
    assert label_maps(wider) > made
    (narrow.out / "nifti/p1/whole.dcm/whole.dcm.nii.gz").unlink()
    assert label_maps(batch(own_study, best_series=True, write=["mask", "nifti"])) > made - {
        "p1/whole.dcm/whole.dcm.nii.gz"
    }
    assert counted() == 0  # the thin series is the best
    assert label_maps(batch(own_study, series_filter=["number=9"], write=["mask", "nifti"])) == label_maps(wider)
    assert counted() == 2


@pytest.mark.parametrize("options", [{"series_filter": ["thickness<=2"]}, {"best_series": True}])
def test_the_same_call_reads_no_header_again(batch, study, monkeypatch, options):
    first = batch(study, **options)

    def unwanted(*_):
        raise AssertionError("opened again")

    monkeypatch.setattr("ctseg.reading.open_series", unwanted)
    second = batch(study, **options)
    assert second.summary["scans"] == first.summary["scans"]
    assert second.summary["skipped"] == first.summary["skipped"]


def test_descriptions_are_read_again_rather_than_noted(batch, study, counted):
    for slices in (6, 0):
        done = batch(study, series_filter=["description~lung"])
        assert stems(done) == ["thin"]
        assert {one["reason"].split(": ")[1] for one in done.summary["skipped"]} == {
            "its description does not contain it",
            "its description is not known",
        }
        assert counted() == slices
    assert "Thorax" not in (done.out / ".ctseg/journal.jsonl").read_text()


def test_a_mask_that_is_gone_is_made_again_though_other_series_have_none(batch, study, counted):
    first = batch(study, series_filter=["thickness<=2"])
    counted()
    (first.out / "masks/p1/thin3.dcm.png").unlink()
    assert "p1/thin3.dcm.png" in batch(study, series_filter=["thickness<=2"]).masks
    assert counted() == 6


def test_a_file_that_fails_in_a_folder_with_series_left_out_is_an_error_of_no_scan(batch, own_study):
    damaged = own_study / "p1/thin0.dcm"
    damaged.write_bytes(damaged.read_bytes()[:60])
    done = batch(own_study, series_filter=["thickness<=2"])
    assert done.status == 1
    assert [error["file"] for error in done.summary["errors"]] == ["p1/thin0.dcm"]
    assert done.scan["status"] == "ok"


def test_one_series_a_study_also_where_each_has_its_own_folder(batch, draw, save_series, tmp_path):
    for patient in range(2):
        for number, slices in enumerate((1, 3, 2), start=1):
            labels = np.stack([draw(seed, 64, 64) for seed in range(slices)])
            series = {"SeriesInstanceUID": f"1.2.{patient}.{number}", "StudyInstanceUID": f"1.3.{patient}"}
            save_series(tmp_path / f"in/p{patient}/s{number}", labels, **series)
    done = batch(tmp_path / "in", best_series=True)
    assert list(done.scans) == ["p0/s2", "p1/s2"]
    assert done.summary["skipped"][0] == {
        "file": "p0/s1",
        "reason": "left out by --best-series: of its study, p0/s2 is taken",
    }


def test_a_projection_is_the_best_series_only_where_there_is_no_other(batch, draw, save_series, counted, tmp_path):
    labels = np.stack([draw(seed, 64, 64) for seed in range(5)])
    types = ["DERIVED", "SECONDARY", "AXIAL", "MIP"]
    save_series(tmp_path / "in/mip", labels, SeriesInstanceUID="1.2.1", StudyInstanceUID="1.3", ImageType=types)
    save_series(tmp_path / "in/plain", labels[:2], SeriesInstanceUID="1.2.2", StudyInstanceUID="1.3")
    for slices in (2, 0):
        assert list(batch(tmp_path / "in", best_series=True).scans) == ["plain"]
        assert counted() == slices
    shutil.rmtree(tmp_path / "in/plain")
    assert "projection or subtraction" in batch(tmp_path / "in", best_series=True).scan["flags"]


def test_no_part_of_the_best_series_is_left_out(batch, draw, save_series, tmp_path):
    """Its third slice lies in another folder, as some exports split a series; another series is coarser."""
    labels = np.stack([draw(seed, 64, 64) for seed in range(3)])
    files = save_series(tmp_path / "in/s1", labels, SeriesInstanceUID="1.2.1", StudyInstanceUID="1.3")
    (tmp_path / "in/s1b").mkdir()
    files[2].replace(tmp_path / "in/s1b/2.dcm")
    save_series(tmp_path / "in/s2", labels[:1], SeriesInstanceUID="1.2.2", StudyInstanceUID="1.3")
    for _ in range(2):
        done = batch(tmp_path / "in", best_series=True)
        assert {name: scan["slices"] for name, scan in done.scans.items()} == {"s1": 2, "s1b": 1}
        assert all("other files of the series in another folder" in scan["flags"] for scan in done.scans.values())
        assert [one["file"] for one in done.summary["skipped"]] == ["s2"]


def test_the_finest_series_is_the_best_though_each_of_its_folders_holds_a_part(batch, draw, save_series, tmp_path):
    labels = np.stack([draw(seed, 64, 64) for seed in range(6)])
    fine = save_series(tmp_path / "in/fine", labels, SeriesInstanceUID="1.2.1", StudyInstanceUID="1.3")
    put_at(fine, range(0, 30, 5))
    for number, file in enumerate(fine[2:]):
        (tmp_path / f"in/fine{number // 2}").mkdir(exist_ok=True)
        file.replace(tmp_path / f"in/fine{number // 2}" / file.name)
    put_at(save_series(tmp_path / "in/coarse", labels[::2], **COARSE), range(0, 30, 10))
    for _ in range(2):  # by the headers, then by the journal
        assert sorted(batch(tmp_path / "in", best_series=True).scans) == ["fine", "fine0", "fine1"]


@pytest.mark.parametrize(("second", "scans"), [(15, ["fine.dcm/1", "fine.dcm/2"]), (5, ["coarse"])])
def test_stacks_of_an_object_are_parts_of_it_where_one_lies_above_the_other(
    batch, draw, save_series, convert, tmp_path, second, scans
):
    """Of six slices, 5 mm apart; or of two phases of three places, shorter than the coarse series."""
    labels = np.stack([draw(seed, 64, 64) for seed in range(6)])
    fine = save_series(tmp_path / "fine", labels, SeriesInstanceUID="1.2.1", StudyInstanceUID="1.3")
    put_at(fine, [0, 5, 10, second, second + 5, second + 10])
    dataset = pydicom.dcmread(convert(tmp_path / "in/fine.dcm", fine))
    for number, frame in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        frame.FrameContentSequence[0].StackID = str(1 + number // 3)
    dataset.save_as(tmp_path / "in/fine.dcm")
    put_at(save_series(tmp_path / "in/coarse", labels[:5], **COARSE), range(0, 50, 10))
    for _ in range(2):  # by the headers, then by the journal
        assert sorted(batch(tmp_path / "in", best_series=True).scans) == scans


def test_of_the_stacks_that_are_taken_no_two_show_the_same(draw, batch, save_series, convert, tmp_path):
    """Two phases of the lower half, and two of the upper half."""
    labels = np.stack([draw(seed, 64, 64) for seed in range(8)])
    files = save_series(tmp_path / "files", labels, SeriesInstanceUID="1.2.1", StudyInstanceUID="1.3")
    put_at(files, [0, 5, 0, 5, 10, 15, 10, 15])
    dataset = pydicom.dcmread(convert(tmp_path / "in/heart.dcm", files))
    for number, frame in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        frame.FrameContentSequence[0].StackID = str(1 + number // 2)
    dataset.save_as(tmp_path / "in/heart.dcm")
    done = batch(tmp_path / "in", best_series=True)
    assert len(done.scans) == 2
    assert done.summary["totals"]["slices"] == 4
    assert sum(scan["lung_ml"] > 0 for scan in done.scans.values()) == 2


def test_phases_of_one_place_are_no_longer_than_one_of_them(batch, draw, save_series, tmp_path):
    labels = np.stack([draw(seed, 64, 64) for seed in range(8)])
    heart = save_series(tmp_path / "in/heart", labels, SeriesInstanceUID="1.2.1", StudyInstanceUID="1.3")
    put_at(heart, [0, 5] * 4)
    put_at(save_series(tmp_path / "in/chest", labels[:6], **COARSE), range(0, 30, 5))
    for _ in range(2):
        assert list(batch(tmp_path / "in", best_series=True).scans) == ["chest"]


def test_the_best_is_the_best_of_those_that_a_filter_leaves(command, study, tmp_path):
    left = command(study, "--out", tmp_path / "out", "--best-series", "--series-filter", "description!~lung", "--json")
    (scan,) = json.loads(left.out)["scans"]
    assert scan["slices"] == 3
    assert "the finest" not in left.err


def test_series_that_tell_of_no_study_are_all_done(batch, draw, save_series, tmp_path):
    for number in range(2):
        save_series(tmp_path / f"in/s{number}", draw(number, 64, 64)[None], StudyInstanceUID="")
    assert len(batch(tmp_path / "in", best_series=True).scans) == 2


def listed(scan, slices, spacing, number=None):
    return ListedSeries(scan, "", SeriesFacts(scan, "1", number, "", "", spacing, spacing, slices), ())


@pytest.mark.parametrize(
    ("series", "expected"),
    [
        ([listed("thick", 60, 5.0), listed("thin", 300, 1.0)], "thin"),
        ([listed("slab", 40, 0.6), listed("whole", 60, 5.0)], "whole"),
        ([listed("unknown", 400, None), listed("known", 60, 5.0)], "known"),
        ([listed("second", 60, 5.0, 2), listed("first", 60, 5.0, 1)], "first"),
        ([listed("short", 200, 1.0), listed("long", 250, 1.00000004)], "long"),
        ([listed("b", 60, 5.0), listed("a", 60, 5.0)], "a"),
        ([listed("few", 3, None), listed("many", 9, None)], "many"),
        ([listed("only", 1, None)], "only"),
    ],
)
def test_the_best_covers_the_chest_in_the_finest_steps(series, expected):
    assert best_of(series).scan_name == expected
    assert best_of(series[::-1]).scan_name == expected


def test_files_are_noted_as_stretches_of_their_folder():
    folder = ["1", "2", "3", "4", "5", "6"]
    runs = stretches_of([4, 0, 1, 5, 5])
    assert runs == ((0, 2), (4, 6))
    assert list(ListedSeries("s", "", SeriesFacts("1", "", None, "", "", None, None, 4), runs).files(folder)) == [
        "1", "2", "5", "6",
    ]  # fmt: skip


def test_a_condition_names_its_field_in_plain_words():
    with pytest.raises(CallError, match="the fields are description, kernel, thickness, spacing, slices, number"):
        parse_condition("modality=CT")
