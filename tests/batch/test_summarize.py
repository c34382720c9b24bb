"""`ctseg summarize`: shards as one run would have told of them, and nothing that does not belong together."""

import csv
import errno
import io
import json
import os
import re
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow.parquet
import pydicom
import pytest

from ctseg.cli import main
from ctseg.errors import CallError
from ctseg.process.claim import claim
from ctseg_batch.figures.join import join
from ctseg_batch.figures.summary_schema import schema_fault
from ctseg_batch.joint_out import hold
from ctseg_batch.network.engine import Engine
from ctseg_batch.shards import Shard


@pytest.fixture
def shards(batch, draw, save_slice, save_volume, save, tmp_path):
    """Four scans with a truth, done by one run and, two by two, by two runs of the same root."""
    for number in range(2):
        for name in ("a", "b"):
            save_slice(tmp_path / f"in/{name}{number}/1.png", draw(number))
            save(tmp_path / f"truth/{name}{number}/1.png", draw(number + 1))
        save_volume(tmp_path / f"in/{number}.nii", np.stack([draw(9), draw(number)]), (2.0, 1.0, 1.0))
    call = {"truth": tmp_path / "truth"}
    whole = batch(tmp_path / "in", out=tmp_path / "whole", **call)
    root = tmp_path / "in/a0/1.png", tmp_path / "in/0.nii", tmp_path / "in/b0/1.png"
    rest = tmp_path / "in/1.nii", tmp_path / "in/a1", tmp_path / "in/b1/1.png"
    parts = [batch(*some, out=tmp_path / f"shard{n}", **call).out for n, some in enumerate((root, rest))]
    return whole.out, parts


def read(out):
    return json.loads((out / "summary.json").read_text())


def test_an_out_that_cannot_be_written_is_told_without_the_advice_of_a_run(summarize, shards, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("ctseg_batch.outputs.files.moved_to", full)
    status, _, err = summarize(*shards[1], "--out", tmp_path / "all")
    assert status == 2
    why = os.strerror(errno.ENOSPC)
    assert f"all/slices.csv can't be written: {why}; once it can, the same call writes it\n" in err


def test_shards_come_to_what_one_run_tells(summarize, shards, tmp_path):
    whole, parts = shards
    status, out, err = summarize(*parts, "--out", tmp_path / "all")
    assert (status, out) == (0, b"")
    assert "6 scans" in err
    joined, expected = read(tmp_path / "all"), read(whole)
    by_name = {scan["scan"]: scan for scan in joined["scans"]}
    assert by_name == {scan["scan"]: scan for scan in expected["scans"]}
    for key, value in expected["totals"].items():
        found = joined["totals"][key]
        assert found == (pytest.approx(value) if isinstance(value, dict | float) else value)
    assert [run["scans"] for run in joined["runs"]] == [3, 3]
    speed, each = joined["throughput"], [read(part)["throughput"] for part in parts]
    assert speed["slices"] == sum(one["slices"] for one in each)
    assert speed["slices_per_second"] == pytest.approx(speed["slices"] / sum(one["wall_s"] for one in each))
    for name in ("summary.csv", "slices.csv"):
        lines = [sorted((folder / name).read_bytes().splitlines()) for folder in (tmp_path / "all", whole)]
        assert lines[0] == lines[1]
    assert schema_fault(joined) is None


def test_more_runs_are_joined_than_files_may_be_open_at_once(batch, summarize, draw, save_slice, tmp_path):
    resource = pytest.importorskip("resource")
    save_slice(tmp_path / "in/a000/1.png", draw())
    one = batch(tmp_path / "in/a000", root=tmp_path / "in", out=tmp_path / "one").out
    names = [f"a{number:03}" for number in range(80)]
    for name in names:
        (tmp_path / name).mkdir()
        for table in ("summary.json", "slices.csv"):
            (tmp_path / name / table).write_text((one / table).read_text().replace("a000", name))
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, before[1]))
    try:
        status, _, err = summarize(*(tmp_path / name for name in names), "--out", tmp_path / "all")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert status == 0, err
    with (tmp_path / "all/slices.csv").open() as table:
        assert [row["scan"] for row in csv.DictReader(table)] == names


def test_full_measures_and_agreement_are_joined_too(batch, summarize, draw, save_volume, tmp_path):
    for number in range(2):
        labels = np.stack([draw(number), draw(number + 5)])
        save_volume(tmp_path / f"in/{number}.nii", labels, (5.0, 5.0, 5.0))
        save_volume(tmp_path / f"truth/{number}.nii", np.roll(labels, number, 1), truth=True)
    call = {"truth": tmp_path / "truth", "measures": "full"}
    whole = batch(tmp_path / "in", **call).summary
    outs = [batch(tmp_path / f"in/{n}.nii", out=tmp_path / f"o{n}", **call).out for n in range(2)]
    status, out, _ = summarize(*outs, "--json")
    assert status == 0
    assert json.loads(out)["totals"] == json.loads(json.dumps(whole["totals"]))
    assert json.loads(out)["totals"]["agreement"]["lung_ml"]["n"] == 2


def test_that_spacing_was_not_used_is_told_where_no_run_used_it(
    batch, summarize, save_volume, save_slice, draw, tmp_path
):
    for number in range(2):
        save_volume(tmp_path / f"in/{number}.nii", draw(number)[None], (5.0, 5.0, 5.0))
    save_slice(tmp_path / "in/a/1.png", draw())
    call = {"root": tmp_path / "in", "spacing": (5.0, 1.0, 1.0)}
    outs = [batch(tmp_path / "in" / one, out=tmp_path / f"out-{one}", **call).out for one in ("0.nii", "1.nii", "a")]
    told = [json.loads(summarize(*some, "--json")[1])["notes"] for some in (outs[:2], outs[1:], outs[2:])]
    assert told == [["--spacing was not used: the files give their own"], [], []]
    again = batch(tmp_path / "in/0.nii", out=outs[0], **call)
    assert (again.summary["throughput"]["slices"], again.summary["notes"]) == (0, told[0])
    assert batch(tmp_path / "in", out=tmp_path / "both", **call).summary["notes"] == []


def test_that_a_window_was_not_used_is_told_where_no_run_used_it(
    batch, summarize, save_volume, save_slice, draw, tmp_path
):
    for number in range(2):
        save_volume(tmp_path / f"in/{number}.nii", draw(number)[None])
    save_slice(tmp_path / "in/a/1.png", draw())
    call = {"root": tmp_path / "in", "window": (-1350.0, 150.0)}
    outs = [batch(tmp_path / "in" / one, out=tmp_path / f"out-{one}", **call).out for one in ("0.nii", "1.nii", "a")]
    told = [json.loads(summarize(*some, "--json")[1])["notes"] for some in (outs[:2], outs[1:])]
    assert told == [["--window was not used: no slice is 8-bit grey"], []]


def test_a_summary_of_another_version_is_told_as_such(batch, summarize, save_slice, draw, tmp_path):
    save_slice(tmp_path / "in/a/1.png", draw())
    file = batch(tmp_path / "in").out / "summary.json"
    summary = json.loads(file.read_text())
    del summary["scans"][0]["mass_g"]
    file.write_text(json.dumps(summary | {"version": "0.1.9"}))
    assert "was written by ctseg 0.1.9, not by" in " ".join(summarize(file.parent)[2].split())


def test_a_scan_that_is_the_same_in_two_runs_counts_once(summarize, shards):
    _, (first, second) = shards
    status, out, _ = summarize(first, second, first, "--json")
    assert status == 0
    assert json.loads(out)["totals"]["scans"] == 6
    assert [run["scans"] for run in json.loads(out)["runs"]] == [3, 3, 0]


def test_a_scan_that_differs_from_run_to_run_is_refused_and_both_are_named(
    batch, summarize, shards, save_slice, draw, tmp_path
):
    _, parts = shards
    save_slice(tmp_path / "in/a0/1.png", draw(7))
    other = batch(tmp_path / "in", out=tmp_path / "other", truth=tmp_path / "truth").out
    status, _, err = summarize(parts[0], other)
    assert status == 2
    assert "a0" in err
    assert str(parts[0]) in err.replace("\n", "")
    assert str(other) in err.replace("\n", "")


@pytest.mark.parametrize("content", ["damaged", "no lung"])
def test_two_patients_scans_of_one_name_and_without_lung_are_not_taken_for_one(
    batch, summarize, save_volume, tmp_path, content
):
    outs = []
    for number, patient in enumerate("ab"):
        file = save_volume(tmp_path / f"in/{patient}/ct.nii.gz", np.zeros((2, 64, 64), np.uint8))
        if content == "damaged":
            file.write_bytes(file.read_bytes()[: -8 - number])
        outs.append(batch(file.parent, out=tmp_path / patient, root=file.parent).out)
    status, _, err = summarize(*outs)
    assert status == 2
    assert "ct.nii.gz is in" in err
    told = " ".join(err.split())
    assert ("could be read in neither" if content == "damaged" else "has no lung in either") in told
    assert "and their roots differ: if these are two scans, call both runs with the same --root" in told
    archives = [f"zip::{shutil.make_archive(str(out), 'zip', out)}" for out in outs]
    status, _, err = summarize(*archives)
    assert (status, "their roots differ" in " ".join(err.split())) == (2, True)
    shutil.rmtree(outs[1] / ".ctseg")
    assert "it is not known whether their roots are the same" in " ".join(summarize(*outs)[2].split())
    again = batch(tmp_path / "in/a", out=tmp_path / "again", root=tmp_path / "in/a").out
    assert json.loads(summarize(outs[0], again, "--json")[1])["totals"]["scans"] == 1


def test_the_exit_status_is_that_of_all_scans(batch, summarize, shards, tmp_path):
    _, parts = shards
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/c.png").write_bytes(b"no picture")
    bad = batch(tmp_path / "bad", out=tmp_path / "bad out", truth=tmp_path / "truth").out
    assert summarize(bad)[0] == 2
    status, _, err = summarize(*parts, bad)
    assert status == 1
    assert "failed: c.png" in err


@pytest.mark.parametrize("options", [(), ("--quiet",)])
def test_a_failure_is_one_line_however_long(batch, summarize, tmp_path, options):
    name = "long " * 40
    (tmp_path / "in").mkdir()
    (tmp_path / f"in/{name}.png").write_bytes(b"no picture")
    _, _, err = summarize(batch(tmp_path / "in").out, *options)
    assert any(line.startswith(f"failed: {name}.png: ") for line in err.splitlines())


def test_json_and_csv_go_to_standard_output_alone(summarize, shards):
    _, parts = shards
    status, out, err = summarize(*parts, "--csv", "--quiet")
    assert (status, err) == (0, "")
    assert len(list(csv.DictReader(io.StringIO(out.decode())))) == 6
    assert b"\r\n" in out
    assert json.loads(summarize(*parts, "--json", "--quiet")[1])["totals"]["scans"] == 6
    assert summarize(*parts, "--json", "--csv")[0] == 2


def test_parquet_is_written_beside(summarize, shards, tmp_path):
    _, parts = shards
    assert summarize(*parts, "--out", tmp_path / "all", "--parquet")[0] == 0
    assert pyarrow.parquet.read_table(tmp_path / "all/summary.parquet").num_rows == 6
    assert pyarrow.parquet.read_table(tmp_path / "all/slices.parquet").num_rows == 8
    assert summarize(*parts, "--parquet")[0] == 2


def test_parquet_has_all_digits_also_of_slices(batch, summarize, draw, save_volume, save_slice, tmp_path):
    save_volume(tmp_path / "in/ct.nii", np.stack([draw(seed) for seed in range(3)]), (0.7, 0.333, 0.777))
    save_slice(tmp_path / "in/p/1.png", draw(4))
    (tmp_path / "in/p/2.png").write_bytes(b"no picture")
    out = batch(tmp_path / "in", parquet=True).out
    summarize(out, "--out", tmp_path / "all", "--parquet")
    for name in ("slices", "summary"):
        joined, one = (pyarrow.parquet.read_table(folder / f"{name}.parquet") for folder in (tmp_path / "all", out))
        assert joined.equals(one)
        assert (tmp_path / f"all/{name}.csv").read_bytes() == (out / f"{name}.csv").read_bytes()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": {"name": "other", "version": "2"}}, "differ in the model"),
        ({"model": {"precision": "fp16"}}, "differ in the precision: fp32 and fp16"),
        ({"version": "0.0.9"}, "differ in the version of ctseg"),
        ({"measures": "full"}, "differ in what was measured: basic and full"),
    ],
)
def test_runs_that_are_not_alike_are_joined_on_request_alone(summarize, shards, change, said):
    _, parts = shards
    changed = read(parts[1])
    for key, value in change.items():
        changed[key] = {**changed[key], **value} if isinstance(value, dict) else value
    (parts[1] / "summary.json").write_text(json.dumps(changed))
    status, _, err = summarize(*parts)
    assert status == 2
    assert said in err.replace("\n", " ")
    status, out, _ = summarize(*parts, "--mixed", "--json")
    assert status == 0
    joined = json.loads(out)
    assert joined[next(iter(change))] is None
    assert schema_fault(joined) is None


def test_runs_with_and_without_a_truth_are_not_alike(batch, summarize, shards, tmp_path):
    _, parts = shards
    plain = batch(tmp_path / "in/a1", out=tmp_path / "plain").out
    status, _, err = summarize(parts[0], plain)
    assert status == 2
    assert "the classes of their reference masks" in err.replace("\n", " ")
    joined = json.loads(summarize(parts[0], plain, "--mixed", "--json")[1])
    assert (joined["groups"], joined["totals"]["iou"]) == (None, None)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is not JSON"),
        ('{"schema": NaN}', "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "is not a summary of ctseg"),
        ('{"schema": 1}', "another version of ctseg (schema 1, not 2)"),
        ('{"schema": 2, "scans": []}', "is not a summary of ctseg"),
    ],
    ids=["torn", "no number", "deep", "foreign", "older", "incomplete"],
)
def test_a_summary_that_is_damaged_or_foreign_is_refused_by_name(summarize, shards, content, said):
    _, parts = shards
    (parts[1] / "summary.json").write_text(content)
    status, _, err = summarize(*parts)
    assert status == 2
    assert said in err.replace("\n", " ")
    assert str(parts[1]) in err.replace("\n", "")
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "change",
    [
        lambda scans: scans.append(scans[0]),
        lambda scans: scans[0].update(confusion=[[1, 2], [3, 4]]),
        lambda scans: scans[0].update(weighted_confusion=[[1.0, 2.0], [3.0, 4.0]]),
        lambda scans: scans[0].update(slice_weights=[1.0] * 3),
        lambda scans: scans[0].update(iou={"mean": 0.5}),
        lambda scans: scans[0].update(surface={"ground_glass+consolidation": None}),
        lambda scans: scans[0].update(errors=[{"file": "x", "reason": "y", "more": 1}]),
    ],
)
def test_what_a_summary_says_must_fit_together(summarize, shards, change):
    _, parts = shards
    changed = read(parts[0])
    change(changed["scans"])
    (parts[0] / "summary.json").write_text(json.dumps(changed))
    status, _, err = summarize(*parts)
    assert status == 2
    assert "is damaged" in err.replace("\n", " ")


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: lines[:-1],
        lambda lines: [*lines, lines[-1]],
        lambda lines: [lines[0], lines[2], lines[1], *lines[3:]],
        lambda lines: ["scan,slice", *lines[1:]],
        lambda lines: [*lines[:-1], lines[-1].replace("ok", "ok,ok")],
        lambda lines: [*lines[:-1], lines[-1].rpartition(",")[0] + ",many"],
        lambda lines: [*lines[:-1], lines[-1].rpartition(",")[0] + ",inf"],
    ],
    ids=["short", "long", "swapped", "other columns", "ragged", "no number", "infinite"],
)
def test_slices_that_do_not_fit_their_summary_are_refused(summarize, shards, tmp_path, change):
    _, parts = shards
    file = parts[1] / "slices.csv"
    file.write_text("\n".join(change(file.read_text().splitlines())) + "\n")
    status, _, err = summarize(*parts, "--out", tmp_path / "all")
    assert status == 2
    assert "slices.csv" in err
    assert not list((tmp_path / "all").glob("s*"))
    assert summarize(*parts)[0] == 0


def test_folders_that_hold_no_run_or_one_that_is_joined_are_refused(summarize, shards, tmp_path):
    _, parts = shards
    (tmp_path / "empty").mkdir()
    assert "holds no run" in summarize(tmp_path / "empty")[2].replace("\n", " ")
    summarize(*parts, "--out", tmp_path / "all")
    status, _, err = summarize(tmp_path / "all", parts[0])
    assert status == 2
    assert "name the OUT folders that it joined" in err.replace("\n", " ")
    assert summarize()[0] == 2


def test_a_run_is_never_written_over(summarize, shards, tmp_path):
    _, parts = shards
    before = {file: file.read_bytes() for part in parts for file in part.glob("s*")}
    assert summarize(*parts, "--out", parts[0])[0] == 2
    copied = tmp_path / "copied"
    shutil.copytree(parts[0], copied, ignore=shutil.ignore_patterns(".ctseg"))
    assert summarize(copied, parts[1], "--out", copied)[0] == 2
    assert {file: file.read_bytes() for part in parts for file in part.glob("s*")} == before


@pytest.mark.parametrize("name", ["summary.csv", "slices.csv", "summary.json", "slices.parquet"])
def test_what_is_not_of_ctseg_is_never_written_over(summarize, shards, tmp_path, name):
    _, parts = shards
    own = tmp_path / "own"
    own.mkdir()
    (own / name).write_text('{"scans": 3}')
    status, _, err = summarize(*parts, "--out", own)
    assert status == 2
    assert f"{name} exists and was not written by ctseg summarize: name another folder, or delete it" in err
    assert [file.name for file in own.iterdir()] == [name]
    (own / name).unlink()
    assert summarize(*parts, "--out", own)[0] == summarize(*parts, "--out", own)[0] == 0


def test_names_of_any_kind_are_joined(batch, summarize, draw, save_slice, tmp_path):
    for name in ("caf\udce9", "new\nline"):
        save_slice(tmp_path / "in" / name / "a.png", draw())
    out = batch(tmp_path / "in").out
    status, printed, _ = summarize(out, "--out", tmp_path / "all", "--csv")
    assert status == 0
    assert (tmp_path / "all/slices.csv").read_bytes() == (out / "slices.csv").read_bytes()
    assert printed == (out / "summary.csv").read_bytes()


def test_while_shards_have_not_ended_the_status_is_1_though_those_that_have_found_nothing(
    batch, summarize, draw, save_slice, tmp_path
):
    save_slice(tmp_path / "in/a/1.png", draw())
    (idle,) = (number for number in (1, 2) if not Shard(number, 2).holds("a"))
    out = batch(tmp_path / "in", shard=Shard(idle, 2)).out
    assert summarize(out)[0] == 1


def test_shards_that_have_all_ended_have_the_status_of_one_run(batch, summarize, tmp_path):
    (tmp_path / "in/a").mkdir(parents=True)
    (tmp_path / "in/a/1.png").write_bytes(b"none")
    whole = batch(tmp_path / "in", out=tmp_path / "whole")
    for number in (1, 2):
        out = batch(tmp_path / "in", shard=Shard(number, 2)).out
    assert summarize(out)[0] == whole.status == 2


@pytest.mark.parametrize("command", ["summarize", "report"])
def test_a_summary_in_place_of_its_folder_is_told(batch, draw, save_slice, tmp_path, capsys, command):
    save_slice(tmp_path / "in/a.png", draw())
    file = batch(tmp_path / "in").out / "summary.json"
    with pytest.raises(SystemExit) as left:
        main([command, str(file)])
    assert left.value.code == 2
    assert "summary.json is a file: name the folder" in " ".join(capsys.readouterr().err.split())


@pytest.fixture
def folders(draw, save_slice, tmp_path):
    """Four scans of a slice each."""
    for number in range(4):
        save_slice(tmp_path / f"in/{number}/1.png", draw(number))
    return tmp_path / "in"


def tables(out):
    """What lies in OUT of shares."""
    return {file.name for file in out.glob("*-of-*")}


@pytest.mark.parametrize("later", [[Shard(n, 3) for n in (1, 2, 3)], [None]], ids=["other shares", "one run"])
def test_scans_that_were_done_in_other_shares_before_are_not_joined(batch, summarize, folders, later):
    for number in (1, 2):
        out = batch(folders, shard=Shard(number, 2), parquet=True).out
    (folders / "3").rename(folders / "4")
    for shard in later:
        batch(folders, shard=shard)
    status, printed, _ = summarize(out, "--json")
    assert status == 0
    assert [scan["scan"] for scan in json.loads(printed)["scans"]] == ["0", "1", "2", "4"]
    assert not any("-of-2." in name for name in tables(out))


def test_shares_stand_for_the_run_that_was_there_before(batch, summarize, folders):
    batch(folders)
    (folders / "3").rename(folders / "4")
    for number in (1, 2):
        out = batch(folders, shard=Shard(number, 2)).out
    status, printed, _ = summarize(out, "--out", out, "--json")
    assert status == 0
    assert json.loads(printed)["totals"]["scans"] == 4
    assert read(out) == json.loads(printed)
    batch(folders)
    assert summarize(out, "--out", out)[0] == 2


def test_shares_of_other_settings_are_told_apart_by_their_numbers_until_all_are_done(batch, summarize, folders):
    for number in (1, 2):
        batch(folders, shard=Shard(number, 2))
    for number in (1, 2, 3):
        out = batch(folders, shard=Shard(number, 3)).out
    batch(folders, shard=Shard(2, 3), measures="full")
    status, _, err = summarize(out)
    said = err.replace("\n", " ")
    assert status == 2
    assert f"{out} (shard 1/3) and {out} (shard 2/3) differ in what was measured: basic and full" in said
    assert "call all shards with the same options" in said
    for number in (1, 3):
        batch(folders, shard=Shard(number, 3), measures="full")
    assert summarize(out)[0] == 0


@pytest.mark.parametrize("true", ["none", "some", "bad"])
def test_notes_are_those_of_one_run(batch, summarize, folders, draw, save, tmp_path, true):
    (tmp_path / "truth").mkdir()
    if true != "none":
        save(tmp_path / "truth/2/1.png", draw(2) if true == "some" else draw(2) + 7)
    call = {"truth": tmp_path / "truth", "write": ["mask", "nifti", "dicom-seg"]}
    whole = batch(folders, out=tmp_path / "whole", **call).summary["notes"]
    for number in (1, 2, 3):
        out = batch(folders, shard=Shard(number, 3), **call).out
    joined = json.loads(summarize(out, "--json")[1])
    assert joined["notes"] == whole
    assert (whole[-1] in summarize(out, "--quiet")[2].splitlines()) == (true == "none")
    assert [note[:24] for note in whole[:2]] == ["no dicom-seg of 4 scans:", "no nifti of 4 scans: ima"]
    assert len(whole) == 2 + (true == "none")
    assert len([run for run in joined["runs"] if run["scans"]]) > 1


def test_what_a_run_that_counts_once_could_not_make_counts_once(batch, summarize, folders, tmp_path):
    first = batch(folders, write=["mask", "dicom-seg"]).out
    shutil.copytree(first, tmp_path / "copy")
    joined = json.loads(summarize(first, tmp_path / "copy", "--json")[1])
    assert joined["notes"] == json.loads((first / "summary.json").read_text())["notes"] != []


def test_shards_may_have_an_out_each(batch, summarize, folders, tmp_path):
    outs = [batch(folders, out=tmp_path / f"out-{n}", shard=Shard(n, 2)).out for n in (1, 2)]
    status, told, _ = summarize(*outs, "--json")
    assert (status, json.loads(told)["errors"]) == (0, [])
    assert len(json.loads(told)["scans"]) == len(list(folders.iterdir()))
    status, told, _ = summarize(outs[0], "--json")
    assert (status, len(json.loads(told)["errors"]) > 0) == (1, True)


def test_shards_of_other_inputs_do_not_make_a_run_whole(batch, summarize, folders, tmp_path):
    shutil.copytree(folders, tmp_path / "other" / folders.name)
    outs = [
        batch(root, out=tmp_path / f"out-{n}", shard=Shard(n, 2)).out
        for n, root in ((1, folders), (2, tmp_path / "other" / folders.name))
    ]
    status, told, _ = summarize(*outs, "--json")
    assert status == 1
    assert any("has not ended" in error["reason"] for error in json.loads(told)["errors"])


def test_shards_with_an_out_each_of_which_one_found_more_are_to_be_called_again(
    batch, summarize, folders, draw, save_slice, tmp_path
):
    outs = [tmp_path / f"out-{n}" for n in (1, 2)]
    for n in (1, 2):
        batch(folders, out=outs[n - 1], shard=Shard(n, 2))
    new = next(name for name in map(str, range(50, 70)) if Shard.holder(name, 2).number == 2)
    save_slice(folders / new / "1.png", draw())
    batch(folders, out=outs[0], shard=Shard(1, 2))
    status, told, _ = summarize(*outs, "--json")
    (error,) = json.loads(told)["errors"]
    assert (status, error["file"]) == (1, new)
    assert error["reason"].endswith("call all shards again")


def test_what_shards_say_of_outputs_that_they_removed_is_added_up(batch, summarize, folders):
    for write in ("mask", "overlay"), ("mask",):
        outs = [batch(folders, shard=Shard(number, 3), write=write).out for number in (1, 2, 3)]
    scans = json.loads(summarize(outs[0], "--json")[1])
    assert scans["notes"] == [f"removed, as --write no longer names it: overlay of {len(scans['scans'])} scans"]


def test_a_scan_that_two_runs_write_in_different_forms_counts_once(batch, summarize, save_series, draw, tmp_path):
    files = save_series(tmp_path / "in/ct", np.stack([draw(seed, 64, 64) for seed in range(4)]))
    for file, height in zip(files, (0, 5, 12, 30), strict=True):
        dataset = pydicom.dcmread(file)
        dataset.ImagePositionPatient = [0, 0, height]
        dataset.save_as(file)
    outs = [batch(tmp_path / "in", out=tmp_path / kind, write=["mask", kind]).out for kind in ("nifti", "overlay")]
    first, second = (read(out)["scans"][0]["flags"] for out in outs)
    assert any(flag.startswith("no nifti: ") for flag in first)
    assert first != second
    status, told, _ = summarize(*outs, "--json")
    assert (status, [scan["flags"] for scan in json.loads(told)["scans"]]) == (0, [first])


def test_what_could_not_be_made_of_a_scan_of_two_runs_counts_once(batch, summarize, folders, tmp_path):
    outs = []
    for names in ("01", "12"):
        call = {"out": tmp_path / names, "root": folders, "write": ["mask", "nifti"]}
        outs.append(batch(*(folders / name for name in names), **call).out)
    joined = json.loads(summarize(*outs, "--json")[1])
    assert [re.match(r"no nifti of (\d+ scans): ", note)[1] for note in joined["notes"]] == ["3 scans"]


def test_a_series_whose_folders_are_of_several_shares_is_flagged(batch, summarize, draw, save_series, tmp_path):
    labels = np.stack([draw(seed, 64, 64) for seed in range(3)])
    for name in "abcdef":
        save_series(tmp_path / "in" / name, labels)
    save_series(tmp_path / "in/other", labels, seed=1)
    whole = batch(tmp_path / "in", out=tmp_path / "whole").summary
    for number in range(1, 5):
        out = batch(tmp_path / "in", shard=Shard(number, 4)).out
    status, printed, _ = summarize(out, "--json")
    assert status == 0
    assert json.loads(printed)["scans"] == json.loads(json.dumps(whole["scans"]))
    flagged = [scan["scan"] for scan in whole["scans"] if "other files of the series" in scan["flags"][-1]]
    assert flagged == list("abcdef")


def test_a_scan_that_one_of_two_runs_has_flagged_is_the_same(batch, summarize, draw, save_series, tmp_path):
    for name in "ab":
        save_series(tmp_path / "in" / name, draw(0, 64, 64)[None])
    whole = batch(tmp_path / "in", out=tmp_path / "whole")
    alone = batch(tmp_path / "in/a", out=tmp_path / "alone", root=tmp_path / "in")
    assert whole.scans["a"]["flags"] == [*alone.scans["a"]["flags"], "other files of the series in another folder"]
    status, printed, _ = summarize(alone.out, whole.out, "--json")
    assert status == 0
    assert json.loads(printed)["scans"] == json.loads(json.dumps(whole.summary["scans"]))


def test_what_came_after_a_share_had_ended_is_named(batch, summarize, folders, draw, save_slice):
    for number in (1, 2):
        out = batch(folders, shard=Shard(number, 2)).out
    new = {name for name in map(str, range(4, 12)) if Shard(2, 2).holds(name)}
    for name in map(str, range(4, 12)):
        save_slice(folders / name / "1.png", draw(int(name)))
    batch(folders, shard=Shard(1, 2))
    status, told, _ = summarize(out, "--json")
    errors = json.loads(told)["errors"]
    assert status == 1
    assert {error["file"] for error in errors} == new != set()
    assert {error["reason"] for error in errors} == {
        "was not done: other shards have found it but its own has not, so it is new or gone: call all shards again"
    }
    batch(folders, shard=Shard(2, 2))
    assert summarize(out, "--json")[0] == 0


def test_a_share_without_a_known_scan_is_missed_too(batch, summarize, folders):
    for name in "123":
        shutil.rmtree(folders / name)
    owner = Shard.holder("0", 3)
    out = batch(folders, shard=owner).out
    status, told, _ = summarize(out, "--json")
    assert status == 1
    others = [Shard(number, 3) for number in (1, 2, 3) if number != owner.number]
    cure = "call it again or, if it has another OUT, name that too"
    assert {error["file"]: error["reason"] for error in json.loads(told)["errors"]} == {
        f"shard {other}": f"was not done: --shard {other} has not ended: {cure}" for other in others
    }
    for other in others:
        batch(folders, shard=other)
    assert summarize(out)[0] == 0


@pytest.fixture
def stopped(batch, monkeypatch):
    """A run that is stopped at its first slice."""

    def stop(*_):
        raise KeyboardInterrupt

    def called(*inputs, **wanted):
        with monkeypatch.context() as patched:
            patched.setattr(Engine, "infer", stop)
            with pytest.raises(KeyboardInterrupt):
                batch(*inputs, **wanted)

    return called


def test_a_share_that_began_again_has_not_ended(batch, stopped, summarize, folders):
    for number in (1, 2):
        out = batch(folders, shard=Shard(number, 2)).out
    stopped(folders, shard=Shard(2, 2), overwrite=True)
    status, told, _ = summarize(out, "--json")
    assert status == 1
    assert {error["file"] for error in json.loads(told)["errors"]} == {n for n in "0123" if Shard(2, 2).holds(n)}


@pytest.mark.parametrize("earlier", [[None], [Shard(1, 2), Shard(2, 2)]], ids=["a run", "shares"])
def test_a_run_that_was_stopped_has_no_summary_until_it_ends(
    batch, stopped, summarize, folders, draw, save_slice, earlier
):
    for shard in earlier:
        out = batch(folders, shard=shard).out
    save_slice(folders / "4/1.png", draw(4))
    stopped(folders)
    status, _, err = summarize(out, "--quiet")
    assert status == 2
    assert "has not ended; call ctseg batch again; it does only what is missing" in err
    assert batch(folders).summary["totals"]["scans"] == 5
    assert summarize(out)[0] == 0


def test_where_nothing_is_to_be_done_a_run_that_was_stopped_leaves_the_summary(batch, folders, monkeypatch):
    out = batch(folders).out
    with monkeypatch.context() as patched:
        patched.setattr("ctseg_batch.run.write_tables", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            batch(folders)
    assert (out / "summary.json").exists()


def test_the_summary_of_a_run_does_not_outlast_shares_that_replace_its_masks(batch, folders):
    batch(folders)
    out = batch(folders, shard=Shard(1, 2), write=["mask", "overlay"]).out
    assert not (out / "summary.json").exists()


def test_a_damaged_list_of_what_was_found_is_written_anew(batch, summarize, folders):
    out = batch(folders, shard=Shard(1, 2)).out
    (found,) = (out / ".ctseg").glob("found.*")
    found.write_bytes(b"damaged")
    status, _, err = summarize(out, "--json")
    assert status == 2
    assert f"{found} is lost or damaged: call ctseg batch again, with any of its shards" in err
    batch(folders, shard=Shard(1, 2))
    assert summarize(out, "--json")[0] == 1


def test_tables_of_two_cuts_are_refused_until_a_share_is_called_again(batch, summarize, folders, tmp_path):
    older, out = (batch(folders, shard=Shard(1, of), out=tmp_path / f"of {of}").out for of in (2, 3))
    for name in tables(older):
        shutil.copy(older / name, out)
    status, _, err = summarize(out)
    assert status == 2
    assert "holds tables of runs in 2 and in 3 shards" in err.replace("\n", " ")
    batch(folders, shard=Shard(1, 3), out=out)
    assert all("-of-3." in name for name in tables(out))
    assert "--shard 2/3 has not ended" in summarize(out)[2].replace("\n", " ")


def test_copies_under_other_names_are_not_joined(batch, summarize, folders):
    for number in (1, 2):
        out = batch(folders, shard=Shard(number, 2)).out
    for name in ("summary.1-of-2 (1).json", "summary.1-of-2.conflict.json", "summary.copy-of-2.json"):
        shutil.copy(out / "summary.1-of-2.json", out / name)
    status, printed, _ = summarize(out, "--json")
    assert status == 0
    assert len(json.loads(printed)["runs"]) == 2


def test_a_run_that_begins_again_while_it_is_joined_is_told_and_no_joint_summary_stays(
    batch, summarize, shards, draw, save_volume, tmp_path, monkeypatch
):
    def join_late(found):
        joined = join(found)
        save_volume(tmp_path / "in/0.nii", np.stack([draw(7), draw(8)]), (2.0, 1.0, 1.0))
        some = tmp_path / "in/a0/1.png", tmp_path / "in/0.nii", tmp_path / "in/b0/1.png"
        batch(*some, out=parts[0], truth=tmp_path / "truth")
        return joined

    _, parts = shards
    assert summarize(*parts, "--out", tmp_path / "all")[0] == 0
    monkeypatch.setattr("ctseg_batch.figures.join.join", join_late)
    status, _, err = summarize(*parts, "--out", tmp_path / "all")
    assert status == 2
    assert f"{parts[0]} was begun again in the meantime: call again once it has ended" in err
    assert not (tmp_path / "all/summary.json").exists()


def test_one_call_waits_for_another_that_joins_the_shards_of_the_same_folder(batch, summarize, shards, tmp_path):
    out = tmp_path / "cut"
    for number in (1, 2):
        batch(tmp_path / "in", out=out, truth=tmp_path / "truth", shard=Shard(number, 2))
    began = threading.Event()

    def other():
        with claim(out, ".ctseg/lock.0-of-2"):
            began.set()
            time.sleep(2)
            return time.time_ns()

    with ThreadPoolExecutor() as pool:
        ended = pool.submit(other)
        began.wait()
        status, _, err = summarize(out, "--out", out)
        assert (out / "summary.json").stat().st_mtime_ns >= ended.result()
    assert status == 0
    assert f"waiting for another ctseg summarize --out {out}" in err


def test_while_shards_are_joined_they_may_run_but_no_other_run_into_their_folder(batch, summarize, shards, tmp_path):
    out, call = tmp_path / "cut", {"out": tmp_path / "cut", "truth": tmp_path / "truth"}
    for number in (1, 2):
        batch(tmp_path / "in", shard=Shard(number, 2), **call)
    began, done = threading.Event(), threading.Event()

    def join():
        with hold(str(out), [str(out)], print):
            began.set()
            done.wait()

    with ThreadPoolExecutor() as pool:
        pool.submit(join)
        began.wait()
        batch(tmp_path / "in", shard=Shard(1, 2), **call)
        for shard in (None, Shard(1, 3)):
            with pytest.raises(CallError, match="another run is writing to"):
                batch(tmp_path / "in", shard=shard, **call)
        done.set()
    assert summarize(out, "--out", out)[0] == 0


def test_what_belongs_to_no_scan_is_joined_too(batch, summarize, save_series, draw, tmp_path):
    labels = np.stack([draw(seed, 64, 64) for seed in range(2)])
    for name in "ab":
        folder = tmp_path / "in" / name
        for seed in range(2):  # to which of two series the damaged file belongs is unknown
            save_series(folder, labels, stems=[f"{seed}{n}" for n in range(2)], seed=seed)
        save_series(folder, labels[:1], stems=["scout"], seed=2, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
        (folder / "damaged.dcm").write_bytes(b"damaged")
        (folder / f"notes.{name}").write_bytes(b"")
    whole = batch(tmp_path / "in", out=tmp_path / "whole").summary
    outs = [batch(tmp_path / "in" / name, root=tmp_path / "in", out=tmp_path / name).out for name in "ab"]
    status, told, _ = summarize(*outs, "--json")
    joined = json.loads(told)
    assert status == 1
    for key in ("ignored", "ignored_endings", "skipped", "errors"):
        assert joined[key] == json.loads(json.dumps(whole[key]))
        assert whole[key]
    assert len(whole["errors"]) == len(whole["skipped"]) == whole["ignored"] == 2
