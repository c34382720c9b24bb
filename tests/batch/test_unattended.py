"""What a night meets: kills at any moment, a second run, full or vanished disks, too little memory, too few threads."""

import errno
import os
import random
import resource
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from ctseg.errors import CallError
from ctseg_batch.call import Call
from ctseg_batch.journal import record
from ctseg_batch.layout import RECORD
from ctseg_batch.network.engine import Engine
from ctseg_batch.parts import pipeline
from ctseg_batch.run import run
from ctseg_batch.watcher import Watcher

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and limits are another matter there")

KILLS = 20
ROOM = 3 * 2**30


def start(*arguments, before=None):
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\nfrom ctseg.cli import main; main()"
    call = [sys.executable, "-c", code, "batch", "--device", "cpu", "--workers", "2", *map(str, arguments)]
    return subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=before)


@pytest.fixture(scope="module")
def material(draw, save_slice, save_series, save_volume, tmp_path_factory):
    """Images in three parts, one damaged; series; volumes."""
    top = tmp_path_factory.mktemp("night")
    labels = np.stack([draw(seed, 64, 64) for seed in range(8)])
    for number in range(600):
        save_slice(top / "images" / f"{number:03d}.png", draw(number % 9, 16, 16))
    (top / "images/300.png").write_bytes(b"damaged")
    for number in range(4):
        save_series(top / f"series{number}", labels)
        save_volume(top / f"{number}.nii.gz", labels)
    return top


@pytest.fixture
def night(material, tmp_path):
    return Path(shutil.copytree(material, tmp_path / "in", copy_function=os.link))


def written(out):
    return {file.relative_to(out): file.read_bytes() for file in (out / "masks").rglob("*") if file.is_file()}


def figures(summary):
    return {key: value for key, value in summary.items() if key != "throughput"}


def test_killed_again_and_again_it_comes_to_the_same_bytes(batch, quarters, night, tmp_path):
    """By kill -9, Ctrl-C once and twice, SIGTERM, at random moments, most of them while slices are written."""
    draws = random.Random(0)
    out = tmp_path / "killed"
    statuses = set()
    for _ in range(KILLS):
        seen = (out / RECORD / "journal.jsonl").stat().st_size if out.exists() else 0
        process = start(night, "--out", out, "--model", quarters)
        early = draws.random() < 0.1  # before anything is done, perhaps even while Python itself starts
        while not early and process.poll() is None:
            journal = out / RECORD / "journal.jsonl"
            if journal.exists() and journal.stat().st_size > seen:
                break
            time.sleep(0.002)
        time.sleep(draws.random() * 0.02)
        ways = draws.choice([(signal.SIGKILL,), (signal.SIGINT,), (signal.SIGINT,) * 2, (signal.SIGTERM,)])
        for number in ways:
            process.send_signal(number)
            time.sleep(draws.random() * 0.01)
        err = process.communicate(timeout=60)[1]
        assert early or len(ways) > 1 or "Traceback" not in err  # the second may come while Python itself ends
        statuses.add(process.returncode)
        if process.returncode in (130, 143):
            assert early or len(ways) > 1 or "does the others" in err
        if draws.random() < 0.1:
            shutil.rmtree(out / "masks", ignore_errors=True)  # begin anew now and then, or it would soon be done
    assert {-signal.SIGKILL, 130, 143} <= statuses
    resumed, whole = batch(night, out=out), batch(night)
    assert figures(resumed.summary) == figures(whole.summary)
    assert written(out) == written(whole.out)
    assert not list(out.rglob("*.tmp"))


def test_a_second_run_into_the_same_out_is_told_so_and_stops(batch, command, night, monkeypatch, tmp_path):
    began, go_on = threading.Event(), threading.Event()
    infer = Engine.infer

    def slowly(self, sources, outputs):
        began.set()
        go_on.wait()
        return infer(self, sources, outputs)

    monkeypatch.setattr(Engine, "infer", slowly)
    first = threading.Thread(target=batch, args=(night,))
    first.start()
    began.wait()
    left = command(night, "--out", tmp_path / "out")
    go_on.set()
    first.join()
    assert left.status == 2
    assert f"error: another run is writing to {tmp_path / 'out'}: wait" in left.err
    assert batch(night).summary["throughput"]["slices"] == 0


@pytest.fixture(scope="module")
def undisturbed(material, quarters, tmp_path_factory):
    """The masks of a run that nothing happens to."""
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    run(Call([material], out, model=str(quarters), device="cpu", workers=2), Watcher())
    return written(out)


@pytest.mark.parametrize(
    ("number", "after"),
    [(errno.ENOSPC, 0), (errno.ENOSPC, 5), (errno.ENOSPC, 300), (errno.EDQUOT, 5), (errno.EROFS, 5), (errno.EIO, 5)],
)
def test_a_disk_that_fails_ends_the_run_and_leaves_no_half_file(batch, night, undisturbed, monkeypatch, number, after):
    """Whatever file it is, a mask or a table. With room again, the same call goes on."""
    written_so_far = [0]

    def fail(write):
        def writing(self, content):
            written_so_far[0] += 1
            if written_so_far[0] > after:
                write(self, content[: len(content) // 2])
                raise OSError(number, os.strerror(number))
            return write(self, content)

        return writing

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", fail(Path.write_bytes))
        with pytest.raises(CallError, match=f"can't be written: {os.strerror(number)}"):
            batch(night)
    done = batch(night)
    assert not list(done.out.rglob("*.tmp"))
    assert written(done.out) == undisturbed


def test_a_journal_that_can_not_be_written_ends_the_run(batch, few, monkeypatch):
    def fails(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(record, "line_of", fails)
        with pytest.raises(CallError, match=f"journal.jsonl can't be written: {os.strerror(errno.ENOSPC)}"):
            batch(few)
    assert len(batch(few).masks) == 3


def test_a_disk_that_is_full_in_truth_is_an_error_in_one_line(quarters, night, tmp_path):
    """The journal may not grow past a limit: the system itself refuses the write, in the midst of a line."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    process = start(night, "--out", tmp_path / "out", "--model", quarters, before=limit)
    out, err = process.communicate()
    assert (process.returncode, out) == (2, "")
    assert "journal.jsonl can't be written: File too large" in err
    assert "Traceback" not in err


@pytest.fixture(scope="module")
def few(draw, save_slice, tmp_path_factory):
    """Three images."""
    top = tmp_path_factory.mktemp("few")
    for number in range(3):
        save_slice(top / f"{number}.png", draw(number))
    return top


NOTHING_FULL = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
LOGS = [
    pytest.param("2>/dev/full", (), marks=NOTHING_FULL, id="a full disk"),
    pytest.param("2>/dev/full", ("-v",), marks=NOTHING_FULL, id="a full disk, of each scan"),
    pytest.param("2>&-", (), id="none"),
    pytest.param("2>&-", ("--quiet",), id="none, of failures"),
    pytest.param("<&- >&- 2>&-", (), id="no standard files"),
]


@pytest.mark.parametrize(("log", "options"), LOGS)
def test_a_log_that_can_not_be_written_stops_nobody(process_of_batch, quarters, few, tmp_path, log, options):
    call = [*process_of_batch, few, "--out", tmp_path / "out", "--model", quarters, "--device", "cpu", *options]
    done = subprocess.run(["sh", "-c", f'"$@" {log}', "sh", *map(str, call)], check=False)
    assert done.returncode == 0
    assert len(written(tmp_path / "out")) == 3
    assert (tmp_path / "out/summary.json").exists()


GONE = [
    pytest.param(">/dev/full", "No space left on device", marks=NOTHING_FULL, id="a full disk"),
    pytest.param(">&-", "there is none", id="none"),
    pytest.param("| true", "Broken pipe", id="a reader that is gone"),
]


@pytest.mark.parametrize(("answer", "why"), GONE)
@pytest.mark.parametrize("command", ["batch", "summarize", "summarize --csv"])
def test_an_answer_that_can_not_be_written_is_told_as_such(batch, quarters, few, tmp_path, command, answer, why):
    batch(few)
    name, *how = command.split()
    call = [sys.executable, "-m", "ctseg", name, *(how or ["--json"])]
    call += (
        [few, "--out", tmp_path / "out", "--model", quarters, "--device", "cpu"]
        if name == "batch"
        else [tmp_path / "out"]
    )
    script = f'{{ sleep 1; "$@"; echo $? >&2; }} {answer}'
    done = subprocess.run(["sh", "-c", script, "sh", *map(str, call)], check=False, stderr=subprocess.PIPE, text=True)
    *_, error, status = done.stderr.splitlines()
    whole = "; summary.json in OUT is complete" if name == "batch" else ""
    assert (error, status) == (f"error: standard output can't be written ({why}){whole}", "2")


@pytest.mark.parametrize("asked", [["--version"], ["summarize", "--schema", "out"], ["inspect", "fast"]])
def test_what_is_asked_of_ctseg_itself_is_an_answer_too(asked):
    call = ["sh", "-c", '"$@" >&-', "sh", sys.executable, "-m", "ctseg", *asked]
    done = subprocess.run(call, check=False, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (2, "error: standard output can't be written (there is none)\n")


@pytest.mark.parametrize("how", [[], ["--json"]])
def test_a_description_that_nobody_reads_is_told(how):
    script = '{ sleep 1; "$@"; echo $? >&2; } | true'
    call = ["sh", "-c", script, "sh", sys.executable, "-m", "ctseg", "inspect", "fast", *how]
    done = subprocess.run(call, check=False, stderr=subprocess.PIPE, text=True)
    assert done.stderr == "error: standard output can't be written (Broken pipe)\n2\n"


@NOTHING_FULL
def test_a_wrong_call_is_status_2_also_where_nobody_can_be_told(process_of_batch, tmp_path):
    call = [*process_of_batch, str(tmp_path / "nowhere"), "--out", str(tmp_path / "out")]
    with Path("/dev/full").open("w") as full:
        assert subprocess.run(call, stderr=full, check=False).returncode == 2


def test_a_terminal_that_goes_away_stops_nobody(process_of_batch, quarters, few, tmp_path):
    ours, theirs = os.openpty()
    call = [*process_of_batch, few, "--out", tmp_path / "out", "--model", quarters, "--device", "cpu"]
    process = subprocess.Popen([*map(str, call)], stderr=theirs, stdin=subprocess.DEVNULL, start_new_session=True)
    os.close(theirs)
    os.read(ours, 1)
    os.close(ours)
    assert process.wait() == 0
    assert len(written(tmp_path / "out")) == 3


def test_an_out_that_is_removed_in_mid_run_is_an_error_and_the_next_run_begins_anew(
    batch, night, monkeypatch, tmp_path
):
    infer = Engine.infer
    done = []

    def removing(self, sources, outputs):
        done.append(1)
        if len(done) == 300:
            shutil.rmtree(tmp_path / "out", ignore_errors=True)
        return infer(self, sources, outputs)

    with monkeypatch.context() as patched:
        patched.setattr(Engine, "infer", removing)
        with pytest.raises(CallError, match="was removed or renamed while the run was writing to it"):
            batch(night)
    assert len(batch(night).masks) == 599 + 2 * 4 * 8


def test_an_out_that_is_renamed_in_mid_run_is_an_error(batch, draw, save_slice, monkeypatch, tmp_path):
    """Else its results are split, and the summary tells of all."""
    for number in range(3):
        save_slice(tmp_path / f"in/{number}/a.png", draw(number))
    infer = Engine.infer
    done = []

    def renaming(self, sources, outputs):
        done.append(1)
        if len(done) == 1:
            (tmp_path / "out").rename(tmp_path / "moved")
        return infer(self, sources, outputs)

    with monkeypatch.context() as patched:
        patched.setattr(Engine, "infer", renaming)
        with pytest.raises(CallError, match="was removed or renamed while the run was writing to it"):
            batch(tmp_path / "in")
    assert not (tmp_path / "out/summary.json").exists()
    assert len(batch(tmp_path / "in").masks) == 3


def test_a_volume_for_which_there_is_no_memory_fails_alone(quarters, night, save_volume, draw, tmp_path):
    huge = save_volume(tmp_path / "in/huge.nii", np.stack([draw(1, 64, 64)] * 2))
    header = bytearray(huge.read_bytes()[:352])
    header[40:48] = np.array([3, 512, 512, 2000], "<i2").tobytes()
    header[70:74] = np.array([64, 64], "<i2").tobytes()  # float64
    huge.write_bytes(header)
    os.truncate(huge, 352 + 8 * 512 * 512 * 2000)  # four gigabytes, though the disk holds next to nothing of it
    limit = (ROOM, ROOM)
    arguments = (night, "--out", tmp_path / "out", "--model", quarters)
    process = start(*arguments, before=lambda: resource.setrlimit(resource.RLIMIT_AS, limit))
    err = process.communicate()[1]
    assert process.returncode == 1, err
    assert "failed: huge.nii: there was not enough memory for it" in err
    assert "failed: images/300.png" in err
    assert len(written(tmp_path / "out")) == 599 + 2 * 4 * 8


def test_a_session_that_fails_once_is_asked_again_and_one_that_always_does_fails_the_slice(batch, night, monkeypatch):
    infer = Engine.infer
    failed = []

    def failing(self, sources, outputs):
        shape = sources[0].pixels.shape
        if shape == (64, 64) or not failed:
            failed.append(shape)
            raise RuntimeError("no kernel for this shape")
        return infer(self, sources, outputs)

    monkeypatch.setattr(Engine, "infer", failing)
    done = batch(night)
    assert done.status == 1
    assert done.scans["images"]["failed_slices"] == 1  # the damaged one alone
    for name in ("series0", "0.nii.gz"):
        assert done.scans[name]["status"] == "failed"
        assert {error["reason"] for error in done.scans[name]["errors"]} == {"RuntimeError: no kernel for this shape"}


def test_memory_that_runs_out_in_the_midst_of_a_scan_costs_that_scan_alone(batch, night, monkeypatch):
    calls = []

    def clean(labels, rules, real=pipeline.clean_stack):
        calls.append(1)
        if len(calls) == 1:
            raise MemoryError
        return real(labels, rules)

    monkeypatch.setattr(pipeline, "clean_stack", clean)
    done = batch(night, workers=1)
    failed = [name for name, scan in done.scans.items() if scan["status"] == "failed"]
    assert len(failed) == 1
    assert "not enough memory" in done.scans[failed[0]]["errors"][0]["reason"]
    assert not [name for name in done.masks if name.startswith(f"{failed[0]}/")]
    assert len(done.masks) == 599 + 7 * 8


def test_with_fewer_threads_than_asked_for_the_run_goes_on(batch, night, monkeypatch):
    started = []
    start_thread = threading.Thread.start

    def at_most_two(self):
        if len(started) == 2:
            raise RuntimeError("can't start new thread")
        started.append(self)
        start_thread(self)

    monkeypatch.setattr(threading.Thread, "start", at_most_two)
    assert len(batch(night, workers=8).masks) == 599 + 2 * 4 * 8


def test_without_any_thread_the_call_ends_in_one_line(command, night, monkeypatch, tmp_path):
    def none(_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", none)
    left = command(night, "--out", tmp_path / "out")
    assert left.status == 2
    assert "error: the system provides no more threads" in left.err


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP])
def test_a_file_system_whose_folders_can_not_be_synced_will_do(batch, few, monkeypatch, number):
    fsync = os.fsync

    def of_files_alone(opened):
        if stat.S_ISDIR(os.fstat(opened).st_mode):
            raise OSError(number, os.strerror(number))
        fsync(opened)

    monkeypatch.setattr(os, "fsync", of_files_alone)
    assert batch(few).status == 0


@pytest.fixture
def synced(monkeypatch, tmp_path):
    """What of OUT was fsync'd, in order: what a power failure would lose is what was not."""
    order = []
    fsync = os.fsync

    def noted(opened):
        order.append(Path(f"/proc/self/fd/{opened}").readlink().relative_to(tmp_path / "out").as_posix())
        fsync(opened)

    monkeypatch.setattr(os, "fsync", noted)
    return order


JOURNAL = ".ctseg/journal.jsonl"


def test_files_are_on_the_disk_before_their_record_is(batch, draw, save_slice, synced, tmp_path):
    for number in range(3):
        save_slice(tmp_path / f"in/{number}.png", draw(number))
    batch(tmp_path / "in")
    # The journal before it is in its place; then that there is a run, and what it began.
    assert synced[:5] == [".ctseg/.journal.jsonl.tmp", JOURNAL, ".ctseg", JOURNAL, JOURNAL]
    assert set(synced[5:8]) == {"masks/0.png", "masks/1.png", "masks/2.png"}
    assert synced[8:] == ["masks", JOURNAL, JOURNAL]


def test_a_label_map_is_on_the_disk_before_its_record_is(batch, draw, save_volume, synced, tmp_path):
    save_volume(tmp_path / "in/ct.nii.gz", draw()[None])
    batch(tmp_path / "in", write=("nifti",))
    assert synced[-6:] == [JOURNAL, JOURNAL, "nifti/ct.nii.gz", "nifti", JOURNAL, JOURNAL]
