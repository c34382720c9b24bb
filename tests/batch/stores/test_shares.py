"""Shares of a run, and the workers of a cluster, that meet in a store alone."""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from ctseg.cli import main

OF = 3


@pytest.fixture
def scans(draw, save_slice, save_series, save_volume, bucket, tmp_path):
    """Sixteen scans, of which one has a damaged slice."""
    for number in range(12):
        save_slice(tmp_path / f"scans/images/{number}/1.png", draw(number))
        save_slice(tmp_path / f"scans/images/{number}/2.png", draw(number + 1))
    (tmp_path / "scans/images/7/2.png").write_bytes(b"damaged")
    for name in "abc":
        save_volume(tmp_path / f"scans/volumes/{name}.nii", np.stack([draw(n) for n in range(3)]), (2.0, 1.0, 1.0))
    save_series(tmp_path / "scans/series", np.stack([draw(n, 64, 64) for n in range(4)]))
    bucket.upload(tmp_path / "scans", "scans")
    return tmp_path / "scans"


@pytest.fixture
def summarize(capsys):
    """Call `ctseg summarize` as the console script does: its exit status, and what it printed."""

    def called(*arguments):
        with pytest.raises(SystemExit) as left:
            main(["summarize", *map(str, arguments)])
        return (left.value.code or 0, *capsys.readouterr())

    return called


def test_shares_that_write_to_one_place_come_to_what_one_run_does(
    scans, bucket, told, summarize, batch, figures, files, tmp_path
):
    here = batch(scans, out=tmp_path / "here")
    for number in range(1, OF + 1):
        assert told("--shard", f"{number}/{OF}", "-q").status in (0, 1)
    assert "summary.json" not in bucket.listed("out/")
    status, told_once, _ = summarize(bucket.url("out"), "--out", bucket.url("out"), "--json")
    assert status == 1
    assert bucket.summary("out") == json.loads(told_once)
    joined, alone = figures(bucket.summary("out")), figures(here.summary)
    assert {key: joined[key] for key in ("scans", "totals", "errors", "ignored")} == {
        key: alone[key] for key in ("scans", "totals", "errors", "ignored")
    }
    made = {name: md5 for name, md5 in bucket.files("out").items() if "-of-" not in name}
    assert made == files(here.out)
    # Asked for again, a share does nothing; and to somewhere else, all of them may be joined too.
    assert told("--shard", f"2/{OF}", "-q").status in (0, 1)
    assert bucket.summary("out") == json.loads(told_once)
    assert summarize(bucket.url("out"), "--out", tmp_path / "joined", "--quiet")[0] == 1
    assert figures(json.loads((tmp_path / "joined/summary.json").read_text())) == joined
    bucket.remove(f"out/summary.3-of-{OF}.json")
    status, told_of_some, _ = summarize(bucket.url("out"), "--json")
    assert status == 1
    assert {one["reason"] for one in json.loads(told_of_some)["errors"]} == {
        f"was not done: --shard 3/{OF} has not ended: call it again or, if it has another OUT, name that too"
    }


def test_under_new_settings_a_share_neither_waits_for_another_nor_forgets_what_it_noted(few, bucket, told):
    for number in (1, 2):
        assert told("--shard", f"{number}/2", "-q").status == 0
    # As another share that is at work on another machine has it.
    held = {"id": "another", "machine": "another", "pid": 1, "beat": time.time()}
    bucket.put("out/.ctseg/lock.2-of-2", json.dumps(held).encode())
    assert told("--shard", "1/2", "--write", "mask,overlay", "-q").status == 0
    bucket.remove("out/.ctseg/lock.2-of-2")
    again = told("--shard", "2/2", "--json", "-q")
    assert json.loads(again.out)["throughput"]["slices"] == 0


def test_tables_of_shares_go_as_others_take_their_place(few, bucket, told):
    def told_of():
        return {name.split(".")[1] for name in bucket.listed("out/") if "-of-" in name and ".ctseg" not in name}

    for shards, left in (
        (("1/2", "2/2"), {"1-of-2", "2-of-2"}),
        (("3/3",), {"3-of-3"}),
        (("1/3",), {"1-of-3", "3-of-3"}),
    ):
        for shard in shards:
            assert told("--shard", shard, "-q").status == 0
        assert told_of() == left
    assert told("-q").status == 0
    assert told_of() == set()


def test_what_holds_no_run_can_not_be_joined_nor_a_run_be_overwritten(few, bucket, told, summarize, tmp_path):
    status, _, err = summarize(bucket.url("nothing"))
    assert (status, err.count("\n")) == (2, 1)
    assert f"{bucket.url('nothing')}/summary.json does not exist" in err
    assert told("-q").status == 0
    for out, said in (
        (bucket.url("out"), "holds a run of its own"),
        (f"zip::{tmp_path}/a.zip", "an archive can be read"),
    ):
        status, _, err = summarize(bucket.url("out"), "--out", out)
        assert (status, err.count("\n")) == (2, 1)
        assert said in err
    assert summarize(bucket.url("out"), "--out", bucket.url("joined"), "--parquet", "--quiet")[0] == 0
    assert {"summary.parquet", "summary.json", "slices.csv"} <= bucket.listed("joined/").keys()
    assert summarize(bucket.url("out"), "--out", bucket.url("joined"), "--quiet")[0] == 0
    assert "summary.parquet" not in bucket.listed("joined/")


def test_workers_of_a_cluster_read_from_a_store_and_write_to_it(
    process_of_batch, scans, bucket, quarters, batch, figures, files, tmp_path
):
    pytest.importorskip("ray.data")
    here = batch(scans, out=tmp_path / "here")
    bucket.faults(share=0.02)
    short = Path("/tmp") / f"ctseg-ray-s3-{os.getpid()}"  # sockets have short names
    own = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": "0123456789abcdef" * 2,
        "RAY_TMPDIR": str(short),
        "HOME": str(tmp_path),
    }
    call = [*process_of_batch, bucket.url("scans"), "--out", bucket.url("out"), "--model", str(quarters)]
    call += ["--engine", "ray", "--workers", "2"]
    done = subprocess.run(call, env={**os.environ, **own}, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 1, done.stderr
    assert figures(bucket.summary("out")) == figures(here.summary)
    assert bucket.files("out") == files(here.out)
    assert bucket.summary("out")["throughput"]["slices"] == 36
    shutil.rmtree(short)
