"""The description of a model in its file's ONNX metadata: written by export, read by everything that runs it."""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from ctseg.classes import CLASSES
from ctseg.cleanup import Cleanup
from ctseg.errors import ModelError
from ctseg.prepare import Preparation
from ctseg.scan import DOMAINS

FORMAT_VERSION = 2
INPUT, OUTPUT, LOGITS = "slice", "labels", "logits"
DEFAULT_MODEL = "fast"

BEST = "best.pt"
"""The checkpoint in the folder of a training run that models are made of."""

WEIGHTS = "weights_sha256"
"""The key, in a model's `training`, of a digest of its network's weights, the same in every precision."""

Precision = Literal["fp32", "fp16", "int8"]
_PREFIX = "ctseg."
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """All that a user of the file must know.

    `domains`: the values that are accepted, `hu`, `grey8` or both. `training`: data sets, recipe, seed, beginnings.
    `scores`: figures on the groups held back, as of the export. `export`: parameters, cost, and upper bounds of the
    differences from the network that was exported. `temperature`: divides the logits, the second output, to give
    calibrated probabilities; None if the file has no logits.
    """

    name: str
    version: str
    licence: str
    domains: tuple[str, ...] = tuple(DOMAINS)
    precision: Precision = "fp32"
    preparation: Preparation = field(default_factory=Preparation)
    cleanup: Cleanup = field(default_factory=Cleanup)
    training: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, Any] = field(default_factory=dict)
    export: Mapping[str, Any] = field(default_factory=dict)
    temperature: float | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for an invalid temperature, which may come from a model file."""
        if self.temperature is not None:
            check_temperature(self.temperature)

    def why_unsure(self) -> str:
        """The message for a model without a temperature: why it gives no probabilities, and what to do."""
        ended = "export the best.pt of a run that has ended, one with --all-groups only if it had --figures-of"
        remedy = "take it in fp32 or fp16" if self.precision == "int8" else ended
        return f"the model {self.name} gives no probabilities in {self.precision}: {remedy}"


def check_temperature(stored: Any) -> float:
    """The temperature as a float; raises ValueError for one that is not between 0 and 100."""
    value = float(stored)
    if not 0 < value < 100:
        raise ValueError(f"the temperature is {value}")
    return value


def to_metadata(spec: ModelSpec) -> dict[str, str]:
    """The spec as ONNX `metadata_props`: keys `ctseg.*`, each value JSON."""
    fields: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "classes": [{"index": c.index, "name": c.name, "colour": c.colour} for c in CLASSES],
        "input": {"name": INPUT, "dtype": "float32", "shape": ["N", 1, "H", "W"], "range": [0, 255]},
        "output": {"name": OUTPUT, "dtype": "uint8", "shape": ["N", "H", "W"]},
        **asdict(spec),
    }
    if spec.temperature is None:
        del fields["temperature"]
    else:
        logits = "float16" if spec.precision == "fp16" else "float32"
        fields["logits"] = {"name": LOGITS, "dtype": logits, "shape": ["N", len(CLASSES), "H", "W"]}
    return {_PREFIX + key: json.dumps(value, sort_keys=True) for key, value in fields.items()}


def from_metadata(metadata: Mapping[str, str], source: Path) -> ModelSpec:
    """Read the spec back; raises ModelError if it is missing, damaged, or of a newer format."""
    raw = {k.removeprefix(_PREFIX): v for k, v in metadata.items() if k.startswith(_PREFIX)}
    if not raw:
        raise ModelError(
            f"{source} does not say how to use it (it has no ctseg metadata); "
            "make it with `ctseg export` from a checkpoint of `ctseg train`"
        )

    def read(key: str, convert: Callable[[Any], _T]) -> _T:
        if key not in raw:
            raise ModelError(f"{source} is damaged: its metadata lack {_PREFIX}{key}; export it again")
        try:
            return convert(json.loads(raw[key]))
        except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError, RecursionError) as error:
            raise ModelError(
                f"{source} is damaged: its metadata have no valid {_PREFIX}{key}; export it again"
            ) from error

    found = read("format_version", int)
    if found > FORMAT_VERSION:
        raise ModelError(
            f"{source} has format version {found}; this ctseg supports up to {FORMAT_VERSION}: update ctseg"
        )
    names = read("classes", lambda described: [str(entry["name"]) for entry in described])
    if names != [c.name for c in CLASSES]:
        raise ModelError(f"{source} has the classes {', '.join(names)}; expected {', '.join(c.name for c in CLASSES)}")
    return ModelSpec(
        name=read("name", str),
        version=read("version", str),
        licence=read("licence", str),
        domains=read("domains", _domains),
        precision=read("precision", lambda precision: _one_of(precision, get_args(Precision))),
        preparation=read("preparation", _preparation),
        cleanup=read("cleanup", lambda rules: Cleanup(**{key: float(value) for key, value in rules.items()})),
        training=read("training", _training),
        scores=read("scores", dict),
        export=read("export", dict),
        temperature=read("temperature", check_temperature) if "temperature" in raw else None,
    )


def shipped_models() -> dict[str, Path]:
    """The models inside the package, by name; `fast.fp16.onnx` is `fast` in another precision, not another model."""
    folder = Path(__file__).with_name("models")
    return {file.stem: file for file in sorted(folder.glob("*.onnx")) if "." not in file.stem}


def find_model(name_or_file: str) -> Path:
    """The file of a shipped model, or the named file itself; raises ModelError, listing the shipped models."""
    shipped = shipped_models()
    if name_or_file in shipped:
        return shipped[name_or_file]
    file = Path(name_or_file)
    if os.path.isfile(file):  # noqa: PTH113 - Path.is_file raises where a folder on the way may not be entered
        return file
    if best := best_of_run(file):
        raise ModelError(
            f"{file} is the folder of a training run: `ctseg export {best} --out model.onnx` makes a model of it"
        )
    raise ModelError(f"no model {name_or_file!r}: it is neither a file nor a shipped model ({', '.join(shipped)})")


def best_of_run(folder: Path) -> Path | None:
    """The best checkpoint in the folder of a training run; None for any other path."""
    return folder / BEST if os.path.isfile(folder / BEST) else None  # noqa: PTH113


def file_digest(file: Path) -> str:
    """The SHA-256 of a model file or a checkpoint, by which results name what made them."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _preparation(described: Any) -> Preparation:
    low, high = described["window"]
    return Preparation((float(low), float(high)), int(described["long_side"]), int(described["multiple"]))


def _training(stored: Any) -> dict[str, Any]:
    training = dict(stored)
    for described in training.get("datasets", []):
        if not isinstance(described.get("name", ""), str):
            raise TypeError("the name of a data set is no text")
    return training


def _domains(described: Any) -> tuple[str, ...]:
    if not described:
        raise ValueError("it takes no values")
    return tuple(_one_of(domain, tuple(DOMAINS)) for domain in described)


def _one_of(value: Any, allowed: tuple[_T, ...]) -> _T:
    if value not in allowed:
        raise ValueError(f"{value!r} is not one of {', '.join(map(str, allowed))}")
    return allowed[allowed.index(value)]
