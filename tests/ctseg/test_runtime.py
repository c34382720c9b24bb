"""A model file is a model or refused, and the runtime keeps to itself: a scan is nobody else's business."""

import contextlib
import os
import subprocess
import sys
import warnings

import onnx.helper
import onnx.parser
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ctseg.errors import ModelError
from ctseg.model import ModelSpec, to_metadata
from ctseg.runtime import open_on_cpu

GRAPH = """
<ir_version: 10, opset_import: ["": 18]>
nothing (float[N, 1, H, W] slice) => (uint8[N, H, W] labels) <int64[1] axis = {1}>
{
    whole = Cast <to = 2> (slice)
    labels = Squeeze (whole, axis)
}
"""
SPEC = ModelSpec("nothing", "1", "free")


@pytest.fixture(scope="module")
def whole():
    model = onnx.parser.parse_model(GRAPH)
    onnx.helper.set_model_props(model, to_metadata(SPEC))
    return model.SerializeToString()


def test_a_model_is_opened_with_what_it_says_of_itself(whole, tmp_path):
    (tmp_path / "m.onnx").write_bytes(whole)
    session, spec = open_on_cpu(tmp_path / "m.onnx")
    assert spec == SPEC
    assert session.get_providers() == ["CPUExecutionProvider"]


@settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=4),
    end=st.none() | st.floats(0, 1),
)
def test_a_damaged_file_is_a_model_or_refused_in_silence(whole, tmp_path, capfd, changes, end):
    content = bytearray(whole)
    for place, byte in changes:
        content[int(place * len(content))] = byte
    file = tmp_path / "m.onnx"
    file.write_bytes(content if end is None else content[: int(end * len(content))])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with contextlib.suppress(ModelError):
            assert isinstance(open_on_cpu(file)[1], ModelSpec)
    assert capfd.readouterr() == ("", "")


def test_the_runtime_leaves_nothing_in_the_home_folder_and_starts_no_telemetry(tmp_path):
    """From 1.31 on it would note an identifier and a queue of events there, for its maker."""
    code = (
        "from ctseg.model import find_model\nfrom ctseg.runtime import open_on_cpu\nopen_on_cpu(find_model('fast'))\n"
    )
    foreign = ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")
    environment = {name: value for name, value in os.environ.items() if name not in foreign}
    subprocess.run([sys.executable, "-c", code], env={**environment, "HOME": str(tmp_path)}, check=True)
    assert list(tmp_path.rglob("*")) == []


def test_who_wants_telemetry_may_have_it():
    environment = {**os.environ, "ORT_DISABLE_TELEMETRY": "0"}
    code = "import os, ctseg; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    said = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True)
    assert said.stdout.strip() == "0"


def test_a_checkpoint_says_how_it_becomes_a_model(tmp_path):
    (tmp_path / "best.pt").write_bytes(b"PK")
    with pytest.raises(ModelError, match=r"best\.pt is a checkpoint: `ctseg export .*best\.pt --out .*best\.onnx`"):
        open_on_cpu(tmp_path / "best.pt")


def test_a_signal_while_the_runtime_is_loaded_waits_for_its_end(tmp_path):
    """Its C++ code would turn the exception into an ImportError."""
    fake = tmp_path / "onnxruntime.py"
    fake.write_text(
        "import signal\n"
        "try:\n    signal.raise_signal(signal.SIGTERM)\n"
        "except KeyboardInterrupt:\n    raise ImportError('initialization failed') from None\n"
    )
    code = (
        "from ctseg.process.signals import raised, status_of; from ctseg.runtime import load_onnxruntime\n"
        "try:\n    with raised():\n        load_onnxruntime()\n"
        "except KeyboardInterrupt as stopped:\n    print(status_of(stopped))"
    )
    call = [sys.executable, "-c", code]
    done = subprocess.run(call, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert (done.stdout, done.stderr) == ("143\n", "")
