"""What a run that dies leaves in a store, and how runs keep out of each other's way there."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest

from ctseg.errors import CallError
from ctseg_batch.remote import journal
from ctseg_batch.remote import lease as lease_module
from ctseg_batch.remote.store import Store
from ctseg_batch.url import location

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals are another matter there")

# For each line, a child that runs the command, and dies by a signal as the object whose name holds a word is about to
# be stored or removed for the so manieth time. The journal is stored as soon as there is something to be. Modules are
# loaded once.
CHILDREN = """
import json, os, sys
import cv2, onnxruntime, s3fs, nibabel, pydicom
import ctseg_batch.commands.batch, ctseg_batch.run, ctseg_batch.terminal.table
import ctseg_batch.remote.discover, ctseg_batch.remote.run_folder
from ctseg.cli import main
from ctseg_batch.remote import journal
from ctseg_batch.remote.store import Store

def run(word, left, by, environment, said, call):
    os.environ.update(environment)
    os.dup2(os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    journal._FLUSH_S = 0.05
    full = Store._full

    def watched(self, path):
        nonlocal left
        if word in path and sys._getframe(1).f_code.co_name in ("_sent", "<lambda>"):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), by)
        return full(self, path)

    Store._full = watched
    main(call)

for line in sys.stdin:
    child = os.fork()
    if not child:
        run(**json.loads(line))
    sys.stdout.write(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\\n")
    sys.stdout.flush()
"""


@pytest.fixture(scope="module")
def children():
    call = [sys.executable, "-c", CHILDREN]
    with subprocess.Popen(call, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.stdin.close()


class Died(NamedTuple):
    """The exit status, and what was said."""

    status: int
    err: str


@pytest.fixture
def die(children, bucket, environment, quarters, tmp_path):
    """Run, and die by a signal at that moment."""

    def died(word, count, by=signal.SIGKILL):
        said = tmp_path / "said"
        call = ["batch", bucket.url("scans"), "--out", bucket.url("out"), "--model", str(quarters), "--device", "cpu"]
        wanted = {"word": word, "left": count, "by": by, "environment": environment, "said": str(said), "call": call}
        children.stdin.write(json.dumps(wanted) + "\n")
        children.stdin.flush()
        return Died(int(children.stdout.readline()), said.read_text())

    return died


@pytest.fixture
def many(draw, save_slice, save_series, save_volume, bucket, tmp_path):
    """Six folders of five images, two volumes and a series: 42 slices of nine scans."""
    for number in range(30):
        save_slice(tmp_path / f"scans/{number // 5}/{number % 5}.png", draw(number, 16, 16))
    for name in "ab":
        save_volume(tmp_path / f"scans/{name}.nii", np.stack([draw(n, 64, 64) for n in range(4)]), (2.0, 1.0, 1.0))
    save_series(tmp_path / "scans/series", np.stack([draw(n, 64, 64) for n in range(4)]))
    bucket.upload(tmp_path / "scans", "scans")
    return tmp_path / "scans"


def done(bucket, out="out"):
    """The scans that the journal in a store says are done, as docs/stores.md has it."""
    names = bucket.listed(f"{out}/.ctseg/")
    if "journal.jsonl" not in names:
        return set()
    base = bucket.get(f"{out}/.ctseg/journal.jsonl")
    identity = json.loads(base.splitlines()[0])["id"]
    pieces = sorted(name for name in names if name.startswith(f"journal.pieces/{identity}-"))
    lines = b"".join([base, *(bucket.get(f"{out}/.ctseg/{name}") for name in pieces)]).splitlines()
    last = {one["part"]: one["key"] for one in map(json.loads, lines) if "part" in one}
    return {part.rpartition(":")[0] for part, key in last.items() if key}


def test_what_a_killed_run_notes_is_there_and_the_next_one_goes_on(
    many, bucket, die, run, batch, files, figures, draw, save_slice, save_volume, tmp_path
):
    before = batch(many, out=tmp_path / "before")
    states = [files(before.out)]

    def whole(least):
        """Of each scan that is noted, all masks are there and of one state of its inputs."""
        there, noted = bucket.files("out"), done(bucket)
        for scan in noted:
            expected = [{n: md5 for n, md5 in state.items() if n.startswith(f"masks/{scan}/")} for state in states]
            assert all(expected)
            assert {name: md5 for name, md5 in there.items() if name.startswith(f"masks/{scan}/")} in expected
        assert len(noted) >= least
        return noted

    moments = [("masks/3/", 2, 0), ("pieces/", 2, 1), ("masks/5/", 3, 2)]
    moments += [(name, 1, 2) for name in ("journal.jsonl", "pieces/", "slices.csv", "summary.json")]
    for word, count, least in moments:
        assert die(word, count).status == -signal.SIGKILL
        whole(least)
        assert "summary.json" not in bucket.listed("out/")
    there = run()
    assert whole(9)
    assert bucket.files("out") == states[0]
    assert figures(there.summary) == figures(before.summary)
    assert not [name for name in bucket.listed("out/.ctseg/") if "pieces" in name or "lock" in name]

    # Some change, one after the other: of none, old and new are mixed where it is noted as done.
    for number in range(5):
        bucket.put(f"scans/2/{number}.png", save_slice(many / f"2/{number}.png", draw(7 * number, 16, 16)).read_bytes())
    shorter = save_volume(many / "a.nii", np.stack([draw(n, 64, 64) for n in range(5, 8)]), (2.0, 1.0, 1.0))
    bucket.put("scans/a.nii", shorter.read_bytes())
    after = batch(many, out=tmp_path / "after")
    states.append(files(after.out))
    for word, count in (("masks/a.nii/", 2), ("masks/2/", 3)):
        assert die(word, count).status == -signal.SIGKILL
        assert len(whole(7)) < 9
        assert "summary.json" not in bucket.listed("out/")
    assert figures(run().summary) == figures(after.summary)
    assert bucket.files("out") == states[1]


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_keeps_what_was_finished_and_leaves_nothing_here(many, bucket, die, counted, run, by):
    left = die("masks/5/", 3, by)
    assert left.status == 128 + by
    assert left.err.splitlines()[-1].startswith("interrupted: finished scans are kept")
    assert "Traceback" not in left.err
    assert not list(Path(tempfile.gettempdir()).iterdir())
    assert "lock" not in bucket.listed("out/.ctseg/")
    noted = done(bucket)
    run()
    assert len(noted) > 1
    assert counted() <= 42 - 4 * len(noted)


def test_what_a_killed_run_left_here_goes_with_the_next(many, bucket, die, run):
    assert die("masks/5/", 3).status == -signal.SIGKILL
    left = list(Path(tempfile.gettempdir()).iterdir())
    assert {folder.stat().st_mode & 0o777 for folder in left} == {0o700}
    assert left
    run()
    assert not [folder for folder in left if folder.exists()]


def test_a_run_keeps_others_out_until_it_ends_or_is_killed(process_of_batch, many, bucket, told, quarters, run):
    bucket.faults(pause=0.1)
    call = [*process_of_batch, bucket.url("scans"), "--out", bucket.url("out"), "--model", str(quarters)]
    with subprocess.Popen([*call, "--device", "cpu"], stderr=subprocess.DEVNULL) as first:
        while not any("masks" in name for name in bucket.listed("out/")):
            assert first.poll() is None
            time.sleep(0.05)
        first.send_signal(signal.SIGSTOP)  # however slow the second one is to begin
        second = told()
        first.kill()
    bucket.faults()
    assert second.status == 2
    assert f"another run is writing to {bucket.url('out')}: wait until it has ended" in second.err
    assert told("-q").status == 0


@pytest.fixture
def quick(monkeypatch):
    """Leases that live for tenths of seconds."""
    for name, seconds in (("_BEAT_S", 0.1), ("_SETTLED_S", 0.05)):
        monkeypatch.setattr(lease_module, name, seconds)


def elsewhere(beat):
    return json.dumps({"id": "another", "machine": "another", "pid": 1, "beat": beat}).encode()


def test_a_run_on_another_machine_counts_as_dead_when_it_says_no_more(few, bucket, told, quick):
    bucket.put("out/.ctseg/lock", elsewhere(time.time()))
    assert told().status == 2
    bucket.put("out/.ctseg/lock", elsewhere(time.time() - 3600))
    assert told("-q").status == 0
    assert "lock" not in bucket.listed("out/.ctseg/")


def test_dead_shares_of_another_cut_are_waited_for_once_and_all_together(few, bucket, told, quick, monkeypatch):
    for number in range(1, 6):
        bucket.put(f"out/.ctseg/lock.{number}-of-5", elsewhere(time.time() - 3600))
    slept, renewed = [], threading.Event()
    renew = lease_module.Lease.renew

    def sleep(seconds):
        slept.append(seconds)
        assert renewed.wait(60)

    monkeypatch.setattr(lease_module.Lease, "renew", lambda self: (renew(self), renewed.set()))
    monkeypatch.setattr(lease_module, "time", SimpleNamespace(time=time.time, sleep=sleep))
    left = told()
    assert (left.status, slept) == (0, [0.2])
    assert f"5 earlier runs into {bucket.url('out')} did not say that they ended: waiting 0 s" in left.err
    assert not [name for name in bucket.listed("out/.ctseg/") if "lock" in name]


def test_a_share_of_another_cut_that_lives_keeps_out(few, bucket, told, quick):
    bucket.put("out/.ctseg/lock.1-of-5", elsewhere(time.time() - 3600))
    bucket.put("out/.ctseg/lock.2-of-5", elsewhere(time.time()))
    assert told("--shard", "1/2").status == 2
    assert {name for name in bucket.listed("out/.ctseg/") if "lock" in name} == {"lock.1-of-5", "lock.2-of-5"}


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_run_whose_clock_is_wrong_is_not_taken_for_dead(few, bucket, told, quick, hours):
    ended = threading.Event()
    bucket.put("out/.ctseg/lock", elsewhere(time.time() + 3600 * hours))

    def live():
        while not ended.wait(0.05):
            bucket.put("out/.ctseg/lock", elsewhere(time.time() + 3600 * hours))

    living = threading.Thread(target=live)
    living.start()
    left = told()
    ended.set()
    living.join()
    assert left.status == 2
    assert "another run is writing to" in left.err


@pytest.mark.parametrize("dead", [False, True], ids=["no lease", "that of a dead run"])
def test_of_runs_that_begin_at_one_moment_one_goes_on(bucket, monkeypatch, quick, dead):
    store = Store(location(bucket.url("out")))
    monkeypatch.setattr(lease_module, "_SETTLED_S", 0.5)
    if dead:
        bucket.put("out/.ctseg/lock", b"cut off")
    barrier, came = threading.Barrier(4), []

    def take():
        barrier.wait()
        try:
            with lease_module.leased(store, "lock", lambda _: False) as lease:
                time.sleep(0.8)
                lease.check()
                came.append("held")
        except CallError:
            came.append("refused")

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(came) == ["held", "refused", "refused", "refused"]
    assert not bucket.listed("out/.ctseg/")


def test_a_run_that_is_interrupted_as_it_begins_leaves_its_place_to_others(bucket, monkeypatch):
    slept = []

    def interrupted(seconds):  # after it has waited for a dead run, and stored its own lease
        slept.append(seconds)
        if len(slept) == 2:
            assert bucket.listed("out/.ctseg/")
            raise KeyboardInterrupt

    bucket.put("out/.ctseg/lock", elsewhere(time.time() - 3600))
    monkeypatch.setattr(lease_module, "time", SimpleNamespace(time=time.time, sleep=interrupted))
    lease = lease_module.leased(Store(location(bucket.url("out"))), "lock", lambda _: False)
    with pytest.raises(KeyboardInterrupt), lease:
        pass
    assert not bucket.listed("out/.ctseg/")


@pytest.mark.parametrize("path", ["out/.ctseg/lock", "out/.ctseg/journal.pieces/"])
def test_what_a_run_says_now_and_then_is_said_again_whatever_failed(few, bucket, run, quick, monkeypatch, path):
    monkeypatch.setattr(journal, "_FLUSH_S", 0.05)
    said_again, tries = threading.Event(), []
    put, end = Store.put, journal.StoredJournal.__exit__

    def failing(self, files):
        in_passing = threading.current_thread() is not threading.main_thread()
        if in_passing and any(f"out/{name}".startswith(path) for name in files):
            tries.append(files)
            if len(tries) == 1:
                raise RuntimeError("what no library should raise")
            said_again.set()
        return put(self, files)

    def wait(self, *error):
        said_again.wait(20)
        return end(self, *error)

    monkeypatch.setattr(Store, "put", failing)
    monkeypatch.setattr(journal.StoredJournal, "__exit__", wait)
    assert run().status == 0
    assert said_again.is_set()


def test_a_scan_is_noted_as_begun_before_its_first_file_is_stored(few, run, monkeypatch):
    put, noted, files = Store.put, [], []

    def watched(self, wanted):
        for path, content in wanted.items():
            if "pieces/" in path:
                noted.extend(json.loads(line).get("part") for line in content.splitlines())
            elif path.startswith("masks/"):
                files.append(path)
                assert any(part and path.startswith(f"masks/{part.partition(':')[0]}") for part in noted)
        put(self, wanted)

    monkeypatch.setattr(Store, "put", watched)
    assert run().status == 0
    assert files


def test_a_run_ends_that_another_one_took_for_dead(many, bucket, told, quick):
    bucket.faults(pause=0.05)
    ended = threading.Event()

    def take_over():
        while not any("masks" in name for name in bucket.listed("out/")):
            time.sleep(0.01)
        while not ended.wait(0.02):
            bucket.put("out/.ctseg/lock", elsewhere(time.time()))

    taking = threading.Thread(target=take_over)
    taking.start()
    left = told()
    ended.set()
    taking.join()
    assert left.status == 2
    assert f"another run has begun to write to {bucket.url('out')}: this one ends" in left.err
    assert json.loads(bucket.get("out/.ctseg/lock"))["id"] == "another"
    assert "summary.json" not in bucket.listed("out/")
