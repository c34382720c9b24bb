import contextlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctseg.cleanup import Cleanup
from ctseg.errors import ModelError
from ctseg.model import FORMAT_VERSION, ModelSpec, find_model, from_metadata, shipped_models, to_metadata
from ctseg.prepare import Preparation

SPEC = ModelSpec(
    name="mine",
    version="1",
    licence="non-commercial",
    domains=("hu",),
    precision="fp16",
    preparation=Preparation((-1100.0, 100.0), 320, 16),
    cleanup=Cleanup(0.001, 0.05),
    training={"datasets": [{"name": "a"}]},
    scores={"a": 0.5},
    temperature=1.25,
)
FILE = Path("mine.onnx")


def test_a_spec_survives_the_metadata():
    assert from_metadata(to_metadata(SPEC), FILE) == SPEC
    assert all(isinstance(value, str) for value in to_metadata(SPEC).values())


def test_a_file_without_metadata_is_refused_with_what_to_do():
    with pytest.raises(ModelError, match=r"mine\.onnx.*ctseg export"):
        from_metadata({"producer": "another"}, FILE)


def test_a_newer_format_is_refused():
    metadata = {**to_metadata(SPEC), "ctseg.format_version": str(FORMAT_VERSION + 1)}
    with pytest.raises(ModelError, match="update ctseg"):
        from_metadata(metadata, FILE)


def test_other_classes_are_refused():
    classes = json.dumps([{"name": "background"}, {"name": "nodule"}])
    with pytest.raises(ModelError, match="nodule"):
        from_metadata({**to_metadata(SPEC), "ctseg.classes": classes}, FILE)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("preparation", '{"window": [0], "long_side": 384, "multiple": 32}'),
        ("preparation", '{"window": [100, -100], "long_side": 384, "multiple": 32}'),
        ("preparation", '{"window": [-1000, 0], "long_side": 1e9, "multiple": 32}'),
        ("preparation", '{"window": [-1000, 0], "long_side": 1e999, "multiple": 32}'),
        ("preparation", '{"window": [-1e999, 0], "long_side": 384, "multiple": 32}'),
        ("format_version", "1e999"),
        ("temperature", "1" + "0" * 400),
        ("cleanup", '{"slice_fraction": "much"}'),
        ("cleanup", '{"import os": 1}'),
        ("domains", '["mri"]'),
        ("domains", "[]"),
        ("format_version", "{"),
        ("classes", "[" * 100_000),
        ("name", "null, 3"),
        ("temperature", "0"),
        ("temperature", '"hot"'),
        ("temperature", "NaN"),
        ("training", '{"datasets": 5}'),
        ("training", '{"datasets": ["x"]}'),
        ("training", '{"datasets": [{"name": ["z"], "learnt_from": []}]}'),
    ],
)
def test_damaged_metadata_is_refused_not_believed(key, value):
    with pytest.raises(ModelError, match=rf"mine\.onnx is damaged: its metadata have no valid ctseg\.{key}; export it"):
        from_metadata({**to_metadata(SPEC), f"ctseg.{key}": value}, FILE)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def inside(value, path=()):
    """Where something else could stand within a JSON value, itself included."""
    yield path
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        yield from inside(part, (*path, key))


def with_part(value, path, part):
    if not path:
        return part
    changed = value.copy()
    changed[path[0]] = with_part(value[path[0]], path[1:], part)
    return changed


@settings(max_examples=300, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_other_metadata_are_a_spec_or_refused(data):
    metadata = to_metadata(SPEC)
    key = data.draw(st.sampled_from(sorted(metadata)))
    value = json.loads(metadata[key])
    path = data.draw(st.sampled_from(list(inside(value))))
    changed = json.dumps(with_part(value, path, data.draw(JSON)))
    text = data.draw(st.just(changed) | st.text(max_size=20) | st.just(changed[: len(changed) // 2]))
    with contextlib.suppress(ModelError):
        spec = from_metadata({**metadata, key: text}, FILE)
        assert isinstance(spec, ModelSpec)
        to_metadata(spec)


def test_missing_keys_are_refused():
    for key in to_metadata(SPEC):
        metadata = to_metadata(SPEC)
        if key in ("ctseg.input", "ctseg.output", "ctseg.logits", "ctseg.temperature"):
            continue
        del metadata[key]
        with pytest.raises(ModelError, match=rf"damaged: its metadata lack {key}; export it again"):
            from_metadata(metadata, FILE)


def test_models_are_found_by_name_and_by_file(tmp_path):
    for name, file in shipped_models().items():
        assert find_model(name) == file
    mine = tmp_path / "mine.onnx"
    mine.write_bytes(b"")
    assert find_model(str(mine)) == mine
    with pytest.raises(ModelError, match="neither a file nor a shipped model"):
        find_model("none")


def test_specs_are_told_apart():
    assert to_metadata(SPEC) != to_metadata(replace(SPEC, name="other"))
