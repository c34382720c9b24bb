"""How OUT is laid out: the folders of its outputs; what it keeps for ctseg itself, and what that says of OUT."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ctseg_batch.shards import is_of_sibling

FOLDER = ".ctseg"
"""Where OUT keeps what is for ctseg itself."""

MASKS, OVERLAYS, CONFIDENCE, NIFTI, DICOM_SEG = "masks", "overlays", "confidence", "nifti", "dicom-seg"
FOLDERS = frozenset((MASKS, OVERLAYS, CONFIDENCE, NIFTI, DICOM_SEG))
"""What a run calls the folders that it writes to."""

SCAN_ENDINGS = {NIFTI: ".nii.gz", DICOM_SEG: ".dcm"}
"""What the files of whole scans end in, by folder."""

JOURNAL, ENDING = "journal", ".jsonl"
_IS_JOURNAL = re.compile(rf"{JOURNAL}(\.\d+-of-\d+)?\{ENDING}")

JournalEntry = dict[str, Any]
"""A line of a journal."""


def journal_file(out: Path, mark: str) -> Path:
    """The journal of a run, or of the shard with that mark."""
    return out / FOLDER / f"{JOURNAL}{mark}{ENDING}"


def journal_files(out: Path) -> list[Path]:
    """All in OUT; none where it may not be looked into."""
    try:
        return sorted(file for file in (out / FOLDER).iterdir() if is_journal(file.name))
    except OSError:
        return []


def is_journal(name: str) -> bool:
    """Whether a file in FOLDER is called like one."""
    return _IS_JOURNAL.fullmatch(name) is not None


def is_sibling(name: str, mark: str) -> bool:
    """Whether a journal belongs to another shard of the same cut."""
    return is_of_sibling(name.removesuffix(ENDING), mark)


def recorded_root(out: Path) -> Path | None:
    """The folder whose results OUT holds; None where no journal says."""
    for journal in journal_files(out):
        _, head = next(whole_lines(journal), (0, {}))
        if isinstance(head.get("root"), str):
            return Path(head["root"])
    return None


def whole_lines(journal: Path) -> Iterator[tuple[int, JournalEntry]]:
    """Each line with where it ends; those that are no JSON object, as after a power failure, are left out."""
    end = 0
    with journal.open("rb") as lines:
        for line in lines:
            end += len(line)
            try:
                noted = json.loads(line)
            except ValueError:
                continue
            if line.endswith(b"\n") and isinstance(noted, dict):
                yield end, noted
