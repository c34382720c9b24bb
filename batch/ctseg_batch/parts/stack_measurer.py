"""The measures of a whole stack (`--measures full`): slices are collected, and measured when the last one is in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import cast

import numpy as np
import numpy.typing as npt

from ctseg import flags
from ctseg.classes import Labels
from ctseg.datasets.mask_meaning import MaskMeaning
from ctseg.field_of_view import NARROW_MM, NARROWEST_MM
from ctseg.lesions import find_lesions
from ctseg.lungs import absent, separate_lungs
from ctseg.regions import LungValues, sum_by_lung, total
from ctseg.scan import Slice
from ctseg.spacing import Spacing
from ctseg.surface import SurfaceDistances, surface_distances
from ctseg.turn import Turn
from ctseg_batch.parts.part import Part
from ctseg_batch.result import StackFigures


@dataclass(frozen=True, slots=True)
class _LungPixels:
    """The HU of the pixels that were first labelled lung in a slice; `lung` marks them, one bit per pixel."""

    lung: npt.NDArray[np.uint8]
    values: LungValues

    def plane(self, shape: tuple[int, ...]) -> LungValues:
        """The slice (H, W) with its HU, 0 outside the lung."""
        pixels = np.zeros(shape, self.values.dtype)
        pixels.ravel()[np.unpackbits(self.lung, count=pixels.size).view(bool)] = self.values
        return cast(LungValues, pixels)


class StackMeasurer:
    """Collects the masks of a part, the HU of its lung, and its truth. May be used from several threads."""

    def __init__(self, part: Part, meaning: MaskMeaning | None) -> None:
        self._scan, self._is_whole, self._meaning = part.scan, part.is_whole, meaning
        self._is_hu = flags.NOT_HU not in part.scan.flags
        self._turns: dict[int, Turn] = {}
        self._values: dict[int, _LungPixels] = {}
        self._masks: dict[int, Labels] = {}
        self._true: dict[int, Labels] = {}

    def look(self, index: int, source: Slice, labels: Labels, *, is_hu: bool) -> None:
        """Keep how a slice is turned, and the HU of its lung, some of which the clean-up may still remove."""
        self._turns[index] = source.turn
        if self._is_whole and self._is_hu and is_hu:
            lung = labels > 0
            self._values[index] = _LungPixels(np.packbits(lung), cast(LungValues, source.pixels[lung]))

    def add(self, index: int, labels: Labels, true: Labels | None) -> None:
        """Keep the final mask of a slice; `true` are the groups of its truth, if there is any."""
        if self._is_whole:
            self._masks[index] = labels
            if true is not None:
                self._true[index] = true

    def measure(self, spacing: Spacing, *, is_cut_off: bool) -> tuple[StackFigures | None, tuple[str, ...]]:
        """The figures, None where the slices form no stack, and what makes them doubtful.

        All slices are turned alike, so that columns run from the patient's right to the left; or, where they are stored
        in several ways, each by its own, upright.
        `is_cut_off`: the sides of the lungs are. Then, or in a narrow picture, it is not known which lungs are in view.
        """
        if not self._is_whole:
            return None, (flags.NO_STACK,)
        indices = sorted(self._masks)
        turns = self._facing({index: self._turns[index] for index in indices})
        masks = [turn.upright(self._masks[index]) for index, turn in turns.items()]
        if len({mask.shape for mask in masks}) > 1:
            return None, (flags.MIXED_SIZES,)
        if not indices:
            return None, ()
        spacing = turns[indices[0]].spacing(spacing)
        across_mm = masks[0].shape[1] * spacing[2]
        weights = self._scan.weights and [self._scan.weights[index] for index in indices]
        border = None if is_cut_off or across_mm < NARROWEST_MM else separate_lungs(masks, spacing)
        sums = sum_by_lung(masks, border, self._lung_values(turns, masks), weights)
        lungs = sums if border else None
        gone = absent([sum(one.voxels for one in total(lung)) for lung in lungs]) if lungs else ()
        doubts = [flags.NARROW] if across_mm < (NARROW_MM if gone else NARROWEST_MM) else []
        if doubts:
            border = lungs = None
        lesions, surfaces = None, None
        if flags.MIXED_PIXEL_SPACING not in self._scan.flags:  # else slices do not lie pixel on pixel
            lesions = find_lesions(masks, border, spacing, weights)
            if flags.DUPLICATE_POSITIONS not in self._scan.flags:  # else they are not as far apart as the others
                surfaces = self._surfaces(turns, masks, spacing)
        figures = StackFigures(total(chain.from_iterable(sums)), lungs, lesions, surfaces)
        if lungs:
            doubts += map(flags.lung_absent, gone)
            doubts += [] if self._are_sides_known() else [flags.SIDES_ASSUMED]
        return figures, tuple(doubts)

    def _facing(self, turns: Mapping[int, Turn]) -> Mapping[int, Turn]:
        """How to turn each slice; where all are stored alike, rows may run either way."""
        if len(set(turns.values())) > 1:
            return turns
        return {index: Turn.facing(self._scan.patients_right or turn.patients_right) for index, turn in turns.items()}

    def _are_sides_known(self) -> bool:
        """Whether the files say where the patient's right is, be it here and there for one slice and another."""
        found = self._scan.flags
        is_mixed = flags.MIXED_ORIENTATIONS in found and flags.UNKNOWN_ORIENTATION not in found
        return is_mixed or self._scan.patients_right is not None

    def _lung_values(self, turns: Mapping[int, Turn], masks: Sequence[Labels]) -> list[LungValues] | None:
        """The HU of the lung pixels of each turned mask, row by row; None unless all slices have HU."""
        if any(index not in self._values for index in turns):
            return None
        planes = (turn.upright(self._values[index].plane(self._masks[index].shape)) for index, turn in turns.items())
        return [plane[mask > 0] for plane, mask in zip(planes, masks, strict=True)]

    def _surfaces(
        self, turns: Mapping[int, Turn], masks: Sequence[Labels], spacing: Spacing
    ) -> tuple[SurfaceDistances | None, ...] | None:
        """The distances of each group except background, from turned masks; None if a slice has no truth.

        Pixels that the truth leaves open are removed from both masks, so that they count as no error.
        """
        if self._meaning is None or any(index not in self._true for index in turns):
            return None
        true = np.stack([turn.upright(self._true[index]) for index, turn in turns.items()])
        labels = np.stack(masks)
        told = true < len(self._meaning.groups)
        return tuple(
            None if 0 in group else surface_distances(true == number, told & np.isin(labels, group), spacing)
            for number, group in enumerate(self._meaning.groups)
        )
