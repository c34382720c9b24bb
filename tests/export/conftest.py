"""Two small networks with made-up weights, exported once for all tests."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import ModelProto
from torch import nn

from ctseg.cleanup import Cleanup
from ctseg.datasets.learnt_groups import group_digest
from ctseg.prepare import Preparation
from ctseg.training import checkpoint
from ctseg.training.checkpoint import Checkpoint
from ctseg.training.networks import build
from ctseg.training.recipe import LIGHT, SEED, Architecture, Recipe
from ctseg_export.export import Exported, export_model
from ctseg_export.graph import logits_graph

RECIPES = {
    "light": replace(
        LIGHT,
        architecture=Architecture("light", (8, 16, 16), (0, 1, 1)),
        preparation=Preparation((-1200.0, 200.0), long_side=96, multiple=8),
        cleanup=Cleanup(slice_fraction=0.001, volume_fraction=0.1),
    ),
    "classic": replace(
        SEED,
        architecture=Architecture("classic", (4, 8, 12)),
        preparation=Preparation(long_side=64, multiple=4),
    ),
}


@dataclass(frozen=True)
class Example:
    """A network in evaluation mode, the recipe it would come of, and its graph up to the logits."""

    recipe: Recipe
    net: nn.Module
    logits: ModelProto


def _network(recipe: Recipe) -> nn.Module:
    """Weights as a training might leave them: no statistic of a batch normalisation is at its start."""
    with torch.random.fork_rng():
        torch.manual_seed(4)
        net = build(recipe.architecture)
        with torch.no_grad():
            for module in net.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.running_mean.normal_(0, 0.2)
                    module.running_var.uniform_(0.5, 1.5)
                    module.weight.uniform_(0.5, 1.5)
                    module.bias.normal_(0, 0.2)
    return net.eval()


def _example(name: str) -> Example:
    recipe = RECIPES[name]
    net = _network(recipe)
    return Example(recipe, net, logits_graph(net, recipe.preparation.multiple))


@pytest.fixture(scope="session")
def light() -> Example:
    return _example("light")


@pytest.fixture(scope="session")
def classic() -> Example:
    return _example("classic")


@pytest.fixture(scope="session", params=["light", "classic"])
def example(request: pytest.FixtureRequest) -> Example:
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session")
def checkpoint_file(light: Example, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The light network as `ctseg train` leaves it."""
    file = tmp_path_factory.mktemp("run") / "best.pt"
    datasets = [
        {
            "name": "first",
            "slices": {"train": 40, "val": 9},
            "groups": {"train": ["patient-anna", "patient-bert"], "val": ["patient-cora"]},
            "learnt_from": [group_digest("first", f"patient-{name}") for name in ("anna", "bert")],
            "licence": "non-commercial use only",
            "citation": "",
        },
        {
            "name": "second",
            "slices": {"train": 3},
            "groups": {"train": ["x"]},
            "learnt_from": [group_digest("second", "x")],
            "licence": "",
            "citation": "",
        },
    ]
    scores = {"first": {"mean_iou": 0.5, "groups": ["patient-cora"]}}
    checkpoint.save(Checkpoint(light.net, light.recipe, {"datasets": datasets, "seed": 0}, scores, {}), file)
    return file


@pytest.fixture(scope="session")
def exported(checkpoint_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Its model file, which no test may change."""
    return export_model(checkpoint_file, tmp_path_factory.mktemp("out") / "light.onnx")


@pytest.fixture
def graph_at_hand(light: Example, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spares the tests of what comes after it the seconds that torch's exporter takes."""
    monkeypatch.setattr("ctseg_export.export.logits_graph", lambda net, multiple: light.logits)


@pytest.fixture(scope="session")
def open_session():
    """Open a graph or a file as a user's program would."""

    def opened(model):
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        source = str(model) if isinstance(model, Path) else model.SerializeToString()
        return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])

    return opened


@pytest.fixture(scope="session")
def noise():
    """Grey values as slices have them, (count, 1, rows, columns)."""

    def drawn(count, rows, columns):
        return np.random.default_rng(rows).uniform(0, 255, (count, 1, rows, columns)).astype(np.float32)

    return drawn
