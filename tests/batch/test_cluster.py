"""`--engine ray`: the same run on a cluster, whose nodes and workers may die."""

import contextlib
import errno
import json
import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pydicom
import pytest

from ctseg.errors import CallError
from ctseg_batch.call import Call
from ctseg_batch.job import open_job

pytest.importorskip("ray.data")

from ctseg_batch.cluster import driver
from ctseg_batch.cluster.bundles import Bundle
from ctseg_batch.cluster.gathered import Gathered
from ctseg_batch.cluster.worker import Labeller, for_travel
from ctseg_batch.journal.past import Past
from ctseg_batch.shards import Shard
from ctseg_batch.watcher import Watcher

BATCH = [Path(sys.executable).with_name("ctseg"), "batch"]
RAY = [sys.executable, "-m", "ray.scripts.scripts"]
VOLUMES, SLICES = 30, 40

# Whoever opens the first file on a node, or would put the mask of the second in its place, is dead at once.
LETHAL, LETHAL_LATER = "lethal.png", "later.png"
LEAVE = f"""
import os, sys
kills = {{"open": "{LETHAL}", "os.rename": "{LETHAL_LATER}"}}
sys.addaudithook(lambda event, given: os._exit(1) if event in kills and kills[event] in str(given[0]) else None)
"""
# Gives up sooner, since Ray waits longer each time.
IMPATIENT = """
import sys
from ctseg_batch.cluster import gathered
gathered.TRIES = 1
from ctseg.cli import main
main(sys.argv[1:])
"""


class Cluster:
    """Nodes of a Ray cluster, all on this machine, each started by `ray start`."""

    def __init__(self, logs, environment):
        self.logs, self.environment = logs, environment
        self.nodes = []
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.address = f"127.0.0.1:{port}"
        # The head has no CPU to give: it is not among those that are killed.
        self._start("--head", f"--port={port}", "--num-cpus=0", "--include-dashboard=false")

    def add(self):
        """One more node, with one CPU; for a run, so are many machines."""
        return self._start(f"--address={self.address}", "--num-cpus=1")

    def _start(self, *arguments):
        log = self.logs / f"node{len(self.nodes)}.log"
        call = [*RAY, "start", *arguments, "--object-store-memory=80000000", "--disable-usage-stats", "--block"]
        with log.open("wb") as out:
            node = subprocess.Popen(call, stdout=out, stderr=out, env=self.environment, cwd=self.logs)
        self.nodes.append(node)
        while b"Ray runtime started" not in log.read_bytes():
            assert node.poll() is None, log.read_text()
            time.sleep(0.05)
        return node

    def with_a_node(self):
        """The address, once somebody is there to work."""
        if all(node.poll() is not None for node in self.nodes[1:]):
            self.add()
        return self.address

    def kill(self, node):
        """Its raylet and its workers die at once, and say nothing."""
        top = psutil.Process(node.pid)
        for process in [top, *top.children(recursive=True)]:
            process.kill()
        node.wait()

    def stop(self):
        for node in reversed(self.nodes):
            if node.poll() is None:
                self.kill(node)


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """What makes clusters our own, whatever else runs on this machine."""
    short = Path("/tmp") / f"ctseg-ray-{os.getpid()}"  # sockets have short names
    own = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0123456789abcdef" * 2, "RAY_TMPDIR": str(short)}
    yield {**os.environ, **own, "RAY_USAGE_STATS_ENABLED": "0", "HOME": str(tmp_path_factory.mktemp("home"))}
    shutil.rmtree(short, ignore_errors=True)


@pytest.fixture(scope="module")
def cluster(environment, tmp_path_factory):
    hook = tmp_path_factory.mktemp("hook")
    (hook / "sitecustomize.py").write_text(LEAVE)
    started = Cluster(tmp_path_factory.mktemp("cluster"), {**environment, "PYTHONPATH": str(hook)})
    yield started
    started.stop()


@pytest.fixture(scope="module")
def scans(draw, save_slice, save_series, save_volume, tmp_path_factory):
    """Volumes enough for nodes to die among them; series, images, and what fails."""
    top = tmp_path_factory.mktemp("scans")
    for number in range(VOLUMES):
        labels = np.stack([draw(number + index, 64, 64) for index in range(SLICES)])
        save_volume(top / f"volumes/{number:02d}.nii", labels, (2.0, 1.0, 1.0))
    for number in range(3):
        save_series(top / f"dicom/{number}", np.stack([draw(n, 64, 64) for n in range(5)]), seed=number)
    for number in range(300):
        save_slice(top / f"images/{number:03d}.png", draw(number % 9, 16, 16))
    (top / "images/200.png").write_bytes(b"damaged")
    (top / "volumes/damaged.nii").write_bytes(b"damaged")
    return top


@pytest.fixture(scope="module")
def few(draw, save_slice, save_series, save_volume, tmp_path_factory):
    """A scan or two of each kind, and one that is damaged."""
    top = tmp_path_factory.mktemp("few")
    stack = np.stack([draw(n, 64, 64) for n in range(4)])
    for number in range(2):
        save_volume(top / f"volumes/{number}.nii", stack, (2.0, 1.0, 1.0))
        save_series(top / f"dicom/{number}", stack, seed=number)
        for index in range(3):
            save_slice(top / f"images{number}/{index}.png", draw(index, 16, 16))
    (top / "volumes/damaged.nii").write_bytes(b"damaged")
    return top


@pytest.fixture(scope="module")
def hostile(quarters, tmp_path_factory):
    """A folder to be in where modules lie that nobody should import; and the model."""
    folder = tmp_path_factory.mktemp("hostile")
    for name in ("numpy", "ctseg", "ctseg_batch", "ray"):
        (folder / f"{name}.py").write_text(f"open({str(folder / 'imported')!r}, 'a').write(__name__)\n")
    shutil.copy(quarters, folder)
    return folder


def start(environment, folder, out, model, *more, by=BATCH, cwd=None):
    call = [*by, folder, "--out", out, "--model", model, "--engine", "ray", *more]
    return subprocess.Popen(
        list(map(str, call)),
        env=environment,
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def ended(run):
    """Its exit status, and what it printed."""
    out, err = run.communicate(timeout=300)
    assert "Traceback" not in err
    return run.returncode, out, err


def local(folder, out, model, *more):
    """The same by the local engine."""
    call = [*BATCH, folder, "--out", out, "--model", model, "--device", "cpu", "--quiet", *more]
    return subprocess.run(list(map(str, call)), check=False, capture_output=True).returncode


def left_of(mark):
    """The processes that still run of all those that were started with this in their environment."""

    def is_left(process):
        try:
            return process.status() != psutil.STATUS_ZOMBIE and mark in process.environ().values()
        except psutil.Error:
            return False

    return [process.name() for process in psutil.process_iter() if is_left(process)]


def wait_until(condition):
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def files(out):
    """All that a run leaves for people."""
    found = (file for file in out.rglob("*") if file.is_file() and ".ctseg" not in file.parts)
    return {str(file.relative_to(out)): file.read_bytes() for file in found if file.name != "summary.json"}


def figures(out):
    return {k: v for k, v in json.loads((out / "summary.json").read_text()).items() if k != "throughput"}


def parts_done(out):
    journal = out / ".ctseg/journal.jsonl"
    return journal.read_bytes().count(b'"pixels"') if journal.exists() else 0


def same(out, other):
    made, expected = files(out), files(other)
    assert made.keys() == expected.keys()
    assert [name for name in made if made[name] != expected[name]] == []
    assert figures(out) == figures(other)


@pytest.fixture(scope="module")
def undisturbed(scans, quarters, tmp_path_factory):
    """What the local engine makes of them."""
    out = tmp_path_factory.mktemp("local") / "out"
    assert local(scans, out, quarters, "--write", "mask,nifti") == 1
    return out


@pytest.fixture(scope="module")
def few_undisturbed(few, quarters, tmp_path_factory):
    out = tmp_path_factory.mktemp("local") / "out"
    assert local(few, out, quarters) == 1
    return out


def test_a_run_whose_nodes_die_one_by_one_ends_as_an_undisturbed_one_on_one_machine(
    cluster, environment, scans, quarters, undisturbed, tmp_path
):
    first, second, _last = cluster.add(), cluster.add(), cluster.add()
    out = tmp_path / "out"
    call = (environment, scans, out, quarters, "--address", cluster.address, "--write", "mask,nifti", "--json")
    run = start(*call)
    for node, after in ((first, 3), (second, 10)):
        wait_until(lambda after=after: parts_done(out) >= after or run.poll() is not None)
        assert run.poll() is None
        cluster.kill(node)
    assert parts_done(out) < VOLUMES
    status, told, err = ended(run)
    assert status == 1
    assert json.loads(told) == json.loads((out / "summary.json").read_text())
    assert "on a Ray cluster of 4 nodes: up to 3 workers" in err
    assert "Warning" not in err
    same(out, undisturbed)
    ended(start(*call))
    assert json.loads((out / "summary.json").read_text())["throughput"]["slices"] == 0
    same(out, undisturbed)


def test_a_scan_that_kills_its_workers_fails_by_name_and_takes_no_other_along(
    cluster, environment, few, quarters, tmp_path
):
    folder = Path(shutil.copytree(few, tmp_path / "in"))
    (folder / "images05").mkdir()
    shutil.copy(few / "images0/0.png", folder / "images05" / LETHAL)
    (folder / "images06").mkdir()
    shutil.copy(few / "images0/0.png", folder / "images06" / LETHAL_LATER)
    out = tmp_path / "out"
    by = [sys.executable, "-c", IMPATIENT, "batch"]
    status, _, err = ended(start(environment, folder, out, quarters, "--address", cluster.with_a_node(), by=by))
    assert status == 1
    reason = "every worker that had it was lost, as when memory runs out: the same call retries it"
    for file in (f"images05/{LETHAL}", f"images06/{LETHAL_LATER}"):
        assert f"failed: {file}: {reason}\n" in err
    assert not list(out.rglob("*.tmp"))
    scans = {scan["scan"]: scan["status"] for scan in figures(out)["scans"]}
    failed = {name for name, status in scans.items() if status == "failed"}
    assert failed == {"images05", "images06", "volumes/damaged.nii"}
    assert len(scans) == 9
    for name in ("images05", "images06"):
        shutil.rmtree(folder / name)
    assert local(folder, out, quarters) == 1
    assert json.loads((out / "summary.json").read_text())["throughput"]["slices"] == 0


@pytest.fixture(scope="module")
def alone(environment, few, quarters, hostile, tmp_path_factory):
    """A run that is a cluster of this machine alone, in a folder with hostile modules: OUT, status, and its words."""
    out, mark = tmp_path_factory.mktemp("alone") / "out", f"alone {os.getpid()}"
    run = start({**environment, "MARK": mark}, few, out, quarters, "--json", "--quiet", "--workers", "2", cwd=hostile)
    return out, *ended(run), mark


def test_without_an_address_a_cluster_of_this_machine_alone_makes_the_same(alone, few_undisturbed):
    out, status, told, err, _ = alone
    assert status == 1
    assert json.loads(told) == json.loads((out / "summary.json").read_text())
    assert [line.partition(":")[0] for line in err.splitlines()] == ["failed"]
    same(out, few_undisturbed)


def test_of_a_cluster_of_this_machine_alone_nothing_is_left_running(alone):
    wait_until(lambda: not left_of(alone[-1]))


def test_modules_in_the_current_folder_are_imported_by_no_worker(alone, hostile):
    assert alone[1] == 1
    assert not (hostile / "imported").exists()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_keeps_what_was_finished_and_leaves_no_process(
    environment, scans, quarters, undisturbed, tmp_path, number, status
):
    out, mark = tmp_path / "out", f"{number.name} {os.getpid()}"
    run = start({**environment, "MARK": mark}, scans, out, quarters, "--write", "mask,nifti")
    wait_until(lambda: parts_done(out) or run.poll() is not None)
    # A terminal sends Ctrl-C to all that were started from it, a scheduler SIGTERM to the one that it started.
    (os.killpg if number == signal.SIGINT else os.kill)(run.pid, number)
    left, _, err = ended(run)
    assert left == status
    assert "interrupted: finished scans are kept, and the same call does the others" in err
    wait_until(lambda: not left_of(mark))
    done = parts_done(out)
    assert 0 < done < VOLUMES
    assert local(scans, out, quarters, "--write", "mask,nifti") == 1
    made = json.loads((out / "summary.json").read_text())
    assert made["throughput"]["slices"] < made["totals"]["slices"] - made["totals"]["failed_slices"]
    same(out, undisturbed)


def test_where_nobody_answers_at_the_address_the_run_ends_soon(command, few, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    left = command(few, "--out", tmp_path / "out", "--engine", "ray", "--address", address)
    assert left.status == 2
    assert f"error: --address {address}: there is no Ray cluster that can be joined (Connection refused)\n" in left.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--address", "auto"], "call with --engine ray"),
        (["--gpus-per-worker", "0.5"], "call with --engine ray"),
        (["--engine", "ray", "--device", "cuda"], "--gpus-per-worker"),
        (["--engine", "ray", "--device", "cpu", "--gpus-per-worker", "1"], "contradict"),
    ],
)
def test_what_contradicts_itself_is_refused_before_anything_is_written(command, few, tmp_path, options, said):
    left = command(few, "--out", tmp_path / "out", *options)
    assert left.status == 2
    assert said in left.err
    assert not (tmp_path / "out").exists()


def test_without_the_extra_it_is_named_before_anything_is_written(command, few, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray.data", None)
    left = command(few, "--out", tmp_path / "out", "--engine", "ray")
    assert left.status == 2
    assert "pip install '.[ray]'" in left.err
    assert not (tmp_path / "out").exists()


def test_a_worker_with_another_model_than_the_drivers_is_refused(few, make_model, tmp_path):
    model = make_model(tmp_path / "model.onnx")
    job = for_travel(open_job(Call([few], tmp_path / "out", model=str(model), driver="ray")))
    bundle = Bundle((0,), (), Past())
    assert Labeller(job, "cpu")({"bundle": bundle})["report"].trouble is None
    make_model(model, version="2")
    trouble = Labeller(job, "cpu")({"bundle": bundle})["report"].trouble
    assert trouble.startswith(f"{model} on a worker's machine differs from the driver's")
    model.unlink()
    assert str(model) in Labeller(job, "cpu")({"bundle": bundle})["report"].trouble


@pytest.fixture
def in_process(batch, monkeypatch):
    """A run on a cluster whose only worker is this process; what goes there and comes back is pickled, as by Ray."""

    def travelled(thing):
        return pickle.loads(pickle.dumps(thing))

    def reports(job, bundles, count):
        worker = Labeller(travelled(for_travel(job)), "cpu")
        for bundle in bundles:
            yield travelled(worker({"bundle": travelled(bundle)})["report"])

    monkeypatch.setattr(driver, "_cluster", lambda job, watcher: contextlib.nullcontext(1))
    monkeypatch.setattr(driver, "_reports", reports)
    return lambda *inputs, **wanted: batch(*inputs, driver="ray", **wanted)


def slices_of(done):
    return done.summary["throughput"]["slices"]


def test_what_the_local_engine_began_a_cluster_ends(in_process, few, few_undisturbed, quarters, tmp_path):
    out = tmp_path / "out"
    assert local(few, out, quarters, "--shard", "1/2") in (0, 1)
    for file in out.glob("*.1-of-2.*"):
        file.unlink()
    done = in_process(few, out=out)
    assert done.status == 1
    assert 0 < slices_of(done) < done.summary["totals"]["slices"]
    same(out, few_undisturbed)


def test_what_workers_take_away_is_told_as_on_one_machine(in_process, draw, save_slice, tmp_path):
    for name in ("a/1", "a/2", "b/1"):
        save_slice(tmp_path / f"in/{name}.png", draw())
    in_process(tmp_path / "in", write=("mask", "overlay"))
    done = in_process(tmp_path / "in", write=("overlay",))
    assert done.summary["notes"] == ["removed, as --write no longer names it: mask of 2 scans"]
    assert not (done.out / "masks").exists()


def test_slices_that_failed_are_not_counted_as_done_but_leave_nothing_to_wait_for(
    in_process, draw, save_slice, tmp_path, monkeypatch
):
    for number in range(4):
        save_slice(tmp_path / f"in/{number}.png", draw(number))
    (tmp_path / "in/1.png").write_bytes(b"damaged")
    left: list[int] = []
    monkeypatch.setattr(Watcher, "expect", lambda self, slices: left.append(slices))
    monkeypatch.setattr(Watcher, "advance", lambda self: left.append(-1))
    assert slices_of(in_process(tmp_path / "in")) == 3
    assert sum(left) == 0


def test_what_a_cluster_began_with_a_shard_the_local_engine_ends(
    in_process, summarize, few, few_undisturbed, quarters, tmp_path
):
    out = tmp_path / "out"
    assert in_process(few, out=out, shard=Shard(1, 2)).summary["shard"]["of"] == 2
    assert local(few, out, quarters, "--shard", "2/2") in (0, 1)
    assert summarize(out, "--out", tmp_path / "all")[0] == 1
    for file in (*out.glob("*.1-of-2.*"), *out.glob("*.2-of-2.*")):
        file.unlink()
    assert local(few, out, quarters) == 1
    assert json.loads((out / "summary.json").read_text())["throughput"]["slices"] == 0
    same(out, few_undisturbed)
    assert (tmp_path / "all/slices.csv").read_bytes() == (out / "slices.csv").read_bytes()


def test_full_measures_whole_outputs_a_truth_and_the_best_series_are_the_same(
    in_process, batch, draw, save_series, save_volume, tmp_path
):
    pytest.importorskip("meshmetrics")
    for number, slices in enumerate((6, 3)):
        labels = np.stack([draw(n, 64, 64) for n in range(slices)])
        uids = {"SeriesInstanceUID": f"1.2.{number}", "StudyInstanceUID": "1.3"}
        save_series(tmp_path / "in/study", labels, [f"{number}-{n}" for n in range(slices)], **uids)
    for name in "ab":
        stack = np.stack([draw(n, 64, 64) for n in range(5)])
        save_volume(tmp_path / f"in/{name}.nii", stack, (10.0, 5.0, 5.0))
        save_volume(tmp_path / f"truth/{name}.nii", np.roll(stack, 1, axis=2), (10.0, 5.0, 5.0), truth=True)
    wanted = {
        "measures": "full",
        "write": ["mask", "nifti", "dicom-seg"],
        "best_series": True,
        "truth": tmp_path / "truth",
    }
    assert batch(tmp_path / "in", out=tmp_path / "local", **wanted).status == 0
    done = in_process(tmp_path / "in", out=tmp_path / "ray", **wanted)
    assert done.status == 0
    same(tmp_path / "ray", tmp_path / "local")
    assert {path.split("/")[0] for path in files(tmp_path / "ray")} >= {"masks", "nifti", "dicom-seg"}
    assert len(done.summary["skipped"]) == 1


def test_where_a_worker_cannot_write_the_run_ends_and_says_why(in_process, few, monkeypatch, tmp_path):
    def full(self, content, write=Path.write_bytes):
        if "masks" in self.parts:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(self, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(CallError, match=rf"{tmp_path}/out/masks/.* can't be written: {os.strerror(errno.ENOSPC)}"):
        in_process(few)


def test_images_beside_dicom_that_no_worker_came_back_with_fail_as_what_they_are(
    in_process, draw, save_slice, save_series, monkeypatch, tmp_path
):
    save_series(tmp_path / "in/p", np.stack([draw(n, 64, 64) for n in range(3)]))
    save_slice(tmp_path / "in/p/x.png", draw(0))
    with monkeypatch.context() as none_comes_back:
        none_comes_back.setattr(driver, "_reports", lambda job, bundles, count: iter(()))
        failed = in_process(tmp_path / "in").scans
    counts = {name: (scan["slices"], scan["failed_slices"]) for name, scan in failed.items()}
    assert counts == {"p": (3, 3), "p#images": (1, 1)}
    assert in_process(tmp_path / "in").scans.keys() == failed.keys()


@pytest.fixture
def study(draw, save_series, tmp_path):
    """The folder of a study with two series of three slices, which `save_part_of` makes longer."""
    for number in (1, 2):
        save_part_of(tmp_path / "in/study", draw, save_series, number, 3)
    return tmp_path / "in/study"


def save_part_of(study, draw, save_series, number, slices):
    uids = {"SeriesInstanceUID": f"1.2.{number}", "StudyInstanceUID": "1.3", "SeriesDescription": "lung"}
    labels = np.stack([draw(n, 64, 64) for n in range(slices)])
    return save_series(study, labels, [f"{number}-{n}" for n in range(slices)], **uids)


DAMAGED = bytes(128) + b"DICM" + b"damaged"


@pytest.mark.parametrize("options", [{}, {"series_filter": ["description~lung"]}])
def test_what_a_worker_finds_done_stays_done(in_process, study, options):
    for file in study.glob("2-*"):
        file.unlink()
    if not options:
        (study / "damaged.dcm").write_bytes(DAMAGED)
    assert [slices_of(in_process(study.parent, **options)) for _ in range(4)] == [3, 0, 0, 0]


def test_a_series_that_grows_is_done_again_alone(in_process, study, draw, save_series):
    in_process(study.parent)
    save_part_of(study, draw, save_series, 2, 5)
    assert [slices_of(in_process(study.parent)) for _ in range(2)] == [5, 0]


def test_an_image_that_changes_is_done_again_alone(in_process, draw, save_series, save_slice, tmp_path):
    save_part_of(tmp_path / "in/study", draw, save_series, 1, 3)
    save_slice(tmp_path / "in/study/x.png", draw(0))
    in_process(tmp_path / "in")
    save_slice(tmp_path / "in/study/x.png", draw(0, 64, 64))
    assert [slices_of(in_process(tmp_path / "in")) for _ in range(2)] == [1, 0]


def test_scans_of_a_folder_with_a_damaged_header_stay_done(in_process, study, convert):
    convert(study / "one.dcm", sorted(study.glob("1-*")))
    file = convert(study / "two.dcm", sorted(study.glob("2-*")))
    dataset = pydicom.dcmread(file)
    for number, frame in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        frame.FrameContentSequence[0].StackID = "upper" if number < 2 else "lower"
    dataset.save_as(file)
    (study / "damaged.dcm").write_bytes(DAMAGED)
    done = in_process(study.parent)
    assert done.scans.keys() > {"study/one.dcm", "study/two.dcm/1", "study/two.dcm/2"}
    assert slices_of(done) == 12
    assert slices_of(in_process(study.parent)) == 0


def test_of_enhanced_objects_right_in_the_input_only_the_best_of_the_study_is_done(
    in_process, draw, save_series, convert, tmp_path
):
    for number, slices in (1, 5), (2, 3):
        convert(tmp_path / f"in/{number}.dcm", save_part_of(tmp_path / "study", draw, save_series, number, slices))
    done = in_process(tmp_path / "in", best_series=True)
    assert {name: scan["slices"] for name, scan in done.scans.items()} == {"1.dcm": 5}
    assert [left["file"] for left in done.summary["skipped"]] == ["2.dcm"]


@pytest.mark.parametrize("name", ["study/2-1.dcm", "t/1.png"])
def test_what_a_worker_made_and_never_told_of_goes_with_its_inputs(
    in_process, study, draw, save_slice, monkeypatch, name
):
    folder, away = study.parent, study.parent.parent / "away"
    new = (folder / name).parent
    for number in range(3):
        save_slice(folder / f"t/{number}.png", draw(number))
    save_slice(folder / "u/0.png", draw(0))
    new.rename(away)
    out = in_process(folder).out
    away.rename(new)
    with monkeypatch.context() as patched:
        patched.setattr(Gathered, "take", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            in_process(folder)
    assert not (out / "summary.json").exists()
    (out / "masks" / name).with_name(".x.tmp").write_bytes(b"half")
    (folder / name).unlink()
    done = in_process(folder)
    left = [file.relative_to(folder).as_posix() for file in folder.rglob("*.*")]
    assert sorted(mask.replace(".dcm.png", ".dcm") for mask in done.masks) == sorted(left)
    assert not list(out.rglob("*.tmp"))
    assert in_process(folder).summary["notes"] == []


def test_what_a_machine_that_only_seemed_dead_takes_away_the_next_call_makes_again(
    in_process, quarters, draw, save_slice, tmp_path
):
    folder, away = tmp_path / "in", tmp_path / "away"
    for number in range(3):
        save_slice(folder / f"{number}.png", draw(number))
    job = open_job(Call([folder], tmp_path / "out", model=str(quarters), device="cpu", driver="ray"))
    masks = in_process(folder).masks
    folder.rename(away)
    Labeller(for_travel(job), "cpu")({"bundle": Bundle((0,), tuple(job.sites()), Past())})
    assert not list((tmp_path / "out/masks").iterdir())
    away.rename(folder)
    done = in_process(folder)
    assert slices_of(done) == 3
    assert done.masks.keys() == masks.keys()
