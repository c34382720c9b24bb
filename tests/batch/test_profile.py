import json

import numpy as np
import onnx.parser
import pytest

from ctseg.model import find_model
from ctseg_batch.profiling.network import costliest, count_gmac

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
    left = command(slices, "--json", "--trace", tmp_path / "trace.json", name="profile")
    assert left.status == 0
    figures = json.loads(left.out)
    run = figures["run"]
    assert run["slices"] + 4 * figures["workers"] == 24 or run["slices"] == 24
    assert run["slices_per_second"] > 0
    assert sum(times["share"] for times in run["stages"].values()) == pytest.approx(1)
    for times in run["stages"].values():
        assert 0 <= times["p50_ms"] <= times["p95_ms"] <= times["p99_ms"]
    assert all(0 <= share <= 1 for share in run["busy_cores"])
    assert figures["roof"]["shape"] == [64, 48]
    assert figures["roof"]["matrix_gflops"] > 0.1
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert sum(event["name"] == "infer" for event in events) == 24
    assert all(event["ph"] == "X" and event["dur"] >= 0 and event["ts"] >= 0 for event in events)


def test_nothing_is_left_behind(command, slices, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    assert command(slices, "--slices", "4", name="profile").status == 0
    assert sorted(tmp_path.rglob("*")) == before


def test_a_sweep_names_a_call_that_can_be_made(command, slices, monkeypatch):
    monkeypatch.setattr("ctseg_batch.profiling.sweep._ROUNDS", 1)
    left = command(slices, "--sweep", "--operators", name="profile")
    assert left.status == 0
    assert f"ctseg batch {slices} --out OUT --workers" in left.err
    assert "--precision fp32" in left.err
    assert "costliest nodes" in left.err


def test_what_can_not_be_read_can_not_be_measured(command, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(b"no picture")
    left = command(tmp_path / "in", name="profile")
    assert left.status == 2
    assert "nothing to measure" in left.err


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
    assert nodes[0].kind == "Conv"
