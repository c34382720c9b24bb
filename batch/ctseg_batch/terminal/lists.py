"""Lists of what failed, was skipped or is doubtful: lines `title: what: why`, up to a limit."""

from collections.abc import Iterable, Iterator, Mapping

from rich.text import Text

from ctseg.flags import doubts_among
from ctseg.printable import count, printable
from ctseg_batch.figures.reasons import files_by_reason
from ctseg_batch.inputs.selection import LEFT_OUT

_MOST_LISTED = 20
_MOST_FOLDERS = 5


def listed(title: str, lines: Iterable[tuple[str, str]], style: str) -> Iterator[Text]:
    """A line `title: what: why` for each, up to a limit."""
    found = list(lines)
    for what, why in found[:_MOST_LISTED]:
        yield Text.assemble((f"{title}: ", style), printable(what), ": ", printable(why))
    if len(found) > _MOST_LISTED:
        yield Text(f"{title}: {len(found) - _MOST_LISTED} more, all in summary.json", style)


def skipped(found: Iterable[tuple[str, str]]) -> Iterator[Text]:
    """Lines on skipped files, of pairs of a file and a reason: one for those of a folder with the same reason."""
    return listed("skipped", _by_folder(found), "dim")


def doubtful(flags: Mapping[str, Iterable[str]]) -> Iterator[Text]:
    """A line for each scan whose flags make its figures doubtful."""
    told = ((scan, "; ".join(found)) for scan, of in flags.items() if (found := doubts_among(of)))
    return listed("doubtful", told, "yellow")


def _by_folder(found: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """What is skipped, with the reason: a single file, or how many in a folder; many folders are only counted."""
    for reason, files in files_by_reason(found):
        folders: dict[str, list[str]] = {}
        for file in files:
            folders.setdefault(file.rpartition("/")[0], []).append(file)
        if len(folders) > _MOST_FOLDERS:
            yield f"{_number(len(files), reason)} in {len(folders):,} folders", reason
            continue
        for folder, names in folders.items():
            yield names[0] if len(names) == 1 else f"{folder and f'{folder}: '}{_number(len(names), reason)}", reason


def _number(many: int, reason: str) -> str:
    """`40 files`; `3 series` where a filter left them out."""
    return f"{many:,} series" if reason.startswith(LEFT_OUT) else count(many, "file")
