import json
from dataclasses import replace
from pathlib import Path

import pytest

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
    training={"datasets": ["a"]},
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
        ("cleanup", '{"slice_fraction": "much"}'),
        ("cleanup", '{"import os": 1}'),
        ("domains", '["mri"]'),
        ("format_version", "{"),
        ("classes", "[" * 100_000),
        ("name", "null, 3"),
        ("temperature", "0"),
        ("temperature", '"hot"'),
        ("temperature", "NaN"),
    ],
)
def test_damaged_metadata_is_refused_not_believed(key, value):
    with pytest.raises(ModelError):
        from_metadata({**to_metadata(SPEC), f"ctseg.{key}": value}, FILE)


def test_missing_keys_are_refused():
    for key in to_metadata(SPEC):
        metadata = to_metadata(SPEC)
        if key in ("ctseg.input", "ctseg.output", "ctseg.logits", "ctseg.temperature"):
            continue
        del metadata[key]
        with pytest.raises(ModelError, match="damaged"):
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
