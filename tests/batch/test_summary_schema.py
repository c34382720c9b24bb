"""summary.json keeps to the schema that the package brings along, whatever the run was like."""

import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from ctseg.cli import main
from ctseg_batch.figures.summary_schema import SCHEMA_FILE, schema_fault

SCHEMA = json.loads(SCHEMA_FILE.read_text())


@pytest.fixture
def checked(batch):
    """Run, and see that both judges find summary.json in order."""

    def called(*inputs, **wanted):
        done = batch(*inputs, **wanted)
        read = json.loads((done.out / "summary.json").read_text())
        jsonschema.Draft7Validator(SCHEMA).validate(read)
        assert schema_fault(read) is None
        return read

    return called


@pytest.fixture
def inputs(draw, save_slice, save_series, save_volume, tmp_path):
    labels = np.stack([draw(seed, 64, 64) for seed in range(3)])
    for number, mask in enumerate(labels):
        save_slice(tmp_path / f"in/images/{number}.png", mask)
    save_series(tmp_path / "in/series", labels)
    save_volume(tmp_path / "in/ct.nii", labels, (2.0, 5.0, 5.0))
    save_volume(tmp_path / "truth/ct.nii", np.roll(labels, 8, axis=1), truth=True)
    return tmp_path / "in"


def test_the_schema_is_one():
    jsonschema.Draft7Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("measures", ["basic", "full"])
def test_runs_of_all_kinds_of_scans_keep_to_it(checked, inputs, measures):
    read = checked(inputs, measures=measures)
    assert (read["measures"], read["groups"], read["runs"]) == (measures, None, None)
    assert (read["scans"][0]["regions"] is None) == (measures == "basic" or read["scans"][0]["scan"] == "images")


@pytest.mark.parametrize("measures", ["basic", "full"])
def test_runs_with_a_truth_keep_to_it(checked, inputs, tmp_path, measures):
    read = checked(inputs, truth=tmp_path / "truth", measures=measures, spacing=(2.0, 1.0, 1.0))
    assert read["groups"] == ["background", "normal_lung", "ground_glass", "consolidation"]
    (scored,) = [scan for scan in read["scans"] if scan["iou"]]
    assert np.array(scored["confusion"]).sum() == 3 * 64 * 64


def test_runs_whose_truth_joins_classes_keep_to_it(checked, inputs, tmp_path):
    values = {"0": ["background"], "1": ["normal_lung"], "2": ["ground_glass", "consolidation"]}
    (tmp_path / "truth/dataset.json").write_text(json.dumps({"mask_values": {**values, "3": values["2"]}}))
    read = checked(inputs, truth=tmp_path / "truth", measures="full")
    assert read["groups"][-1] == "ground_glass+consolidation"


def test_runs_with_failures_keep_to_it(checked, inputs, save_series, draw):
    (inputs / "images/1.png").write_bytes(b"no picture")
    (inputs / "series/001.dcm").write_bytes(b"")
    (inputs / "broken.nii").write_bytes(b"\0" * 400)
    (inputs / "notes.txt").write_text("nothing")
    save_series(inputs / "scout", draw(1, 64, 64)[None], ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    read = checked(inputs, measures="full")
    assert {scan["status"] for scan in read["scans"]} == {"ok", "partial", "failed"}
    assert (read["ignored"], len(read["skipped"])) == (1, 1)


def test_runs_with_outputs_that_were_left_out_keep_to_it(checked, inputs, save_series):
    save_series(inputs / "empty", np.zeros((3, 64, 64), np.uint8))
    read = checked(inputs, write=("mask", "nifti", "dicom-seg"), measures="full")
    assert any(note.startswith("no nifti of 1 scan") for note in read["notes"])
    assert any("no dicom-seg: no lung was found" in scan["flags"] for scan in read["scans"])


def test_runs_of_nothing_readable_and_of_no_lung_keep_to_it(checked, save_volume, tmp_path):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/a.png").write_bytes(b"no picture")
    checked(tmp_path / "bad", measures="full")
    save_volume(tmp_path / "empty/ct.nii", np.zeros((3, 64, 64), np.uint8), (1, 5, 5))
    read = checked(tmp_path / "empty", measures="full", out=tmp_path / "out2")
    assert read["scans"][0]["regions"] == {"right": None, "left": None}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda read: read.update(extra=1), "extra"),
        (lambda read: read["scans"][0].update(extra=1), "extra"),
        (lambda read: read["scans"][0].pop("lung_ml"), "lung_ml"),
        (lambda read: read["totals"].update(slices="9"), "totals.slices"),
        (lambda read: read["scans"][0].update(status="fine"), "scans[0].status"),
        (lambda read: read.update(groups=["lungs"]), "groups"),
    ],
)
def test_what_departs_from_it_is_found_by_both_judges(checked, inputs, change, said):
    read = checked(inputs)
    change(read)
    assert said in schema_fault(read)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft7Validator(SCHEMA).validate(read)


def test_every_key_is_explained_in_the_documentation():
    text = (Path(__file__).parents[2] / "docs/summary.md").read_text()
    scan, totals = (SCHEMA["definitions"][name]["properties"] for name in ("scan", "totals"))
    assert [key for key in {**SCHEMA["properties"], **scan, **totals} if f"`{key}`" not in text] == []


def test_the_command_says_where_it_is(capsys):
    with pytest.raises(SystemExit) as left:
        main(["summarize", "--schema"])
    assert not left.value.code
    assert capsys.readouterr().out.strip() == str(SCHEMA_FILE)
