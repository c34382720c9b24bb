"""The contents of the lungs by lung, third and class: sums that add up first, figures after."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ctseg.classes import CLASSES, LESION, LUNG, Labels
from ctseg.lungs import LUNGS, THIRDS, Border, thirds
from ctseg.measures import percent, voxel_ml
from ctseg.spacing import Spacing

LungValues = npt.NDArray[np.int16] | npt.NDArray[np.float32]

_AIR_HU, _WATER_HU = -1000.0, 1000.0


@dataclass(frozen=True, slots=True)
class Amount:
    """Voxels of one class: their number, and the sums of their HU and densities in g/mL, None without HU.

    Each is multiplied by the weight of its slice.
    """

    voxels: float = 0
    hu: float | None = None
    density: float | None = None

    def __add__(self, other: "Amount") -> "Amount":
        return Amount(self.voxels + other.voxels, _sum(self.hu, other.hu), _sum(self.density, other.density))


_NOTHING = Amount(0, 0.0, 0.0)

Amounts = tuple[Amount, ...]
"""By class, in the order of LUNG."""

Lungs = tuple[tuple[Amounts, ...], ...]
"""By lung and third, in the order of LUNGS and THIRDS."""


@dataclass(frozen=True, slots=True)
class Region:
    """The figures of a region of the lung; `mean_hu` and `mass_g` also have `lung`, for all of it.

    `percent` is of the lung in the region, None if there is none. HU and mass are None without HU.
    """

    volumes_ml: Mapping[str, float]
    lung_ml: float
    percent: Mapping[str, float | None]
    involvement_percent: float | None
    mean_hu: Mapping[str, float | None] | None
    mass_g: Mapping[str, float] | None


def sum_by_lung(
    masks: Sequence[Labels],
    border: Border | None,
    values: Sequence[LungValues] | None,
    weights: Sequence[float] | None = None,
) -> Lungs:
    """Add up a stack of masks (H, W), feet first, by lung, third and class; without a border all is in the first lung.

    `values` are the HU of each mask's lung pixels, row by row; None without HU. `weights` are as in Scan.
    """
    sums = np.array(
        [
            _of_slice(
                mask,
                border.is_left(index, mask.shape[1]) if border else np.zeros(mask.shape, np.bool_),
                None if values is None else values[index],
            )
            for index, mask in enumerate(masks)
        ]
    )  # (slices, 3 sums, lungs, classes)
    sums *= np.reshape(1.0 if weights is None else weights, (-1, 1, 1, 1))
    return tuple(_by_third(sums[:, :, lung], with_hu=values is not None) for lung in range(len(LUNGS)))


def total(amounts: Iterable[Amounts]) -> Amounts:
    """The sum over regions."""
    return tuple(sum(of_class, start=_NOTHING) for of_class in zip(*amounts, strict=True))


def describe(amounts: Amounts, spacing: Spacing) -> Region:
    """The figures of a region; density is that of a mixture of air and water, (HU + 1000) / 1000 g/mL, at least 0."""
    ml = voxel_ml(spacing)
    lung = sum(amounts, start=_NOTHING)
    named = dict(zip((c.name for c in LUNG), amounts, strict=True))
    has_hu = lung.hu is not None
    return Region(
        volumes_ml={name: one.voxels * ml for name, one in named.items()},
        lung_ml=lung.voxels * ml,
        percent={name: percent(one.voxels, lung.voxels) for name, one in named.items()},
        involvement_percent=percent(sum(named[c.name].voxels for c in LESION), lung.voxels),
        mean_hu={n: _mean(one) for n, one in {**named, "lung": lung}.items()} if has_hu else None,
        mass_g={n: (one.density or 0.0) * ml for n, one in {**named, "lung": lung}.items()} if has_hu else None,
    )


def grade(involvement_percent: float | None) -> int | None:
    """The severity of a lung's disease, 0 to 5, by the diseased share; None if there is no lung.

    0 none, 1 below 5 %, 2 to 25, 3 below 50, 4 to 75, 5 above: the steps of each lobe in Pan et al., Radiology
    2020;295:715.
    """
    share = involvement_percent
    if share is None:
        return None
    return sum((share > 0, share >= 5, share > 25, share >= 50, share > 75))


def _of_slice(mask: Labels, is_left: npt.NDArray[np.bool_], values: LungValues | None) -> npt.NDArray[np.float64]:
    """Voxels, HU and density of a slice, (3, lungs, classes)."""
    lung = mask > 0
    bins = mask[lung] + is_left[lung] * np.uint8(len(CLASSES))
    weights: list[npt.NDArray[np.float64] | None] = [None]
    if values is not None:
        hu = values.astype(float)
        weights += [hu, np.maximum(hu - _AIR_HU, 0) / _WATER_HU]
    sums = np.zeros((3, len(LUNGS), len(CLASSES)))
    for sums_of, weight in zip(sums, weights, strict=False):
        sums_of[...] = np.bincount(bins, weight, minlength=sums_of.size).reshape(sums_of.shape)
    kept: npt.NDArray[np.float64] = sums[:, :, [c.index for c in LUNG]]
    return kept


def _by_third(sums: npt.NDArray[np.float64], *, with_hu: bool) -> tuple[Amounts, ...]:
    """From the sums (slices, 3, classes) of one lung."""
    third_of = thirds(sums[:, 0].sum(axis=1))
    found = []
    for third in range(len(THIRDS)):
        voxels, hu, density = sums[third_of == third].sum(axis=0)
        found.append(
            tuple(
                Amount(float(n), float(h), float(d)) if with_hu else Amount(float(n))
                for n, h, d in zip(voxels, hu, density, strict=True)
            )
        )
    return tuple(found)


def _sum(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one + other


def _mean(amount: Amount) -> float | None:
    return None if amount.hu is None or not amount.voxels else amount.hu / amount.voxels
