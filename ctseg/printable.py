"""Text as a terminal may show it: what comes from outside, and counts."""


def printable(text: str) -> str:
    """The text with what would move a cursor or colour a line spelt out: control characters, stray bytes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def count(many: int, thing: str) -> str:
    """`1 scan`, `12,000 scans`."""
    return f"{many:,} {thing}" if many == 1 else f"{many:,} {thing}s"
