"""Pages of docs/ that a benchmark writes its figures into, between two markers that stand there."""

from collections.abc import Iterable, Sequence
from pathlib import Path


def rewrite(page: Path, marker: str, text: str) -> None:
    """Put `text` between `<!-- marker -->` and `<!-- /marker -->`; raises ValueError where one is not there."""
    begin, end = f"<!-- {marker} -->", f"<!-- /{marker} -->"
    whole = page.read_text(encoding="utf-8")
    if not 0 <= whole.find(begin) < whole.find(end):
        raise ValueError(f"{page} has no place for the figures: it needs {begin} and {end}")
    head, tail = whole.split(begin)[0], whole.split(end)[1]
    page.write_text(f"{head}{begin}\n\n{text}\n\n{end}{tail}", encoding="utf-8")


def table(titles: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table in Markdown; a `|` within a cell stays one."""
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(str(cell).replace('|', '&#124;') for cell in line)} |" for line in lines)
