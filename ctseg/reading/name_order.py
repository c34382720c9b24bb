"""The order of file names, for files without any other order."""

import re


def as_counted(name: str) -> tuple[list[str | int], str]:
    """A sort key by which `slice2` comes before `slice10`."""
    pieces = re.split(r"(\d+)", name.casefold())
    return [int(piece) if index % 2 else piece for index, piece in enumerate(pieces)], name
