"""The facts about the models of a run, from the model file if that is found, else from the summary."""

import glob
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ctseg.errors import CallError, ModelError
from ctseg.model import ModelSpec, file_digest, shipped_models
from ctseg.runtime import open_on_cpu
from ctseg_batch.figures.summary import Summary
from ctseg_batch.held_out import by_class, most_classes_first

_DESCRIBED = ("name", "version", "precision", "licence", "sha256")


@dataclass(frozen=True, slots=True)
class LearntFrom:
    """A data set, with the number of `slices` and `groups` (patients) that the model learnt from."""

    name: str
    citation: str
    licence: str
    slices: int | None
    groups: int | None


@dataclass(frozen=True, slots=True)
class Score:
    """IoU and Dice by class on the held-back part of a data set; `of` names the network, if it is another one."""

    dataset: str
    slices: int | None
    groups: int | None
    iou: Mapping[str, float | None]
    dice: Mapping[str, float | None]
    of: str


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """A model; `is_found`: its file was found, and `data` and `scores` are from that."""

    name: str
    version: str
    precision: str
    licence: str
    sha256: str
    is_found: bool
    data: tuple[LearntFrom, ...]
    scores: tuple[Score, ...]


def model_facts(summary: Summary, file: Path | None) -> tuple[ModelFacts, ...]:
    """The model of a run, or of each of several joined runs. `file`: a model file, in any precision.

    By default the shipped models are searched. Raises CallError where neither `file` nor one beside it is of the run.
    """
    described = [summary["model"]] if summary["model"] else [run["model"] for run in summary["runs"] or ()]
    models = {one["sha256"]: one for one in described}
    own = {sha256: _spec_of(sha256, [file]) for sha256 in models} if file else {}
    if file and not any(own.values()):
        raise CallError(f"--model {file} is not the model of this run, which has the sha256 {' or '.join(models)}")
    shipped = shipped_models().values()
    return tuple(_facts(one, own.get(sha256) or _spec_of(sha256, shipped)) for sha256, one in models.items())


def _facts(described: Mapping[str, Any], spec: ModelSpec | None) -> ModelFacts:
    named = {key: described[key] for key in _DESCRIBED}
    data = [_learnt_from(one) for one in _mappings(spec.training.get("datasets"))] if spec else []
    told = most_classes_first(spec.scores) if spec else {}
    scores = [_score(one, of) for one, of in told.items() if isinstance(of, Mapping)]
    return ModelFacts(**named, is_found=spec is not None, data=tuple(data), scores=tuple(scores))


def _spec_of(sha256: str, files: Iterable[Path]) -> ModelSpec | None:
    """The spec of the file with this digest: one of `files`, or one in another precision beside them."""
    for named in files:
        stem = glob.escape(named.name.partition(".")[0])
        for file in sorted({named, *named.parent.glob(f"{stem}.*onnx")}):
            if file.is_file() and file_digest(file) == sha256:
                try:
                    return open_on_cpu(file)[1]
                except ModelError:
                    return None
    return None


def _learnt_from(of: Mapping[str, Any]) -> LearntFrom:
    return LearntFrom(
        name=str(of.get("name", "")),
        citation=str(of.get("citation", "")),
        licence=str(of.get("licence", "")),
        slices=_trained(of.get("slices")),
        groups=_trained(of.get("groups")),
    )


def _trained(of: Any) -> int | None:
    found = of.get("train") if isinstance(of, Mapping) else None
    return found if isinstance(found, int) else None


def _score(dataset: str, of: Mapping[str, Any]) -> Score:
    iou, dice = by_class(of.get("iou")), by_class(of.get("dice"))
    return Score(dataset, of.get("slices"), of.get("groups"), iou, dice, str(of.get("of", "")))


def _mappings(of: Any) -> Sequence[Mapping[str, Any]]:
    return [one for one in of if isinstance(one, Mapping)] if isinstance(of, list) else []
