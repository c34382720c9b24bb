"""A made-up patient: all the parts, and the order in which they are painted."""

from dataclasses import dataclass, replace

import numpy as np

from ctseg.classes import Labels
from ctseg.phantom.abdomen import Abdomen, draw_abdomen
from ctseg.phantom.build import draw_build
from ctseg.phantom.chest import Chest, draw_chest
from ctseg.phantom.lesions import draw_patches
from ctseg.phantom.lungs import Lungs, draw_lungs
from ctseg.phantom.mediastinum import Mediastinum, draw_mediastinum
from ctseg.phantom.plane import Canvas, union
from ctseg.phantom.reference import read_reference
from ctseg.phantom.skeleton import Skeleton, draw_skeleton
from ctseg.phantom.survey import survey_lungs
from ctseg.phantom.torso import Torso, draw_torso, paint_table


@dataclass(frozen=True)
class Patient:
    """All that one patient is made of."""

    chest: Chest
    torso: Torso
    skeleton: Skeleton
    abdomen: Abdomen
    mediastinum: Mediastinum
    lungs: Lungs

    def paint(self, canvas: Canvas) -> Labels:
        """Paint a slice from the outside in, later parts over earlier ones; gives back the truth (H, W)."""
        plane = canvas.plane
        ribcage = self.chest.wall(plane.z)
        spaces = self.chest.spaces(plane)
        paint_table(canvas)
        self.torso.paint(canvas, ribcage)
        self.abdomen.paint(canvas, spaces)
        solid = self.mediastinum.paint(canvas, spaces)
        # The pleura goes round the vertebral bodies, which bulge into the chest.
        spine = union(plane, [self.skeleton.spine.body(plane, margin=1.5)])
        self.skeleton.paint(canvas, ribcage)
        return self.lungs.paint(canvas, spaces.lung * (1 - np.maximum(solid, spine)))


def draw_patient(random: np.random.Generator, disease: float) -> Patient:
    """Draw a patient of whose lung the share `disease` is ill."""
    reference = read_reference()
    build = draw_build(random)
    chest = draw_chest(random, reference, build)
    survey = survey_lungs(chest)
    # The disease comes last, so that the same seed is the same patient, ill or well.
    torso, skeleton = draw_torso(random, reference, build), draw_skeleton(random, reference)
    abdomen, mediastinum = draw_abdomen(random, reference), draw_mediastinum(random, reference)
    lungs = draw_lungs(random, survey, build.parenchyma)
    if disease:
        lungs = replace(lungs, patches=draw_patches(random, survey, disease))
    return Patient(chest, torso, skeleton, abdomen, mediastinum, lungs)
