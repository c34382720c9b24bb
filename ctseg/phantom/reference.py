"""The reference body that every patient is a variation of: outlines, lines and tubes by name."""

import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np

from ctseg.phantom.shapes import Contour, Sheet, Tube, tube


@dataclass(frozen=True)
class Reference:
    """The table `reference_body.json`, which says of itself what its numbers mean."""

    table: dict[str, Any]

    def outline(self, name: str, cap: float = 0.0) -> Contour:
        """A solid that ends like a dome over `cap` mm, or goes on."""
        return _contour(self.table["outlines"][name], cap)

    def symmetric(self, name: str) -> Contour:
        """A solid of which the table has the left half: both halves."""
        halves = self.table["half outlines"][name]
        return _contour({z: [*half, *[(-x, y) for x, y in half[-2:0:-1]]] for z, half in halves.items()}, 0.0)

    def line(self, name: str) -> Sheet:
        """An open line that changes from level to level."""
        levels = self.table["lines"][name]
        return Sheet(np.array([float(z) for z in levels]), np.array(list(levels.values()), float))

    def tubes(self, name: str) -> tuple[Tube, ...]:
        """The tubes of a group."""
        return tuple(tube(np.array(stations, float)) for stations in self.table["tubes"][name].values())


def read_reference() -> Reference:
    """Read the reference body."""
    text = files("ctseg.phantom").joinpath("reference_body.json").read_text(encoding="utf-8")
    return Reference(json.loads(text))


def _contour(levels: dict[str, Any], cap: float) -> Contour:
    """The solid of a table of level to outline, lowest level first."""
    return Contour(np.array([float(z) for z in levels]), np.array(list(levels.values()), float), cap)
