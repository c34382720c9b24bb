"""Text for people: names from files made safe for a terminal, numbers, counts, and times."""

from collections.abc import Sequence

_FEW = 5


def printable(text: str) -> str:
    """The text with control characters and stray bytes escaped, which could move the cursor or colour lines."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def first_few(words: Sequence[str]) -> str:
    """`a, b, c, d, e and 1,200 others`."""
    more = f" and {len(words) - _FEW:,} others" if len(words) > _FEW else ""
    return ", ".join(words[:_FEW]) + more


def decimals(value: float, digits: int) -> str:
    """`5,760.0`; but `<0.1` for what is little, and not nothing."""
    shown = round(value, digits) + 0.0  # else a small negative number would become -0
    return f"<{10**-digits:.{digits}f}" if value > 0 and not shown else f"{shown:,.{digits}f}"


def count(many: int, thing: str) -> str:
    """`1 scan`, `12,000 scans`."""
    return f"{many:,} {thing}" if many == 1 else f"{many:,} {thing}s"


def span(seconds: float) -> str:
    """A duration in a readable unit: `40 s`, `9 min`, `3.2 h`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
