"""Text from outside, as a terminal may show it."""


def printable(text: str) -> str:
    """The text with what would move a cursor or colour a line spelt out: control characters, stray bytes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
