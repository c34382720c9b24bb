"""`--shard I/N`: shares that know nothing of each other come to what one run does."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import numpy as np
import pytest

from ctseg.errors import CallError
from ctseg_batch.call import Call
from ctseg_batch.network.engine import Engine
from ctseg_batch.run import run
from ctseg_batch.shards import Shard
from ctseg_batch.watcher import Watcher

OF = 8
CTSEG = [sys.executable, "-m", "ctseg", "batch", "--device", "cpu"]


@pytest.fixture(scope="module")
def many(draw, save_slice, save_volume, save_series, tmp_path_factory):
    """A root with scans of all kinds, more than there are shares."""
    root = tmp_path_factory.mktemp("many") / "in"
    for number in range(9):
        save_slice(root / f"images/{number}/1.png", draw(number))
        save_slice(root / f"images/{number}/2.png", draw(number + 1))
        save_volume(root / f"volumes/{number}.nii", np.stack([draw(9), draw(number)]), (2.0, 1.0, 1.0))
    for number in range(3):
        save_series(root / f"dicom/{number}", np.stack([draw(number, columns=64), draw(9, columns=64)]), seed=number)
    (root / "images/bad").mkdir()
    (root / "images/bad/1.png").write_bytes(b"no picture")
    (root / "notes.txt").write_text("of no kind")
    return root


def shard_files(out):
    """All that shares wrote but what each keeps for itself, by path."""
    files = (file for file in out.rglob("*") if file.is_file() and ".ctseg" not in file.parts)
    return {str(file.relative_to(out)): file.read_bytes() for file in files if "-of-" not in file.name}


def plain(summary):
    """A summary without what tells one run from another."""
    left_out = ("throughput", "runs", "shard")
    return {key: value for key, value in summary.items() if key not in left_out}


def test_eight_shards_at_once_into_one_out_equal_one_run(batch, summarize, many, quarters, tmp_path):
    whole = batch(many, out=tmp_path / "whole", write=["mask", "nifti"])
    call = [*CTSEG, many, "--out", tmp_path / "out", "--model", quarters, "--write", "mask,nifti", "-q"]
    shares = [subprocess.Popen([*map(str, call), "--shard", f"{n}/{OF}"]) for n in range(1, OF + 1)]
    assert sorted(share.wait() for share in shares) == [0] * (OF - 1) + [1]
    assert summarize(tmp_path / "out", "--out", tmp_path / "out", "--quiet")[0] == 1
    made, expected = shard_files(tmp_path / "out"), shard_files(whole.out)
    joined, one = (json.loads(files.pop("summary.json")) for files in (made, expected))
    assert made.keys() == expected.keys()
    assert [name for name in made if made[name] != expected[name]] == []
    assert plain(joined) == json.loads(json.dumps(plain(one)))
    assert [run["shard"] for run in joined["runs"]] == [f"{n}/{OF}" for n in range(1, OF + 1)]


def test_what_no_shard_has_done_is_named(batch, summarize, many, tmp_path):
    outs = [batch(many, shard=Shard(n, 3)) for n in (1, 3)]
    status, out, err = summarize(outs[0].out, "--json")
    missing = {name for name in names_of(batch(many, out=tmp_path / "all")) if Shard(2, 3).holds(name)}
    joined = json.loads(out)
    assert status == 1
    assert {error["file"] for error in joined["errors"]} == missing != set()
    assert {error["reason"] for error in joined["errors"]} == {
        "was not done: --shard 2/3 has not ended: call it again or, if it has another OUT, name that too"
    }
    assert all(name in err for name in missing)
    assert "joined from 2 shards" in err.splitlines()


def names_of(done):
    return [scan["scan"] for scan in done.summary["scans"]]


def test_every_scan_belongs_to_one_shard_and_the_shares_are_alike():
    names = [f"patient {number}/series" for number in range(8000)]
    shares = [sum(Shard(number, OF).holds(name) for name in names) for number in range(1, OF + 1)]
    assert sum(shares) == len(names)
    assert min(shares) > 850
    assert max(shares) < 1150


def test_an_empty_shard_is_all_well(batch, draw, save_slice, tmp_path):
    save_slice(tmp_path / "in/a/1.png", draw())
    done = [batch(tmp_path / "in", shard=Shard(number, 4)) for number in range(1, 5)]
    assert [one.status for one in done] == [0, 0, 0, 0]
    assert sorted(len(one.summary["scans"]) for one in done) == [0, 0, 0, 1]


def test_an_empty_shard_says_so(command, draw, save_slice, tmp_path):
    save_slice(tmp_path / "in/a/1.png", draw())
    said = [
        f"no scan belongs to shard {number}/2"
        in command(tmp_path / "in", "--out", tmp_path / "out", "--shard", f"{number}/2").err
        for number in (1, 2)
    ]
    assert sorted(said) == [False, True]


def test_a_shard_that_was_killed_redoes_only_its_own(batch, many, quarters):
    others = batch(many, shard=Shard(1, 2))
    before = {file: file.stat().st_mtime_ns for file in (others.out / "masks").rglob("*.png")}
    call = [*CTSEG, many, "--out", others.out, "--model", quarters, "--shard", "2/2", "-q", "--workers", "1"]
    killed = subprocess.Popen(list(map(str, call)))
    journal = others.out / ".ctseg/journal.2-of-2.jsonl"
    while killed.poll() is None and not (journal.exists() and journal.read_bytes().count(b'"pixels"')):
        time.sleep(0.001)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    (others.out / "masks/images/.left.png.2-of-2.tmp").write_bytes(b"half")
    (others.out / "masks/images/.other.png.1-of-2.tmp").write_bytes(b"of one that is at work")
    tables = [others.out / f".slices.{shard}.csv.tmp" for shard in ("1-of-2", "2-of-2", "9-of-16")]
    for table in tables:
        table.write_bytes(b"half")
    noted = journal.read_bytes().count(b'"pixels"')
    again = batch(many, shard=Shard(2, 2))
    assert 0 < again.summary["throughput"]["slices"] <= again.summary["totals"]["slices"] - noted
    assert {file: file.stat().st_mtime_ns for file in before} == before
    assert not (others.out / "masks/images/.left.png.2-of-2.tmp").exists()
    assert (others.out / "masks/images/.other.png.1-of-2.tmp").exists()
    assert [table.exists() for table in tables] == [True, False, False]
    for shard in (Shard(1, 2), Shard(2, 2)):
        assert batch(many, shard=shard).summary["throughput"]["slices"] == 0


def test_what_shards_have_done_need_not_be_done_again_by_one_run_or_by_other_shards(batch, many):
    for number in (1, 2):
        batch(many, shard=Shard(number, 2))
    whole = batch(many)
    assert whole.summary["throughput"]["slices"] <= 1  # the bad one is looked at again
    assert sum(batch(many, shard=Shard(n, 3)).summary["throughput"]["slices"] for n in (1, 2, 3)) <= 1


@pytest.mark.parametrize("cuts", [(0, 2), (2, 0), (3, 2)])
def test_what_another_cut_has_replaced_is_not_taken_for_what_was_noted_before(batch, draw, save_slice, tmp_path, cuts):
    """The first file comes back, with its time: its figures are known, but the mask in OUT is that of the second."""
    file = save_slice(tmp_path / "in/a/1.png", draw(1))
    save_slice(tmp_path / "in/b/1.png", draw(2))
    stamp = file.stat()

    def call(of):
        shares = [batch(tmp_path / "in", shard=Shard(n, of)) for n in range(1, of + 1)] or [batch(tmp_path / "in")]
        return sum(one.summary["throughput"]["slices"] for one in shares), shares[-1].masks["a/1.png"]

    first, content = call(cuts[0])[1], file.read_bytes()
    save_slice(file, draw(7))
    _, second = call(cuts[1])
    assert (first != second).any()
    file.write_bytes(content)
    os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    slices, third = call(cuts[0])
    assert slices == 1
    assert (third == first).all()
    assert [call(of)[0] for of in (*cuts, *cuts)] == [0, 0, 0, 0]


def test_of_what_was_overwritten_nothing_counts_any_more(batch, draw, save_slice, tmp_path):
    file = save_slice(tmp_path / "in/1.png", draw(1))
    stamp = file.stat()
    content = file.read_bytes()
    for number in (1, 2):
        batch(tmp_path / "in", shard=Shard(number, 2))
    save_slice(file, draw(7))
    batch(tmp_path / "in", overwrite=True)
    file.write_bytes(content)
    os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert sum(batch(tmp_path / "in", shard=Shard(n, 2)).summary["throughput"]["slices"] for n in (1, 2)) == 1


@pytest.mark.parametrize("of", [(0, 0), (0, 2), (2, 0), (2, 2)], ids=str)
def test_overwrite_that_was_stopped_goes_on_without_it(batch, stopped, draw, save_slice, counted, tmp_path, of):
    for name in "abcdefghi":
        save_slice(tmp_path / f"in/{name}/1.png", draw())
    before, after = ([Shard(n, count) for n in range(1, count + 1)] or [None] for count in of)
    for shard in before:
        batch(tmp_path / "in", shard=shard)
    count = sum(after[-1] is None or after[-1].holds(name) for name in "abcdefghi")
    stopped(2, tmp_path / "in", shard=after[-1], overwrite=True)
    counted()
    for shard in after:
        batch(tmp_path / "in", shard=shard)
    assert counted() == count - 2
    for shard in (*before, *after):
        batch(tmp_path / "in", shard=shard)
    assert counted() == 0


def test_what_a_run_left_unfinished_its_shares_clear_and_the_other_way_round(batch, many, monkeypatch):
    def die(*_):
        raise KeyboardInterrupt

    def stopped(**call):
        with monkeypatch.context() as patched:
            patched.setattr(Engine, "infer", die)
            with pytest.raises(KeyboardInterrupt):
                batch(many, **call)

    stopped()
    out = batch(many, shard=Shard(2, 2)).out  # makes the folder
    half = out / "masks/images/.left.png.tmp"
    half.write_bytes(b"half")
    batch(many, shard=Shard(1, 2))
    assert not half.exists()
    batch(many)
    stopped(shard=Shard(1, 2), overwrite=True)
    half = out / "masks/images/.left.png.1-of-2.tmp"
    half.write_bytes(b"half")
    journal = batch(many).out / ".ctseg/journal.jsonl"
    assert not half.exists()
    before = journal.read_bytes()
    assert batch(many, workers=1).summary["throughput"]["slices"] == 0
    assert journal.read_bytes() == before


def test_out_is_cleared_of_what_a_killed_share_of_another_cut_left_once(batch, many, stopped, monkeypatch):
    out = batch(many).out
    stopped(3, many, shard=Shard(1, 2), overwrite=True)
    half = out / "masks/images/.left.png.1-of-2.tmp"
    half.write_bytes(b"half")
    batch(many)
    assert not half.exists()
    monkeypatch.setattr("ctseg_batch.outputs.outputs.Outputs.remove_unfinished", lambda _: 1 / 0)
    batch(many)


def test_results_under_other_settings_are_never_taken_for_those_of_today(batch, many):
    slices = batch(many).summary["throughput"]["slices"]
    shares = [batch(many, shard=Shard(n, 2), write=["mask", "overlay"]) for n in (1, 2)]
    assert sum(one.summary["throughput"]["slices"] for one in shares) == slices
    assert batch(many).summary["throughput"]["slices"] == slices


@pytest.mark.parametrize("of", [1, 3])
def test_every_share_takes_away_what_runs_before_it_wrote_under_other_settings(batch, many, of):
    for number in range(1, of + 1):
        batch(many, shard=Shard(number, of) if of > 1 else None, write=["mask", "overlay"])
    for number in (1, 2):
        out = batch(many, shard=Shard(number, 2)).out
    assert not list((out / "overlays").rglob("*.png"))


def test_under_new_settings_a_share_leaves_the_others_what_they_noted(batch, many):
    for number in (1, 2):
        batch(many, shard=Shard(number, 2))
    new = {"write": ["mask", "overlay"]}
    batch(many, shard=Shard(1, 2), **new)
    assert batch(many, shard=Shard(2, 2)).summary["throughput"]["slices"] == 0
    assert batch(many, shard=Shard(2, 2), **new).summary["throughput"]["slices"] > 0
    for number in (1, 2):
        assert batch(many, shard=Shard(number, 2), **new).summary["throughput"]["slices"] == 0


def test_a_share_that_ends_while_another_begins_under_new_settings_is_done(batch, many, quarters, tmp_path):
    for number in (1, 2):
        batch(many, shard=Shard(number, 2))
    new = {"write": ["mask", "overlay"]}

    class WhileItBegins(Watcher):
        """The other share does all of its own once the first has read what was done before."""

        def remark(self, line):
            if not ended:
                ended.append(batch(many, shard=Shard(2, 2), **new))

    ended = []
    call = Call([many], tmp_path / "out", model=str(quarters), device="cpu", shard=Shard(1, 2), **new)
    run(call, WhileItBegins())
    assert ended[0].summary["throughput"]["slices"] > 1
    assert batch(many, shard=Shard(2, 2), **new).summary["throughput"]["slices"] == 0


def test_shares_begin_at_once_under_new_settings(batch, many, tmp_path):
    for number in (1, 2):
        batch(many, shard=Shard(number, 2))
    with held(tmp_path / "out", ".2-of-2"):
        again = batch(many, shard=Shard(1, 2), write=["mask", "overlay"])
    assert again.summary["throughput"]["slices"] > 1


@contextmanager
def held(out, mark):
    """Another process holds OUT, or the share with that mark: a lock that this one holds, it may take again."""
    code = (
        "import sys\nfrom pathlib import Path\nfrom ctseg.process.claim import claim\n"
        f"with claim(Path({str(out)!r}), '.ctseg/lock{mark}'):\n"
        "    print(flush=True)\n    sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        yield
        other.communicate()


@pytest.mark.parametrize(
    ("mark", "wanted", "refused"),
    [
        (".2-of-3", Shard(1, 3), False),
        (".2-of-3", Shard(2, 3), True),
        (".2-of-3", Shard(2, 4), True),
        (".2-of-3", None, True),
        ("", Shard(1, 3), True),
    ],
)
def test_shards_of_one_cut_work_at_once_and_nobody_else(batch, many, tmp_path, mark, wanted, refused):
    with held(tmp_path / "out", mark):
        if refused:
            with pytest.raises(CallError, match="another run is writing to"):
                batch(many, out=tmp_path / "out", shard=wanted)
        else:
            assert batch(many, out=tmp_path / "out", shard=wanted).summary["scans"]


def test_a_share_that_changes_something_takes_away_the_tables_of_the_whole(
    batch, summarize, draw, save_slice, tmp_path
):
    """They would show what there was before, and nothing would tell."""
    top, out = tmp_path / "in", tmp_path / "out"
    tables = [out / f"{name}.{kind}" for name in ("summary", "slices") for kind in ("csv", "parquet")]
    tables.append(out / "summary.json")
    save_slice(top / "a/1.png", draw(1))
    batch(top, out=out, parquet=True)
    assert all(table.exists() for table in tables)
    save_slice(top / "b/1.png", draw(2))
    for number in (1, 2):
        batch(top, out=out, shard=Shard(number, 2))
        assert not any(table.exists() for table in tables)
    assert summarize(out, "--out", out, "--parquet")[0] == 0
    batch(top, out=out, shard=Shard(1, 2))
    assert all(table.exists() for table in tables), "it had nothing to do"


def test_a_report_is_made_of_all_not_of_a_share(batch, many):
    with pytest.raises(CallError, match="ctseg summarize, then ctseg report"):
        batch(many, shard=Shard(1, 2), report=True)


@pytest.mark.parametrize("written", ["0/4", "5/4", "1", "1/0", "a/b", "-1/2", "1/2/3", ""])
def test_a_share_that_is_none_is_refused(command, many, tmp_path, written):
    done = command(many, "--out", tmp_path / "out", "--shard", written)
    assert done.status == 2
    assert "give the shard and the number of shards" in done.err
    assert written != "0/4" or "from 1/4 to 4/4" in done.err
