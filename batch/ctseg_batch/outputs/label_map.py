"""A scan's masks as one NIfTI volume, each voxel where its source has it."""

# nibabel has annotations here and there only.
# mypy: disable-error-code="no-untyped-call"

import gzip
import json

import numpy as np

from ctseg import __version__
from ctseg.classes import CLASSES
from ctseg.grid import Grid, NoGrid, NoPlaces, stacked_grid
from ctseg.spacing import Spacing
from ctseg_batch.network.engine import Engine
from ctseg_batch.outputs.label_tables import ITK_SNAP_TABLE
from ctseg_batch.outputs.labelled_scan import LabelledScan, OutputNotApplicable, OutputUnavailable


def label_map(labelled: LabelledScan) -> bytes:
    """The bytes of a .nii.gz of labels; the same for the same masks.

    Raises OutputUnavailable for a scan that no affine can describe. A slice that failed is background. A comment in the
    header's extension says in JSON what the labels mean and which model gave them; other programs ignore it.
    """
    from nibabel.nifti1 import Nifti1Extension, Nifti1Image
    from nibabel.nifti2 import Nifti2Header, Nifti2Image

    grid = _grid(labelled)
    header = grid.header.copy()
    header.set_data_dtype(np.uint8)
    header.set_intent("label", name="ctseg")
    header["aux_file"] = ITK_SNAP_TABLE.encode()  # NIfTI-1: where the names of labels are
    header["descrip"] = f"ctseg {__version__}".encode()
    header.extensions.append(Nifti1Extension("comment", _meaning(labelled.engine).encode()))
    form = Nifti2Image if isinstance(header, Nifti2Header) else Nifti1Image
    return gzip.compress(form(grid.filled(labelled.masks), None, header).to_bytes(), 6, mtime=0)


def _grid(labelled: LabelledScan) -> Grid:
    try:
        try:
            return labelled.scan.grid(labelled.spacing)
        except NoPlaces as error:
            if labelled.spacing is None:
                raise OutputUnavailable(f"{error}, and there is no --spacing") from error
            return _stacked(labelled, labelled.spacing)
    except NoGrid as error:
        raise OutputUnavailable(str(error)) from error


def _stacked(labelled: LabelledScan, spacing: Spacing) -> Grid:
    """The grid of images, which lie one on the other at the spacing of the call."""
    shapes = {mask.shape for mask in labelled.masks.values()}
    if len(shapes) > 1:
        raise OutputNotApplicable("images of several sizes")
    ((rows, columns),) = shapes
    return stacked_grid(len(labelled.scan), (rows, columns), spacing)


def _meaning(engine: Engine) -> str:
    model = {"name": engine.spec.name, "version": engine.spec.version, "sha256": engine.sha256}
    labels = [{"value": tissue.index, "name": tissue.name, "rgb": tissue.colour} for tissue in CLASSES]
    return json.dumps({"program": f"ctseg {__version__}", "model": model, "labels": labels})
