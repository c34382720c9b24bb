"""`ctseg inspect`: a model file's description of itself."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from ctseg.classes import CLASSES
from ctseg.cleanup import Cleanup
from ctseg.confidence import TEMPERATURES
from ctseg.model import ModelSpec, file_digest, find_model
from ctseg.prepare import Preparation
from ctseg.printable import printable
from ctseg.process.standard_output import standard_output
from ctseg.runtime import open_on_cpu
from ctseg.scan import DOMAINS
from ctseg_batch.held_out import MEAN, by_class, most_classes_first
from ctseg_batch.terminal.console import legend, output_console

_MOST_SHOWN = 8


def inspect(
    model: Annotated[str, typer.Argument(help="Model file, or name of a shipped model.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Also print the recipe of its training, and how it was exported.")
    ] = False,
) -> None:
    """Print a model file's description of itself: classes, preparation, scores, training data.

    Example: ctseg inspect fast
    """
    file = find_model(model)
    _, spec = open_on_cpu(file)
    with standard_output() as stream:
        if as_json:
            stream.write(json.dumps(_described(file, spec), indent=2) + "\n")
        else:
            output_console(stream).print(_table(file, spec, verbose=verbose))


def _described(file: Path, spec: ModelSpec) -> dict[str, Any]:
    return {
        "file": str(file),
        "bytes": file.stat().st_size,
        "sha256": file_digest(file),
        "classes": [asdict(tissue) for tissue in CLASSES],
        **asdict(spec),
    }


def _table(file: Path, spec: ModelSpec, *, verbose: bool) -> Table:
    training, export = spec.training, spec.export
    if not verbose:
        training, export = _data_alone(training), _cost_alone(export)
    rows = {
        "model": _plain(f"{spec.name}, version {spec.version}, {spec.precision}"),
        "file": _plain(str(file), f"{decimal(file.stat().st_size)}, sha256 {file_digest(file)}"),
        "licence": _plain(spec.licence),
        "classes": legend(),
        "accepts": _plain(" and ".join(DOMAINS[domain] for domain in spec.domains)),
        "preparation": _plain(*_preparation(spec.preparation)),
        "clean-up": _plain(*_cleanup(spec.cleanup)),
        "confidence": _plain(_sureness(spec.temperature)),
        "scores": _plain(*_scores(spec.scores)),
        "training": _plain(*(_way(spec.training) if verbose else ()), *as_lines(training)),
        "export": _plain(*as_lines(export)),
    }
    table = Table.grid(padding=(0, 2))
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for title, text in rows.items():
        table.add_row(title, text or Text("-"))
    return table


def _preparation(how: Preparation) -> Iterator[str]:
    low, high = how.window
    yield f"HU from {low:g} to {high:g} become grey 0 to 255, grey stays as it is unless its window is told"
    yield f"the longer side becomes {how.long_side} pixels, then is padded with black to multiples of {how.multiple}"


def _sureness(temperature: float | None) -> str:
    if temperature is None:
        return "it gives no probabilities"
    if temperature in TEMPERATURES:
        return f"its probabilities are not calibrated: the temperature is at the end of what was tried, {temperature:g}"
    return f"its logits divided by a temperature of {temperature:g} give calibrated probabilities"


def _cleanup(rules: Cleanup) -> Iterator[str]:
    if rules.slice_fraction:
        yield f"lung in pieces below {100 * rules.slice_fraction:g} % of a slice becomes background"
    if rules.volume_fraction:
        yield f"lung in pieces below {100 * rules.volume_fraction:g} % of a scan's largest becomes background"
    if rules == Cleanup():
        yield "none"


def _data_alone(training: Mapping[str, Any]) -> Mapping[str, Any]:
    """What most ask of the data sets: how much was learnt from whom, by whose leave."""
    datasets = training.get("datasets")
    if not isinstance(datasets, list):
        return {}
    told = ("name", "slices", "groups", "licence", "citation")
    return {"datasets": [{key: found[key] for key in told if found.get(key)} for found in datasets]}


def _cost_alone(export: Mapping[str, Any]) -> Mapping[str, Any]:
    return {key: export[key] for key in ("parameters", "gmac") if key in export}


def _way(training: Mapping[str, Any]) -> Iterator[str]:
    """A line on weights that are those of others: of a run with a learning rate of 0, whose recipe tells little."""
    recipe, starts = training.get("recipe"), training.get("start")
    if isinstance(recipe, Mapping) and recipe.get("learning_rate") == 0 and isinstance(starts, list):
        whose = "the weights of the network" if len(starts) == 1 else f"the mean weights of the {len(starts)} networks"
        offset = ", with `logit_offset` added" if recipe.get("logit_offset") else ""
        yield f"{whose} under `start`{offset}, not trained any further:"


def _scores(scores: Mapping[str, Any]) -> Iterator[str]:
    """The scores, each beginning with whose they are if not this network's own; and how to read them."""
    told = {name: _by_class(_attributed(figures)) for name, figures in most_classes_first(scores).items()}
    yield from as_lines(told)
    iou = [figures["iou"] for figures in told.values() if isinstance(figures, Mapping) and "iou" in figures]
    if iou:
        yield "measured in training, slice by slice; means include background; -: no slice of the set shows the class"
    if any(MEAN in of for of in iou):
        yield "mean: 0 for a class may mean that only the mask has it, even in a single pixel"


def _by_class(figures: Any) -> Any:
    """The figures of a data set, with its classes in order and one mean."""
    if not isinstance(figures, Mapping):
        return figures
    return {key: by_class(of) if key in ("iou", "dice") else of for key, of in figures.items()}


def _attributed(figures: Any) -> Any:
    """The figures of a data set; if they are inherited, as by `ctseg train --all-groups`, `of` says from what."""
    if not isinstance(figures, Mapping) or "of" not in figures:
        return figures
    own = {key: value for key, value in figures.items() if key != "of"}
    return {"of": f"{figures['of']}: the last run held no patients out", **own}


def as_lines(story: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    """A nested mapping as lines: a flat one on a single line, a deeper one indented below its title."""
    for key, value in story.items():
        title = f"{indent}{key}"
        parts = _named(value)
        if parts is None:
            yield f"{title}: {_short(value)}"
        elif any(_named(part) is not None for part in parts.values()):
            yield title
            yield from as_lines(parts, indent + "  ")
        elif parts:
            yield f"{title}: " + ", ".join(f"{name} {_short(part)}" for name, part in parts.items())


def _named(value: Any) -> Mapping[str, Any] | None:
    """A value as a mapping: a mapping itself, or a list of mappings by their `name` or number; else None."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, Sequence) and value and all(isinstance(v, Mapping) for v in value):
        names = [str(v.get("name", number)) for number, v in enumerate(value, start=1)]
        names = [f"{name} ({n})" if names.count(name) > 1 else name for n, name in enumerate(names, start=1)]
        parts = [{k: part for k, part in v.items() if k != "name"} for v in value]
        return dict(zip(names, parts, strict=True))
    return None


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        if len(value) > _MOST_SHOWN:
            return f"{len(value)} entries"
        return " ".join(_short(part) for part in value)
    return "-" if value is None else str(value)


def _plain(*lines: str) -> Text:
    """Lines with texts from a file, made safe for the terminal."""
    return Text("\n".join(map(printable, lines)))
