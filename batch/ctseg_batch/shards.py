"""Shards: fixed shares of the scans, for runs that have nothing in common but the file system."""

from dataclasses import dataclass
from hashlib import blake2b
from typing import Self

from ctseg.errors import CallError


@dataclass(frozen=True, slots=True)
class Shard:
    """The shard `number` of the shards 1 to `of`. Which shard has a scan depends on its name alone."""

    number: int
    of: int

    @classmethod
    def parse(cls, written: str) -> Self:
        """From `3/8`; raises CallError."""
        number, _, of = written.partition("/")
        if not (number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
            n = of if of.isdecimal() and int(of) else "8"
            raise CallError(f"--shard {written}: give the shard and the number of shards, from 1/{n} to {n}/{n}")
        return cls(int(number), int(of))

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    @property
    def mark(self) -> str:
        """What the names of its files contain: `.3-of-8`."""
        return f".{self.number}-of-{self.of}"

    def holds(self, name: str) -> bool:
        """Whether a site belongs to it, by its name."""
        return self.holder(name, self.of) == self

    @classmethod
    def holder(cls, name: str, of: int) -> Self:
        """Which of `of` shards has a site."""
        digest = blake2b(name.encode(errors="surrogateescape"), digest_size=8).digest()
        return cls(int.from_bytes(digest) % of + 1, of)


def mark_of(shard: Shard | None) -> str:
    """The mark of a shard; empty without shards."""
    return "" if shard is None else shard.mark


def is_of_cut(name: str, mark: str) -> bool:
    """Whether a name ends in the mark of a shard of the same cut, as in `-of-8`; never if `mark` is empty."""
    return bool(mark) and name.endswith(f"-of-{mark.rpartition('-')[2]}")


def is_of_sibling(name: str, mark: str) -> bool:
    """Whether it ends in the mark of another shard of the same cut, which may be running."""
    return is_of_cut(name, mark) and not name.endswith(mark)
