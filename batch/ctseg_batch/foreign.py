"""Files in OUT that ctseg did not write: a call that might overwrite them is refused."""

import json
import os
from collections.abc import Callable
from pathlib import Path

from ctseg.datasets.description import DESCRIPTION
from ctseg.errors import CallError
from ctseg_batch.layout import FOLDERS, RECORD, SUMMARY_JSON, TABLES, names_in, shard_of
from ctseg_batch.url import Location, is_within, real


def refuse_foreign(out: Location, look: Callable[[str], set[str]], root: Location) -> None:
    """Raise CallError if OUT holds files that no run has written and that this run or a later one may overwrite.

    `look` returns the names in a folder of OUT. A run creates RECORD first: if that is there, everything with the name
    of an output is taken for a run's. A folder that contains the `root` holds scans, whatever its name: no run writes
    there.
    """
    names = look("")
    if RECORD in names:
        return
    if isinstance(out, Path):  # a file system that ignores case lists `Masks`, which is `masks` to a run
        names |= {name for name in (*FOLDERS, *TABLES, DESCRIPTION) if os.path.lexists(out / name)}
    if DESCRIPTION in names:
        raise CallError(f"--out {out}: it is a data set, since it holds {DESCRIPTION}: name another folder")
    others = (name for name in sorted(FOLDERS & names) if not is_within(real(root), real(out / name)))
    foreign = [f"{name}/" for name in others if look(name) - {"", name}]
    foreign += sorted(name for name in names if name in TABLES or shard_of(name))
    if foreign and RECORD not in look(""):  # else another shard has begun in the meantime
        raise CallError(
            f"--out {out}: {foreign[0]} exists and was not written by ctseg: name another folder; if "
            f"a run wrote it and its {RECORD} was deleted, delete it too"
        )


def refuse_foreign_tables(out: str, folder: Path) -> None:
    """Raise CallError if `ctseg summarize` would overwrite tables that neither it nor a run in shards has written.

    `folder` is OUT, or a copy of what it holds.
    """
    names = names_in(folder)
    foreign = [name for name in TABLES if name in names]
    if foreign and RECORD not in names and not _is_joined(folder / SUMMARY_JSON):
        raise CallError(
            f"--out {out}: {foreign[0]} exists and was not written by ctseg summarize: name another folder, or "
            "delete it"
        )


def _is_joined(file: Path) -> bool:
    """Whether a summary.json is that of several runs joined."""
    try:
        read = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(read, dict) and {"schema", "scans"} <= read.keys() and isinstance(read.get("runs"), list)
