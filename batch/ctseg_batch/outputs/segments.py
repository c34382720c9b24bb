"""What the segments of a DICOM Segmentation stand for, in coded terms, and what made them."""

# highdicom and pydicom have annotations here and there only.
# mypy: disable-error-code="no-untyped-call"

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ctseg import __version__
from ctseg.classes import CONSOLIDATION, GROUND_GLASS, NORMAL_LUNG, TissueClass
from ctseg_batch.network.engine import Engine

if TYPE_CHECKING:
    from highdicom.seg import SegmentDescription

Code = tuple[str, str, str]
"""Value, coding scheme, meaning."""


@dataclass(frozen=True)
class Property:
    """A class in SNOMED CT: a category (PS3.16, CID 7150), what it is, what modifies that, and where it is found."""

    tissue: TissueClass
    category: Code
    type: Code
    modifier: Code | None = None
    region: Code | None = None


_LUNG: Code = ("39607008", "SCT", "Lung")
_ANATOMY: Code = ("91723000", "SCT", "Anatomical Structure")
_ABNORMAL: Code = ("49755003", "SCT", "Morphologically Abnormal Structure")

PROPERTIES = (
    Property(NORMAL_LUNG, _ANATOMY, _LUNG, modifier=("17621005", "SCT", "Normal")),
    Property(GROUND_GLASS, _ABNORMAL, ("1217294009", "SCT", "Ground glass lung opacity"), region=_LUNG),
    Property(CONSOLIDATION, _ABNORMAL, ("95436008", "SCT", "Lung consolidation"), region=_LUNG),
)
"""In the order of the classes."""

_ALGORITHM_FAMILY: Code = ("123110", "DCM", "Artificial Intelligence")


def segment_descriptions(properties: Sequence[Property], engine: Engine) -> "list[SegmentDescription]":
    """The segments in their order, numbered from 1."""
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.color import CIELabColor
    from highdicom.seg import SegmentDescription
    from highdicom.sr import CodedConcept

    algorithm = AlgorithmIdentificationSequence(
        name=f"ctseg {engine.spec.name}"[:64],
        family=CodedConcept(*_ALGORITHM_FAMILY),
        version=engine.spec.version[:64],
        source="ctseg",
        parameters={"ctseg": __version__, "sha256": engine.sha256, "precision": engine.spec.precision},
    )
    described = []
    for number, meant in enumerate(properties, start=1):
        segment = SegmentDescription(
            segment_number=number,
            segment_label=meant.tissue.title.capitalize(),
            segmented_property_category=CodedConcept(*meant.category),
            segmented_property_type=CodedConcept(*meant.type),
            algorithm_type="AUTOMATIC",
            algorithm_identification=algorithm,
            anatomic_regions=[CodedConcept(*meant.region)] if meant.region else None,
            display_color=CIELabColor.from_rgb(*meant.tissue.colour),
        )
        if meant.modifier:
            (kind,) = segment.SegmentedPropertyTypeCodeSequence
            kind.SegmentedPropertyTypeModifierCodeSequence = [CodedConcept(*meant.modifier)]
        described.append(segment)
    return described
