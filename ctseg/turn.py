"""How a stored slice is turned to stand upright: the front of the body at the top, the patient's right on the left."""

from typing import Any, Literal, NamedTuple, Self

import numpy.typing as npt

from ctseg.spacing import Spacing

Side = Literal["left", "right", "top", "bottom"]
"""A side of a slice as it is stored: its first column, its last, its first row, its last."""


class Turn(NamedTuple):
    """Rows and columns are exchanged if `transposed`, then rows reversed if `upside_down` and columns if `mirrored`."""

    transposed: bool = False
    upside_down: bool = False
    mirrored: bool = False

    @classmethod
    def facing(cls, patients_right: Side) -> Self:
        """How slices are turned so that columns run from the patient's right to the left; rows may run either way."""
        return cls(transposed=patients_right in ("top", "bottom"), mirrored=patients_right in ("right", "bottom"))

    @property
    def patients_right(self) -> Side:
        """On which side of the stored slice the patient's right is."""
        if self.transposed:
            return "bottom" if self.mirrored else "top"
        return "right" if self.mirrored else "left"

    def upright(self, stored: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """A stored slice (H, W, ...) turned upright; a view."""
        return self._reversed(stored.swapaxes(0, 1) if self.transposed else stored)

    def stored(self, upright: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """An upright slice (H, W, ...) turned back; a view."""
        back = self._reversed(upright)
        return back.swapaxes(0, 1) if self.transposed else back

    def spacing(self, stored: Spacing) -> Spacing:
        """The spacing of slices that are turned upright."""
        z, y, x = stored
        return (z, x, y) if self.transposed else stored

    def _reversed(self, pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return pixels[:: -1 if self.upside_down else 1, :: -1 if self.mirrored else 1]


UPRIGHT = Turn()
