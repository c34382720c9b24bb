"""The record of a run in its folder: recipe and data sets, so that it is continued only with the same ones."""

import json
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

from ctseg.datasets.learnt_groups import group_digest
from ctseg.errors import CallError
from ctseg.model import BEST
from ctseg.process.replacing import replace_with
from ctseg.training.samples import Samples

RECIPE, LAST = "recipe.json", "last.pt"


def record_of(recipe: Mapping[str, Any], loaded: Sequence[Samples]) -> str:
    """The record of a run, as JSON."""
    datasets = [{**provenance(data), "digest": digest(data)} for data in loaded]
    return json.dumps({**recipe, "datasets": datasets}, indent=2, sort_keys=True)


def begin(out: Path, record: str) -> None:
    """Write the record of a new run; raises CallError if its folder holds one that has finished an epoch."""
    for name in (LAST, BEST):
        if (out / name).is_file():
            way = "continue it with --resume, or" if (out / RECIPE).is_file() else f"its {RECIPE} is lost:"
            raise CallError(f"{out} already holds a run ({name}): {way} name another folder")
    replace_with(out / RECIPE, record.encode())


def check_resumable(out: Path, record: str) -> None:
    """Raise CallError if a folder holds no run, one with another record, or only a part of one."""
    noted = out / RECIPE
    if not noted.is_file():
        raise CallError(f"{out} holds no run to continue: leave out --resume")
    if noted.read_bytes() != record.encode():
        raise CallError(
            f"{out} holds a run with a different recipe, slices, labels or groups ({noted}): "
            "repeat its call to continue it, or name another folder"
        )
    begun, kept = ((out / name).is_file() for name in (LAST, BEST))
    if begun and not kept:
        raise CallError(
            f"{out} holds {LAST} but not {BEST}, the best epoch so far: go on in another folder, with --start "
            f"{out / LAST}"
        )
    if kept and not begun and not _is_of_first_epoch(out / BEST):
        raise CallError(
            f"{out} holds {BEST} but not {LAST}, without which its run can't be continued: begin another one in "
            f"another folder, with --start {out / BEST} to build on it"
        )


def _is_of_first_epoch(best: Path) -> bool:
    """Whether a run was killed after its first epoch, before it wrote the other checkpoint."""
    from ctseg.training import checkpoint

    found = checkpoint.load(best)
    return found.temperature is None and found.scores.get("validation", {}).get("epoch") == 1


def provenance(data: Samples) -> dict[str, Any]:
    """The description of a data set in a run and its checkpoints."""
    groups = {split: sorted({s.group for s in samples}) for split, samples in data.splits.items()}
    return {
        "name": data.dataset.name,
        "slices": {split: len(samples) for split, samples in data.splits.items()},
        "groups": groups,
        "learnt_from": sorted(group_digest(data.dataset.name, group) for group in groups["train"]),
        "licence": data.dataset.licence,
        "citation": data.dataset.citation,
    }


def digest(data: Samples) -> str:
    """A digest of all of a data set that a run depends on: slices in order, labels, and their meaning."""
    found = blake2b(digest_size=16)
    meaning = sorted((value, [c.name for c in classes]) for value, classes in data.meaning.values.items())
    found.update(json.dumps(meaning).encode())
    for name, samples in (*data.splits.items(), ("unlabelled", data.unlabelled)):
        for sample in samples:
            pixels, allowed = sample.image.pixels, sample.allowed
            said = [name, sample.group, sample.file.name, sample.image.domain, pixels.dtype.str, pixels.shape]
            for part in (json.dumps(said).encode(), pixels.tobytes(), allowed.tobytes()):
                found.update(part)
    return found.hexdigest()
