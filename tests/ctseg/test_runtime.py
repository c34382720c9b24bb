import contextlib
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
