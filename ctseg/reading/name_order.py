"""The order of file names, where nothing else tells in which order their files are."""

import re


def as_counted(name: str) -> tuple[list[str | int], str]:
    """Sorts names as people count: `slice2` before `slice10`."""
    pieces = re.split(r"(\d+)", name.casefold())
    return [int(piece) if place % 2 else piece for place, piece in enumerate(pieces)], name
