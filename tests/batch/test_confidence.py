"""`--write confidence`, on a model whose logits are known: consolidation from grey 128 on, else background."""

import cv2
import numpy as np
import onnx.helper
import onnx.parser
import pytest

from ctseg.model import ModelSpec, to_metadata
from ctseg.prepare import Preparation

BRIGHT = """
<ir_version: 10, opset_import: ["": 18]>
bright (float[N, 1, H, W] slice) => (uint8[N, H, W] labels, float[N, 4, H, W] logits)
<float half = {128.0}, int64[1] axis = {1}, float[1,4,1,1] lesion = {0.0, 0.0, 0.0, 1.0},
 uint8 three = {3}, uint8 none = {0}>
{
    over = Sub (slice, half)
    is_bright = GreaterOrEqual (slice, half)
    deep = Where (is_bright, three, none)
    labels = Squeeze (deep, axis)
    logits = Mul (over, lesion)
}
"""


@pytest.fixture
def bright(tmp_path):
    model = onnx.parser.parse_model(BRIGHT)
    how = Preparation(long_side=64, multiple=16)
    onnx.helper.set_model_props(model, to_metadata(ModelSpec("bright", "1", "free", preparation=how, temperature=32.0)))
    (tmp_path / "bright.onnx").write_bytes(model.SerializeToString())
    return tmp_path / "bright.onnx"


def test_the_map_is_the_calibrated_probability_of_the_winner(command, save, bright, tmp_path):
    grey = np.full((64, 48), 128, np.uint8)
    grey[:, 24:] = 192
    save(tmp_path / "in" / "a.png", grey)
    save(tmp_path / "in" / "b.jpg", grey)
    left = command(tmp_path / "in", "--out", tmp_path / "out", "--model", bright, "--write", "mask,confidence")
    assert left.status == 0
    found = cv2.imread(str(tmp_path / "out" / "confidence" / "a.png"), cv2.IMREAD_UNCHANGED)
    assert found.dtype == np.uint8
    assert (found[:, :24] == 64).all()  # four logits alike: a quarter of 255
    # A logit of 64 over a temperature of 32 against three of 0: e^2 / (e^2 + 3).
    assert (found[:, 24:] == round(255 * np.e**2 / (np.e**2 + 3))).all()
    assert (tmp_path / "out" / "confidence" / "b.jpg.png").is_file()
    assert cv2.imread(str(tmp_path / "out" / "masks" / "a.png"), cv2.IMREAD_UNCHANGED).max() == 3


def test_a_stack_has_maps_too(command, draw, save_volume, bright, tmp_path):
    save_volume(tmp_path / "in" / "ct.nii", np.stack([draw(1), draw(2)]), (2, 1, 1))
    left = command(tmp_path / "in", "--out", tmp_path / "out", "--model", bright, "--write", "confidence")
    assert left.status == 0
    assert sorted(p.name for p in (tmp_path / "out" / "confidence" / "ct.nii").iterdir()) == ["0000.png", "0001.png"]


def test_a_model_without_probabilities_is_an_error_before_anything_is_written(
    command, draw, save_slice, quarters, tmp_path
):
    save_slice(tmp_path / "in" / "a.png", draw())
    left = command(tmp_path / "in", "--out", tmp_path / "out", "--model", quarters, "--write", "confidence")
    assert (left.status, left.err.count("\n")) == (2, 1)
    assert "no probabilities" in left.err
    assert not (tmp_path / "out").exists()
