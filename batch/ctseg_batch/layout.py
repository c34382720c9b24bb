"""The layout of OUT: the folders of its outputs, its tables, and the journals that it keeps for ctseg itself."""

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from ctseg.process.replacing import finished_name, unfinished_name
from ctseg_batch.journal.lines import whole_lines
from ctseg_batch.shards import Shard, is_of_cut, is_of_sibling

RECORD = ".ctseg"
"""The folder in OUT for what a run records: journals, locks."""

MASKS, OVERLAYS, CONFIDENCE, NIFTI, DICOM_SEG = "masks", "overlays", "confidence", "nifti", "dicom-seg"
FOLDERS = frozenset((MASKS, OVERLAYS, CONFIDENCE, NIFTI, DICOM_SEG))
"""The folders in OUT that a run may write to."""

SCAN_ENDINGS = {NIFTI: ".nii.gz", DICOM_SEG: ".dcm"}
"""The endings of files of whole scans, by folder."""

SUMMARY_JSON, SUMMARY_CSV, SLICES_CSV = "summary.json", "summary.csv", "slices.csv"
TABLES = (SUMMARY_CSV, SLICES_CSV, "summary.parquet", "slices.parquet", SUMMARY_JSON)
"""The tables of a summary, the last written last."""

JOURNAL, ENDING = "journal", ".jsonl"
_IS_JOURNAL = re.compile(rf"{JOURNAL}(\.\d+-of-\d+)?\{ENDING}")

_OF_SHARD = re.compile(r"(?:summary|slices)\.([1-9][0-9]*)-of-([1-9][0-9]*)\.(?:json|csv|parquet)")


def journal_file(out: Path, mark: str) -> Path:
    """The journal of a run, or of the shard with that mark."""
    return out / RECORD / f"{JOURNAL}{mark}{ENDING}"


def journal_files(out: Path) -> list[Path]:
    """All journals in OUT; none if it can't be listed."""
    try:
        return sorted(file for file in (out / RECORD).iterdir() if is_journal(file.name))
    except OSError:
        return []


def is_journal(name: str) -> bool:
    """Whether a file in RECORD is a journal, by its name."""
    return _IS_JOURNAL.fullmatch(name) is not None


def is_sibling(name: str, mark: str) -> bool:
    """Whether a journal belongs to another shard of the same cut."""
    return is_of_sibling(name.removesuffix(ENDING), mark)


def marked(name: str, mark: str) -> str:
    """The name of a shard's file: `summary.3-of-8.json`."""
    stem, _, ending = name.partition(".")
    return f"{stem}{mark}.{ending}"


def shard_of(name: str) -> Shard | None:
    """The shard of a table, by the file's name; None for any other file, also for a copy of a table."""
    found = _OF_SHARD.fullmatch(name)
    return Shard(int(found[1]), int(found[2])) if found else None


def superseded(names: Iterable[str], mark: str) -> list[str]:
    """The files in OUT that are tables of shards of another cut than that of the run, or shard, with that mark.

    Also those that a killed run has left unfinished.
    """
    shards = {name: shard_of(finished_name(name) or name) for name in names}
    return [name for name, shard in shards.items() if shard and not is_of_cut(shard.mark, mark)]


def withdrawn(names: Iterable[str], mark: str) -> list[str]:
    """The files in OUT that are outdated once the run, or shard, with that mark begins to change OUT.

    A run writes its other tables anew in the end; a shard writes none of those of the whole.
    """
    of_the_whole = TABLES if mark else [SUMMARY_JSON]
    own = [marked(SUMMARY_JSON, mark), *(unfinished_name(marked(name, mark)) for name in TABLES)]
    return [*{*of_the_whole, *own}.intersection(names), *superseded(names, mark)]


def names_in(folder: Path) -> set[str]:
    """The names in a folder; none if it does not exist or can't be listed."""
    try:
        return set(os.listdir(folder))  # noqa: PTH208
    except OSError:
        return set()


def recorded_root(out: Path) -> str | None:
    """The root whose results OUT holds, a path or a URL; None if no journal says, or none that may be read."""
    for journal in journal_files(out):
        with suppress(OSError):
            _, head = next(whole_lines(journal), (0, {}))
            if isinstance(head.get("root"), str):
                return str(head["root"])
    return None


def is_of_results(folder: Path) -> bool:
    """Whether a run has written a folder into its OUT; one of scans may happen to be called like that."""
    if folder.name not in FOLDERS or not os.path.isdir(folder.parent / RECORD):  # noqa: PTH112
        return False
    root = recorded_root(folder.parent)
    return root is None or not Path(root).is_relative_to(folder)


def results_around(path: Path) -> Path | None:
    """The folder of results that a path is, or lies in; None for any other path."""
    if FOLDERS.isdisjoint(path.parts):  # as for nearly every path, of which there may be a million
        return None
    return next(filter(is_of_results, (path, *path.parents)), None)
