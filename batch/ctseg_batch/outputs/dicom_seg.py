"""A series' masks as one DICOM Segmentation (PS3.3, A.51), made by highdicom."""

# highdicom and pydicom have annotations here and there only.
# mypy: disable-error-code="no-untyped-call"

import hashlib
import io
import logging
from typing import TYPE_CHECKING

import numpy as np

from ctseg import __version__
from ctseg.classes import Labels
from ctseg.errors import UnreadableFile
from ctseg.grid import NoGrid
from ctseg_batch.network.engine import Engine
from ctseg_batch.outputs.labelled_scan import (
    DICOM_ALONE,
    NO_FRAMES,
    LabelledScan,
    OutputNotApplicable,
    OutputUnavailable,
)
from ctseg_batch.outputs.segments import PROPERTIES, Property, segment_descriptions

if TYPE_CHECKING:
    from highdicom.seg import Segmentation
    from pydicom.dataset import Dataset

_ABOVE_SOURCE = 1000  # added to the number of the source's series
_MOST_DIGITS = 10**9


def segmentation(labelled: LabelledScan) -> bytes:
    """The bytes of a DICOM Segmentation; the same for the same masks of the same series by the same model.

    It carries the source's patient and study, as it has to, and refers to the slices that have a mask. Classes of which
    there is nothing are left out: it describes the segments that it contains (PS3.3, C.8.20.2). Raises
    OutputUnavailable, and UnreadableFile for a source that can't be read once more.
    """
    from ctseg.reading.dicom_file import without_warnings
    from ctseg.reading.dicom_series import DicomSeries
    from ctseg_batch.outputs.seg_sources import read_sources

    scan, masks = labelled.scan, labelled.masks
    if not isinstance(scan, DicomSeries):
        raise OutputNotApplicable(DICOM_ALONE)
    if scan.enhanced_file:
        raise OutputNotApplicable(NO_FRAMES)
    found = [meant for meant in PROPERTIES if any((mask == meant.tissue.index).any() for mask in masks.values())]
    if not found:
        raise OutputUnavailable("no lung was found")
    order = sorted(masks)
    try:
        step = labelled.spacing[0] if labelled.spacing else None
        sources = read_sources([scan.slices[index] for index in order], step)
        with without_warnings():
            made = _made(sources, _numbered([masks[index] for index in order], found), found, labelled.engine)
            return _bytes(made)
    except (OutputUnavailable, UnreadableFile, MemoryError):
        raise
    except NoGrid as error:
        raise OutputUnavailable(str(error)) from error
    except Exception as error:
        # highdicom and pydicom raise whatever they meet in others' headers, and quote it: a name?
        raise OutputUnavailable("its headers hold values that can't be copied") from error


def _numbered(masks: "list[Labels]", found: "list[Property]") -> Labels:
    """The masks (slices, H, W) with the numbers of segments in place of the classes'."""
    number = np.zeros(256, np.uint8)
    for segment, meant in enumerate(found, start=1):
        number[meant.tissue.index] = segment
    return number[np.stack(masks)]


def _made(sources: "list[Dataset]", masks: Labels, found: "list[Property]", engine: Engine) -> "Segmentation":
    from highdicom.seg import Segmentation
    from pydicom.uid import generate_uid

    logger = logging.getLogger("highdicom")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())  # else its remarks on odd headers go to standard error
    first = sources[0]
    source_series = str(first.StudyInstanceUID), str(first.SeriesInstanceUID)
    by_model = [*source_series, __version__, engine.sha256, engine.spec.precision]
    own = [*by_model, *(str(source.SOPInstanceUID) for source in sources), hashlib.sha256(masks.tobytes()).hexdigest()]
    made = Segmentation(
        source_images=sources,
        pixel_array=masks,
        segmentation_type="BINARY",
        segment_descriptions=segment_descriptions(found, engine),
        series_instance_uid=generate_uid(entropy_srcs=["series", *by_model]),
        series_number=_ABOVE_SOURCE + max(int(first.get("SeriesNumber") or 0), 0) % _MOST_DIGITS,
        sop_instance_uid=generate_uid(entropy_srcs=["instance", *own]),
        instance_number=1,
        manufacturer="ctseg",
        manufacturer_model_name="ctseg",
        software_versions=__version__,
        device_serial_number=engine.sha256,
        content_label="CTSEG",
        content_description="Normal lung, ground glass, consolidation",
        series_description="ctseg: normal lung, ground glass, consolidation",
        specific_character_set="ISO_IR 192",
        content_date=first.ContentDate,
        content_time=first.ContentTime,
    )
    _make_reproducible(made, generate_uid(entropy_srcs=["dimensions", *own]))
    return made


def _make_reproducible(made: "Segmentation", dimensions: str) -> None:
    """Replace what highdicom draws by chance or reads from the clock; name nobody as the creator."""
    made.ContentCreatorName = ""
    del made.InstanceCreationDate, made.InstanceCreationTime
    for equipment in made.ContributingEquipmentSequence:
        if equipment.get("ManufacturerModelName") == "highdicom":
            del equipment.ContributionDateTime
    for item in (*made.DimensionOrganizationSequence, *made.DimensionIndexSequence):
        item.DimensionOrganizationUID = dimensions


def _bytes(made: "Segmentation") -> bytes:
    stream = io.BytesIO()
    made.save_as(stream, enforce_file_format=True)
    return stream.getvalue()
