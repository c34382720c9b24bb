import io
import itertools
import json
import os
import shlex
import signal
import sys
import tempfile
from collections import namedtuple

import numpy as np
import onnx.parser
import pytest
from rich.console import Console

from ctseg.model import find_model
from ctseg_batch.profiling.machine import matrix_rate
from ctseg_batch.profiling.network import Operator, costliest, count_gmac
from ctseg_batch.profiling.recorder import Recorder
from ctseg_batch.profiling.report import operators_table, report

CONVOLUTIONS = """
<ir_version: 10, opset_import: ["": 18]>
two (float[N, 1, H, W] slice) => (float[N, 4, H, W] labels)
<float[8, 1, 3, 3] wide = {WIDE}, float[4, 8, 1, 1] narrow = {NARROW}>
{
    features = Conv <pads = [1, 1, 1, 1], strides = [2, 2]> (slice, wide)
    labels = Conv (features, narrow)
}
"""


@pytest.fixture
def slices(draw, save_slice, tmp_path):
    for number in range(24):
        save_slice(tmp_path / "in" / f"{number:02}.png", draw(number))
    return tmp_path / "in"


def test_the_figures_are_those_of_a_run(command, slices, tmp_path):
    left = command(slices, "--json", "--workers", 2, "--trace", tmp_path / "trace.json", name="profile")
    assert left.status == 0
    figures = json.loads(left.out)
    run = figures["run"]
    assert (run["slices"], run["warm_up_slices"]) == (24, 8)
    assert run["slices_per_second"] > 0
    assert run["failed_slices"] == 0
    assert sum(times["share"] for times in run["stages"].values()) == pytest.approx(1)
    for times in run["stages"].values():
        assert 0 <= times["p50_ms"] <= times["p95_ms"] <= times["p99_ms"]
    assert all(0 <= share <= 1 for share in run["busy_cores"])
    assert figures["roof"]["shape"] == [64, 48]
    assert figures["roof"]["matrix_gflops"] > 0.1
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert sum(event["name"] == "infer" for event in events) == 24
    assert all(event["ph"] == "X" and event["dur"] >= 0 and event["ts"] >= 0 for event in events)


def test_a_recorder_adds_up_what_it_hears(monkeypatch):
    cores = iter([[(5.0, 10.0)], [(8.0, 14.0)]])
    monkeypatch.setattr("ctseg_batch.profiling.recorder._core_times", lambda: next(cores))
    recorder, ms = Recorder(), 10**6
    for start, took in ((0, 1), (10, 2), (11, 3), (20, 4)):
        recorder.note("infer", start * ms, (start + took) * ms, 2, 50)
        recorder.advance()
    recorder.note("encode", 24 * ms, 34 * ms)
    recorder.finish()
    assert (recorder.slices, recorder.pixels_inferred, recorder.seconds) == (4, 200, 0.034)
    assert recorder.seconds_inferring == pytest.approx(0.001 + 0.004 + 0.004)
    stages = recorder.stages()
    assert list(stages) == ["infer", "encode"]
    assert (stages["infer"].count, stages["infer"].p50_ms, stages["infer"].share) == (4, 2.5, 0.5)
    assert recorder.busy_cores == [0.75]
    assert recorder.taken_by_others == pytest.approx(0.75, abs=0.1)


def test_what_other_programs_took_is_told_apart_and_said(monkeypatch):
    cores, own = iter([[(5.0, 10.0), (5.0, 10.0)], [(8.0, 14.0), (9.0, 14.0)]]), iter([1.0, 6.0])
    monkeypatch.setattr("ctseg_batch.profiling.recorder._core_times", lambda: next(cores))
    monkeypatch.setattr("time.process_time", lambda: next(own))
    recorder = Recorder()
    recorder.finish()
    assert recorder.taken_by_others == 0.25


def reported(figures):
    """The report on a terminal of 120 columns."""
    console = Console(file=io.StringIO(), width=120)
    for shown in report(figures):
        console.print(shown)
    return console.file.getvalue()


def test_a_busy_machine_is_no_slow_network(command, slices):
    figures = json.loads(command(slices, "--slices", "4", "--json", name="profile").out)
    assert 0 <= figures["run"]["taken_by_others"] <= 1
    for share, is_said in ((0.05, False), (0.25, True)):
        figures["run"]["taken_by_others"] = share
        assert ("other programs took 25%" in reported(figures)) == is_said


def test_more_than_the_peak_is_no_share_of_it(command, slices):
    figures = json.loads(command(slices, "--slices", "4", "--json", name="profile").out)
    figures["roof"] |= {"share": 0.25, "share_infer": 0.5}
    assert "25% over the run, 50% during inference" in reported(figures)
    figures["roof"] |= {"share": 1.02, "share_infer": 1.24}
    text = reported(figures)
    assert "102%" not in text
    assert "124%" not in text
    assert "not known: the network was faster than the peak here" in text


def test_what_the_network_reaches_is_by_the_time_in_which_any_slice_was_in_it(command, draw, save_slice, tmp_path):
    for number in range(15):  # batches of 5, though 16 are asked for; two of them at once
        save_slice(tmp_path / f"in/{number // 5}" / f"{number}.png", draw(number))
    options = ("--batch-size", 16, "--workers", 2, "--trace", tmp_path / "trace.json", "--json")
    roof = json.loads(command(tmp_path / "in", *options, name="profile").out)["roof"]
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    spans = sorted((one["ts"], one["ts"] + one["dur"]) for one in events if one["name"] == "infer")
    ends = [-1.0, *itertools.accumulate((end for _, end in spans), max)]
    us = sum(max(0.0, end - max(start, before)) for (start, end), before in zip(spans, ends[:-1], strict=True))
    assert [one["args"]["slices"] for one in events if one["name"] == "infer"] == [5, 5, 5]
    assert roof["gflops_infer"] == pytest.approx(2 * roof["gmac"] * 15 / (us / 1e6), rel=1e-3)


def test_slices_of_other_shapes_count_by_their_pixels(command, draw, save_slice, tmp_path):
    for name, rows in (("a/1", 64), ("b/1", 16), ("b/2", 16), ("b/3", 16)):
        save_slice(tmp_path / f"in/{name}.png", draw(rows=rows))
    options = ("--workers", 1, "--trace", tmp_path / "trace.json", "--json")
    roof = json.loads(command(tmp_path / "in", *options, name="profile").out)["roof"]
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    us = sum(one["dur"] for one in events if one["name"] == "infer")
    fed = 64 + 3 * 16  # rows
    assert roof["gflops_infer"] == pytest.approx(2 * roof["gmac"] * fed / 64 / (us / 1e6), rel=1e-3)


def test_no_module_of_the_current_folder_is_run(monkeypatch, tmp_path):
    (tmp_path / "numpy.py").write_text("raise SystemExit(1)")
    monkeypatch.chdir(tmp_path)
    assert matrix_rate(1) > 0


def test_a_guest_is_counted_once_and_time_that_the_host_took_is_not_ours(monkeypatch):
    times = namedtuple("times", "user nice system idle iowait steal guest guest_nice")
    looks = iter([[times(*[0.0] * 8)], [times(4.0, 2.0, 1.0, 1.0, 1.0, 1.0, 3.0, 2.0)]])
    monkeypatch.setattr("psutil.cpu_times", lambda percpu: next(looks))
    monkeypatch.setattr("psutil.Process", lambda: None)
    recorder = Recorder()
    recorder.finish()
    assert recorder.busy_cores == [0.7]


def test_nothing_is_left_behind(command, slices, tmp_path, monkeypatch):
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    before = sorted(tmp_path.rglob("*"))
    assert command(slices, "--slices", "4", "--operators", name="profile").status == 0
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such signal")
def test_nor_where_it_is_told_to_end(command, slices, tmp_path, monkeypatch):
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))

    def ended(*_):
        assert list((tmp_path / "tmp").iterdir())
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr("ctseg_batch.profiling.measure.run_job", ended)
    assert command(slices, name="profile").status == 128 + signal.SIGTERM
    assert not list((tmp_path / "tmp").iterdir())


def test_no_more_slices_are_done_than_asked_for_also_of_a_volume(command, draw, save_volume, tmp_path):
    save_volume(tmp_path / "in" / "ct.nii", np.stack([draw(n) for n in range(20)]))
    options = ("--slices", 7, "--workers", 1)
    run = json.loads(command(tmp_path / "in", *options, "--json", name="profile").out)["run"]
    assert run["stages"]["infer"]["count"] == run["slices"] == 7
    assert run["warm_up_slices"] == 4


def test_reading_a_volume_is_measured_too(command, draw, save_volume, tmp_path):
    volume = save_volume(tmp_path / "in" / "ct.nii.gz", np.stack([draw(number, 64, 64) for number in range(24)]))
    run = json.loads(command(volume, "--json", "--workers", 2, name="profile").out)["run"]
    assert (run["slices"], run["warm_up_slices"]) == (24, 8)
    assert (run["stages"]["read"]["count"], run["stages"]["decode"]["count"]) == (1, 1)


def test_a_sweep_of_a_precision_that_is_of_another_network_fails_before_anything_is_measured(
    command, slices, make_model, monkeypatch, tmp_path
):
    make_model(tmp_path / "m.onnx", precision="fp32", training={"epoch": 1})
    make_model(tmp_path / "m.int8.onnx", precision="int8", training={"epoch": 2})
    monkeypatch.setattr("ctseg_batch.profiling.measure.run_job", None)
    left = command(slices, "--model", tmp_path / "m.onnx", "--sweep", name="profile")
    assert (left.status, left.err.count("\n")) == (2, 1)
    assert "m.int8.onnx holds another network than" in left.err


def test_a_folder_that_begins_with_a_dash_is_named_so_that_the_call_can_be_made(command, slices, monkeypatch, tmp_path):
    monkeypatch.setattr("ctseg_batch.profiling.sweep._ROUNDS", 1)
    slices.rename(tmp_path / "-x")
    monkeypatch.chdir(tmp_path)
    left = command("--slices", 8, "--sweep", "--", "-x", name="profile")
    (call,) = (line.split(": ", 1)[1] for line in left.err.splitlines() if line.startswith("the fastest here: "))
    assert command(*shlex.split(call)[2:]).status == 0


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("folder", "it is a folder"),
        ("none/trace.json", "its folder does not exist or is not writable"),
        ("in/00.png", "it exists and is not a trace by ctseg"),
    ],
)
def test_a_trace_that_would_go_nowhere_or_over_something_else_is_refused_at_once(
    command, slices, monkeypatch, tmp_path, name, said
):
    (tmp_path / "folder").mkdir()
    before = (slices / "00.png").read_bytes()
    monkeypatch.setattr("ctseg_batch.profiling.measure.run_job", None)
    left = command(slices, "--trace", tmp_path / name, name="profile")
    assert (left.status, left.err.count("\n")) == (2, 1)
    assert left.err.startswith(f"error: --trace {tmp_path / name}: {said}")
    assert (slices / "00.png").read_bytes() == before


def test_a_trace_may_be_written_over(command, slices, tmp_path):
    (tmp_path / "trace.json").write_text(json.dumps({"displayTimeUnit": "ms", "traceEvents": []}))
    assert command(slices, "--slices", 4, "--trace", tmp_path / "trace.json", name="profile").status == 0
    assert json.loads((tmp_path / "trace.json").read_text())["traceEvents"]


@pytest.mark.parametrize("precisions", [("fp32",), ("fp32", "int8"), ("int8",), ("fp16",)])
def test_a_sweep_names_a_call_that_can_be_made(command, slices, make_model, monkeypatch, tmp_path, precisions):
    monkeypatch.setattr("ctseg_batch.profiling.sweep._ROUNDS", 1)
    for precision in precisions:
        name = "m.onnx" if precision == precisions[0] else f"m.{precision}.onnx"
        make_model(tmp_path / name, precision=precision)
    left = command(slices, "--model", tmp_path / "m.onnx", "--slices", 24, "--sweep", name="profile")
    assert left.status == 0
    named = [line.split(": ", 1)[1] for line in left.err.splitlines() if ": ctseg batch " in line]
    assert len(named) >= 1
    for call in named:
        words = shlex.split(call)
        assert words[words.index("--precision") + 1] in precisions
        arguments = [str(tmp_path / "out") if word == "OUT" else word for word in words[2:]]
        assert command(*arguments, "--overwrite").status == 0


def test_names_are_shown_whatever_brackets_they_have(command, slices, make_model, monkeypatch, tmp_path):
    monkeypatch.setattr("ctseg_batch.profiling.sweep._ROUNDS", 1)
    scans = slices.rename(tmp_path / "s5 [b]")
    (tmp_path / "q[").mkdir()
    model = make_model(tmp_path / "q[" / "b] m.onnx", name="m [red]")
    left = command(scans, "--model", model, "--slices", 8, "--sweep", name="profile")
    assert left.status == 0
    assert "model m [red]" in left.err
    (call,) = (line.split(": ", 1)[1] for line in left.err.splitlines() if line.startswith("the fastest here: "))
    assert {str(scans), str(model)} <= set(shlex.split(call))


def test_so_are_those_of_nodes():
    console = Console(file=io.StringIO(), width=80)
    console.print(operators_table([Operator("/[b]up[/i]", "[red]", (1, 4), 0.5, 1.0)]))
    assert "/[b]up[/i]" in console.file.getvalue()
    assert "[red]" in console.file.getvalue()


def test_what_can_not_be_read_can_not_be_measured(command, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(b"no picture")
    left = command(tmp_path / "in", name="profile")
    assert left.status == 2
    assert "nothing to measure" in left.err


def test_nor_can_what_lies_in_a_store(command):
    left = command("s3://bucket/scans", name="profile")
    assert (left.status, left.err) == (
        2,
        "error: s3://bucket/scans: only files on this machine can be measured, not URLs\n",
    )


def test_what_failed_went_not_through_the_network(command, slices, tmp_path):
    for file in sorted(slices.iterdir())[12:]:
        file.write_bytes(b"no picture")
    figures = json.loads(command(slices, "--json", "--trace", tmp_path / "trace.json", name="profile").out)
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    us = max(event["ts"] + event["dur"] for event in events)
    assert (figures["run"]["slices"], figures["run"]["failed_slices"]) == (24, 12)
    assert figures["roof"]["gflops"] == pytest.approx(2 * figures["roof"]["gmac"] * 12 / (us / 1e6), rel=1e-3)


@pytest.mark.parametrize(("workers", "batch_size", "calls"), [(1, 8, 1), (8, 1, 8)])
def test_slices_that_are_all_done_at_once_are_measured(command, slices, workers, batch_size, calls):
    options = ("--slices", 8, "--workers", workers, "--batch-size", batch_size)
    run = json.loads(command(slices, *options, "--json", name="profile").out)["run"]
    assert (run["slices"], run["stages"]["infer"]["count"]) == (8, calls)
    assert "over 8 slices, after a warm-up of 8" in command(slices, *options, name="profile").err


def test_what_the_model_does_not_take_can_not_be_measured(command, slices, make_model, tmp_path):
    model = make_model(tmp_path / "hu.onnx", domains=("hu",))
    left = command(slices, "--model", model, name="profile")
    assert (left.status, left.err.count("\n")) == (2, 1)
    assert "takes Hounsfield units, not 8-bit grey" in left.err


def test_slices_that_failed_are_told(command, slices):
    (slices / "03.png").write_bytes(b"no picture")
    figures = json.loads(command(slices, "--json", name="profile").out)
    assert figures["run"]["failed_slices"] == 1
    assert "failed" in command(slices, name="profile").err


def test_multiplications_are_counted_from_the_graph(tmp_path):
    text = CONVOLUTIONS.replace("WIDE", ", ".join(["0.5"] * 72)).replace("NARROW", ", ".join(["0.5"] * 32))
    (tmp_path / "two.onnx").write_bytes(onnx.parser.parse_model(text).SerializeToString())
    # 8 channels of 32 x 48 from 9 products each, then 4 channels from 8.
    expected = 2 * 32 * 48 * (8 * 9 + 4 * 8) / 1e9
    assert count_gmac(tmp_path / "two.onnx", np.zeros((2, 1, 64, 96), np.float32)) == pytest.approx(expected)


def test_the_shipped_model_costs_what_its_card_says():
    batch = np.zeros((1, 1, 384, 384), np.float32)
    assert count_gmac(find_model("fast"), batch) == pytest.approx(1.207, abs=0.001)
    nodes = costliest(find_model("fast"), batch, ["CPUExecutionProvider"], 5)
    assert [node.ms for node in nodes] == sorted((node.ms for node in nodes), reverse=True)
    assert "Conv" in {node.kind for node in nodes}
