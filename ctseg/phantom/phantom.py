"""The phantom: a made-up patient's chest CT, slice by slice, with the truth beside it."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt

from ctseg.classes import Labels
from ctseg.phantom.build import Build, draw_build
from ctseg.phantom.patient import Patient, draw_patient
from ctseg.phantom.plane import Canvas, Field, Plane
from ctseg.phantom.texture import ct_noise
from ctseg.spacing import Spacing

HU = npt.NDArray[np.int16]

# The part of the reference body that a chest CT covers, z in mm; the middle (x, y) and width of the picture.
_COVERAGE = (-182.0, 122.0)
_MIDDLE = (0.0, -38.0)
_FIELD_OF_VIEW = 392.0
# How far the reconstruction blurs: the deviation in mm of its point spread.
_BLUR = 0.55
# The thinnest and the thickest slice, in mm.
_THICKNESS = (0.6, 3.0)
_OUTSIDE_HU, _BRIGHTEST_HU = -1024, 3071
# Streams of random numbers from one seed: one for the patient, one for the noise.
_PATIENT, _NOISE = 0, 1


@dataclass(frozen=True)
class Phantom:
    """A chest CT of nobody. The same values give the same pictures, and no slice depends on the others drawn.

    `slices` and `size` (pixels, rows and columns) are free. `spacing` is (z, y, x) in mm; without it the slices
    share out the whole chest. `disease` is the share of the lung, 0 to 0.9, that is ground glass or consolidated.
    Raises ValueError for what can't be drawn.
    """

    seed: int = 0
    slices: int = 60
    size: int = 512
    spacing: Spacing | None = None
    disease: float = 0.2

    def __post_init__(self) -> None:
        """Refuse what can't be drawn."""
        if self.seed < 0 or self.slices < 1 or self.size < 16:
            raise ValueError(f"a phantom needs a seed from 0, slices from 1 and a size from 16, not {self}")
        if not 0 <= self.disease <= 0.9:
            raise ValueError(f"disease is {self.disease}, not a share from 0 to 0.9")
        if self.spacing is not None and not min(self.spacing) > 0:
            raise ValueError(f"the spacing {self.spacing} is not positive")

    def __len__(self) -> int:
        return self.slices

    def __iter__(self) -> Iterator[tuple[HU, Labels]]:
        return (self.slice(index) for index in range(self.slices))

    @cached_property
    def spacing_mm(self) -> Spacing:
        """Distance of voxel centres along z, y, x."""
        if self.spacing is not None:
            return self.spacing
        pitch = round(_FIELD_OF_VIEW / self.size, 6)
        return (round((_COVERAGE[1] - _COVERAGE[0]) * self._build.stretch[2] / self.slices, 6), pitch, pitch)

    @property
    def thickness_mm(self) -> float:
        """How much of the body along z a slice sees: no more than 3 mm, however far apart the slices lie."""
        return float(np.clip(self.spacing_mm[0], *_THICKNESS))

    def origin_mm(self, index: int) -> tuple[float, float, float]:
        """Where the middle of a slice's first pixel lies: x to the patient's left, y to the back, z to the head.

        These are the axes of DICOM's Image Position (Patient), (0020,0032).
        """
        z, y, x = self.spacing_mm
        half = (self.size - 1) / 2
        level = sum(_COVERAGE) / 2 * self._build.stretch[2] + (index - (self.slices - 1) / 2) * z
        return (round(_MIDDLE[0] - half * x, 6), round(_MIDDLE[1] - half * y, 6), round(level, 6))

    def slice(self, index: int) -> tuple[HU, Labels]:
        """Draw a slice, counted from the feet up: HU (H, W) and class indices (H, W).

        Shown as radiologists see it: front up, the patient's right on the left. Raises IndexError.
        """
        if not 0 <= index < self.slices:
            raise IndexError(f"there is no slice {index} among {self.slices}")
        plane = self._plane(index)
        canvas = Canvas(plane)
        labels = self._patient.paint(canvas)
        across, along = (max(_BLUR / pitch, 0.3) for pitch in plane.pitch)
        hu = cv2.GaussianBlur(canvas.hu, (0, 0), across, sigmaY=along)
        random = np.random.default_rng((self.seed, _NOISE, index))
        # Bone on both sides starves the detector at the shoulders.
        starved = float(np.clip((plane.z - 60) / 40, 0, 1))
        noise = ct_noise(random, plane, streak=0.35 + 0.9 * starved) * self._noise_level(plane, starved)
        noisy = np.where(_seen(self.size), hu + noise, _OUTSIDE_HU)
        return np.rint(np.clip(noisy, _OUTSIDE_HU, _BRIGHTEST_HU)).astype(np.int16), labels

    def volume(self) -> tuple[HU, Labels]:
        """All slices: HU and class indices, (slices, H, W)."""
        hu = np.empty((self.slices, self.size, self.size), np.int16)
        labels = np.empty(hu.shape, np.uint8)
        for index, drawn in enumerate(self):
            hu[index], labels[index] = drawn
        return hu, labels

    def _plane(self, index: int) -> Plane:
        """Where a slice lies in the reference body, of which the patient is a stretched copy."""
        _, y, x = self.spacing_mm
        left, front, level = self.origin_mm(index)
        wide, deep, high = self._build.stretch
        return Plane(
            size=self.size,
            z=level / high,
            half_thickness=self.thickness_mm / 2 / high,
            pitch=(x / wide, y / deep),
            corner=(left / wide, _MIDDLE[1] + (front - _MIDDLE[1]) / deep),
        )

    def _noise_level(self, plane: Plane, starved: float) -> Field:
        """The deviation (H, W) in HU: fewer photons come through the middle than along the skin."""
        deep = np.exp(-((plane.x / 150) ** 2) - ((plane.y + 35) / 110) ** 2)
        level = self._build.noise * (1 + 0.5 * starved)
        return np.asarray(level * (0.4 + 0.75 * deep), np.float32)

    @cached_property
    def _build(self) -> Build:
        """The patient's, without the rest: it is drawn first, and says all that the headers of slices hold."""
        return draw_build(np.random.default_rng((self.seed, _PATIENT)))

    @cached_property
    def _patient(self) -> Patient:
        return draw_patient(np.random.default_rng((self.seed, _PATIENT)), self.disease)


def _seen(size: int) -> npt.NDArray[np.bool_]:
    """The circle (H, W) that the scanner sees; it leaves out the corners."""
    away = (np.arange(size) - (size - 1) / 2) ** 2
    seen: npt.NDArray[np.bool_] = away[:, None] + away < (1.25 * size / 2) ** 2
    return seen
