"""What is noted in a run folder: what the run is made by, so that it is never gone on with as another one."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ctseg.errors import CallError
from ctseg.training.samples import Samples

RECIPE = "recipe.json"


def begin(out: Path, made_by: Mapping[str, Any], resume: bool) -> None:
    """Note what a run is made by in its folder; raises CallError where that holds another run."""
    noted = out / RECIPE
    wanted = _as_text(made_by)
    if noted.is_file():
        if not resume:
            raise CallError(f"{out} holds a run already: go on with it by --resume, or name another folder")
        if noted.read_text(encoding="utf-8") != wanted:
            raise CallError(
                f"{out} holds a run with another recipe, other slices or other groups ({noted}): "
                "repeat its call to go on with it, or name another folder"
            )
        return
    if resume:
        raise CallError(f"{out} holds no run to go on with: leave --resume out")
    write_whole(noted, wanted)


def provenance(data: Samples) -> dict[str, Any]:
    """What a run and its checkpoints note of a data set."""
    return {
        "name": data.dataset.name,
        "slices": {split: len(samples) for split, samples in data.splits.items()},
        "groups": {split: sorted({s.group for s in samples}) for split, samples in data.splits.items()},
        "licence": data.dataset.licence,
        "citation": data.dataset.citation,
    }


def write_whole(file: Path, text: str) -> None:
    """Write beside the place and rename, so that a killed run leaves no half of it; raises CallError."""
    part = file.with_name(f".{file.name}.tmp")
    try:
        with part.open("w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(file)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise CallError(f"{file} can't be written: {error.strerror}") from error


def _as_text(made_by: Mapping[str, Any]) -> str:
    return json.dumps(made_by, indent=2, sort_keys=True)
