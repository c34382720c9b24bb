"""The entries of a journal: what `record` writes and `past` reads."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from ctseg_batch.inputs.site import Site
from ctseg_batch.journal.lines import JournalEntry
from ctseg_batch.result import PartResult, Settings

FORMAT = 4
# The fields of its result that a part without a key keeps.
_KEPT = ("scan", "slices", "by_slice", "scan_output")


def begun(part_id: str, outline: PartResult, kinds: Iterable[str]) -> JournalEntry:
    """The record of a part that is under way: the slices and kinds of output that OUT may hold of it."""
    return {"part": part_id, "key": None, "write": list(kinds), "result": _kept(outline.to_json())}


def undone(noted: JournalEntry) -> JournalEntry:
    """The record of a part that is no longer done, with the outputs that OUT may still hold of it."""
    kept = {"result": _kept(noted["result"])} if "result" in noted else {}
    return {"part": noted["part"], "key": None, "write": noted["write"], **kept}


def _kept(result: Mapping[str, Any]) -> dict[str, Any]:
    return {name: result[name] for name in _KEPT}


def part_id_of(scan_name: str, part: int = 0) -> str:
    """The id of a part of a scan in the journal."""
    return f"{scan_name}:{part}"


def part_id_at(site: Site) -> str:
    """The id of a site that is one part."""
    return part_id_of(site.scan_name, site.piece or 0)


def plain_settings(settings: Settings) -> Any:
    """The settings as they are once written as JSON and read back."""
    return json.loads(json.dumps(asdict(settings)))
