"""Which device is taken, what is said of it, and what a run on the CPU loads."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import onnx.numpy_helper
import pytest

import ctseg_batch
from ctseg.prepare import Preparation
from ctseg_batch.cpus import usable_cpus
from ctseg_batch.network.cuda import find_trouble
from ctseg_batch.network.quiet import silenced

DATA = Path(__file__).parents[3] / "shared" / "data" / "series" / "covid_p001"

without_gpu = pytest.mark.skipif(find_trouble() is None, reason="there is a GPU here")


def call(*arguments):
    code = "from ctseg.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, "batch", *map(str, arguments)], capture_output=True, text=True, check=False
    )


@without_gpu
def test_cuda_without_a_gpu_is_an_error_in_one_line_and_nothing_is_written(quarters, draw, save_slice, tmp_path):
    save_slice(tmp_path / "in" / "a.png", draw())
    done = call(tmp_path / "in", "--out", tmp_path / "out", "--model", quarters, "--device", "cuda")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "the device cuda does not work here" in done.stderr
    assert not (tmp_path / "out").exists()


@without_gpu
def test_auto_takes_the_cpu_and_says_why_in_one_line(quarters, draw, save_slice, tmp_path):
    save_slice(tmp_path / "in" / "a.png", draw())
    done = call(tmp_path / "in", "--out", tmp_path / "out", "--model", quarters)
    assert done.returncode == 0
    first, *others = done.stderr.splitlines()
    assert "on the CPU (CUDA: " in first
    assert not any("onnxruntime" in line or "CUDA" in line or "\x1b" in line for line in others)


def test_an_onnxruntime_of_which_parts_are_gone_is_told(quarters, draw, save_slice, tmp_path, monkeypatch):
    save_slice(tmp_path / "in" / "a.png", draw())
    (tmp_path / "site/onnxruntime").mkdir(parents=True)  # as `pip uninstall onnxruntime` leaves it
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'site'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    (tmp_path / "site/onnxruntime/__init__.py").touch()
    done = call(tmp_path / "in", "--out", tmp_path / "out", "--model", quarters)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("error: onnxruntime is damaged")
    assert "pip install --force-reinstall --no-deps onnxruntime-gpu" in done.stderr


@pytest.mark.parametrize(
    ("installed", "said"), [("gpu", "built without it"), ("both", "onnxruntime has replaced files of onnxruntime-gpu")]
)
def test_one_onnxruntime_over_the_other_is_why_there_is_no_cuda(tmp_path, monkeypatch, installed, said):
    for name in ("onnxruntime", "onnxruntime_gpu")[installed == "gpu" :]:
        (tmp_path / f"{name}-1.0.dist-info").mkdir()
        (tmp_path / f"{name}-1.0.dist-info/METADATA").write_text(f"Name: {name.replace('_', '-')}\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    assert said in find_trouble()


def test_a_run_on_pictures_loads_nothing_heavy_that_it_does_not_use(quarters, draw, save_slice, tmp_path):
    save_slice(tmp_path / "in" / "a.png", draw())
    code = (
        "import sys\n"
        "from ctseg.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as left: assert not left.code, left.code\n"
        "heavy = {'torch', 'onnx', 'matplotlib', 'scipy', 'pydicom', 'nibabel'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    arguments = ["batch", tmp_path / "in", "--out", tmp_path / "out", "--model", quarters]
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_several_threads_may_ask_for_silence_and_the_voice_comes_back(capfd):
    def hush():
        for _ in range(200):
            with silenced():
                os.write(2, b"unheard")

    threads = [threading.Thread(target=hush) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os.write(2, b"heard")
    assert capfd.readouterr().err == "heard"


def test_another_precision_is_the_file_beside(command, batch, make_model, draw, save_slice, tmp_path):
    save_slice(tmp_path / "in" / "a.png", draw())
    model = make_model(tmp_path / "m.onnx")
    left = command(tmp_path / "in", "--out", tmp_path / "out", "--model", model, "--precision", "fp16")
    assert left.status == 2
    assert "m.fp16.onnx" in left.err
    make_model(tmp_path / "m.fp16.onnx", precision="fp16")
    assert batch(tmp_path / "in", model=str(model), precision="fp16").scan["precision"] == "fp16"
    beside = batch(tmp_path / "in", model=str(tmp_path / "m.fp16.onnx"), precision="fp32", out=tmp_path / "other")
    assert beside.scan["precision"] == "fp32"


@pytest.mark.parametrize(("other", "status"), [({"weights_sha256": "a"}, 0), ({"weights_sha256": "b"}, 2)])
def test_files_of_one_model_must_name_the_same_weights(command, make_model, draw, save_slice, tmp_path, other, status):
    save_slice(tmp_path / "in/a.png", draw())
    model = make_model(tmp_path / "m.onnx", training={"seed": 1, "weights_sha256": "a"})
    make_model(tmp_path / "m.fp16.onnx", precision="fp16", training={"seed": 1, **other})
    left = command(tmp_path / "in", "--out", tmp_path / "out", "--model", model, "--precision", "fp16")
    assert left.status == status
    assert ("m.fp16.onnx holds another network than" in left.err) == (status == 2)


OTHER_WINDOW = {"preparation": Preparation((-1050.0, 350.0), long_side=64, multiple=16)}


@pytest.mark.parametrize("more", [(), ("--dry-run", "--engine", "ray")], ids=["here", "on a cluster"])
@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("m.int8.onnx", {"precision": "int8", "training": {"seed": 2}}, "m.int8.onnx holds another network than"),
        ("m.fp16.onnx", {"precision": "int8", "training": {"seed": 1}}, "m.fp16.onnx computes in int8, not in fp16"),
        (
            "m.fp16.onnx",
            {"precision": "fp16", "training": {"seed": 1}, **OTHER_WINDOW},
            "m.fp16.onnx holds another network than",
        ),
    ],
)
def test_a_file_beside_that_is_none_of_the_model_is_refused(
    command, make_model, draw, save_slice, tmp_path, name, changes, said, more
):
    save_slice(tmp_path / "in" / "a.png", draw())
    model = make_model(tmp_path / "m.onnx", training={"seed": 1})
    make_model(tmp_path / name, **changes)
    call = [tmp_path / "in", "--out", tmp_path / "out", "--model", model, "--precision", name.split(".")[1]]
    left = command(*call, *more)
    assert (left.status, left.err.count("\n")) == (2, 1)
    assert said in left.err


def test_a_file_that_computes_otherwise_than_its_name_says_is_not_taken_for_what_is_asked(
    command, make_model, draw, save_slice, tmp_path
):
    save_slice(tmp_path / "in" / "a.png", draw())
    model = make_model(tmp_path / "m.onnx", precision="fp16")
    left = command(tmp_path / "in", "--out", tmp_path / "out", "--model", model, "--precision", "fp32")
    assert left.status == 2
    assert "m.onnx computes in fp16, not in fp32" in left.err


def test_a_model_that_takes_other_values_fails_slice_by_slice(batch, make_model, draw, save_slice, tmp_path):
    save_slice(tmp_path / "in" / "a.png", draw())
    done = batch(tmp_path / "in", model=str(make_model(tmp_path / "m.onnx", domains=("hu",))))
    assert done.status == 2
    assert "takes Hounsfield units, not 8-bit grey" in done.scan["errors"][0]["reason"]


@pytest.mark.parametrize(
    ("node", "said"),
    [
        (("Add", ["within", "seven"]), "gives the label 7, which is not a class: it was not made by `ctseg export`"),
        (("Slice", ["within", "zero", "ten", "one"]), "gives labels of 1 x 10 x 48 for slices of 1 x 64 x 48"),
    ],
)
def test_a_graph_that_gives_other_labels_than_it_may_fails(batch, quarters, save, tmp_path, node, said):
    kind, inputs = node
    model = onnx.load(quarters)
    model.graph.node[-1].output[0] = "within"
    model.graph.node.append(onnx.helper.make_node(kind, inputs, ["labels"]))
    for name, value in {"seven": np.uint8(7), "zero": [0], "ten": [10], "one": [1]}.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(value), name))
    onnx.save(model, tmp_path / "m.onnx")
    file = save(tmp_path / "in" / "a.png", np.zeros((64, 48), np.uint8))
    done = batch(tmp_path / "in", model=str(tmp_path / "m.onnx"))
    assert (done.status, done.masks) == (2, {})
    assert said in done.scan["errors"][0]["reason"]
    with pytest.raises(ctseg_batch.ModelError, match=said):
        ctseg_batch.Segmenter(str(tmp_path / "m.onnx"), "cpu")(file)


@pytest.mark.parametrize("content", [b"", b"no model"])
def test_what_is_no_model_is_refused(command, draw, save_slice, tmp_path, content):
    save_slice(tmp_path / "in" / "a.png", draw())
    (tmp_path / "m.onnx").write_bytes(content)
    left = command(tmp_path / "in", "--out", tmp_path / "out", "--model", tmp_path / "m.onnx")
    assert (left.status, left.err.count("\n")) == (2, 1)


@pytest.mark.parametrize(
    ("files", "line", "limit"),
    [
        ({"a/cpu.max": "150000 100000", "a/b/cpu.max": "max 100000"}, "0::/a/b", 2),
        ({"cpu.max": "50000 100000"}, "0::/somewhere/of/the/host", 1),
        ({"cpu/x/cpu.cfs_quota_us": "100000", "cpu/x/cpu.cfs_period_us": "100000"}, "4:cpu,cpuacct:/x", 1),
        ({"cpu/x/cpu.cfs_quota_us": "-1", "cpu/x/cpu.cfs_period_us": "100000"}, "4:cpu,cpuacct:/x", None),
    ],
)
def test_the_quota_of_a_container_limits_the_workers(tmp_path, monkeypatch, files, line, limit):
    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: set(range(64)), raising=False)
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    (tmp_path / "membership").write_text(line + "\n")
    assert usable_cpus(tmp_path / "membership", tmp_path) == (limit or 64)


@pytest.mark.skipif(not DATA.is_dir(), reason="the real series are not here")
def test_the_shipped_model_finds_the_lungs_of_a_real_scan(batch, tmp_path):
    (tmp_path / "in").mkdir()
    for file in sorted(DATA.iterdir())[60:76:4]:
        (tmp_path / "in" / file.name).symlink_to(file)
    done = batch(tmp_path / "in", model="fast")
    assert done.scan["status"] == "ok"
    assert len(done.masks) == 4
    for mask in done.masks.values():
        assert mask.shape == (512, 512)
        assert 0.1 < (mask > 0).mean() < 0.5  # two lungs in the middle of a chest
        assert (mask[:, :256] > 0).any()
        assert (mask[:, 256:] > 0).any()


def test_an_int8_file_that_is_named_is_taken_and_never_one_that_is_not(batch, make_model, draw, save_slice, tmp_path):
    save_slice(tmp_path / "in" / "a.png", draw())
    exact, small = make_model(tmp_path / "m.onnx"), make_model(tmp_path / "m.int8.onnx", precision="int8")
    for model, precision in ((exact, "fp32"), (small, "int8")):
        done = batch(tmp_path / "in", model=str(model), out=tmp_path / precision)
        assert done.scan["precision"] == precision
