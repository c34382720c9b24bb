"""Files of an archive that can't be reached by their name: they are reported, not silently left out."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from zipfile import ZipInfo

from ctseg_batch.url import is_plain

UNPLAIN = "has a name that no file below a folder can have: rename it"


def unreachable(members: Iterable[ZipInfo]) -> Mapping[str, str]:
    """The files that are there twice with different contents, below another, or with an impossible name; and why."""
    contents: dict[str, set[tuple[int, int]]] = defaultdict(set)
    for member in members:
        if not member.is_dir():
            contents[member.filename].add((member.CRC, member.file_size))
    reasons = {}
    for name, several in contents.items():
        above = next((folder for folder in _above(name) if folder in contents), None)
        if not is_plain(name):
            reasons[name] = UNPLAIN
        elif above is not None:
            reasons[name] = f"lies below {above}, which is a file of the archive too: rename one of them"
        elif len(several) > 1:
            reasons[name] = "is in the archive more than once, with different contents: pack it again"
    return reasons


def _above(name: str) -> Iterable[str]:
    """The folders that lead to a file."""
    while name := name.rpartition("/")[0]:
        yield name
