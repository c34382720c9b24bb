"""Files that failed or were skipped, by the reason."""

from collections.abc import Iterable


def files_by_reason(found: Iterable[tuple[str, str]]) -> list[tuple[str, list[str]]]:
    """The reasons of pairs of a file and a reason, the most frequent first, each with its files."""
    files: dict[str, list[str]] = {}
    for file, reason in found:
        files.setdefault(reason, []).append(file)
    return sorted(files.items(), key=lambda one: (-len(one[1]), one[0]))
