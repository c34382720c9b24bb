"""A chest CT of nobody, drawn from a seed, with the exact truth beside it.

    hu, labels = Phantom(seed=1, slices=60, disease=0.2).slice(30)

The parts are drawn from the outside in, each from its own module: `torso`, `abdomen`, `mediastinum`, `lungs` (with
`vessels` and `lesions`) and `skeleton`. They are outlines and tubes in mm (`shapes`) that a slice cuts (`plane`),
varied from a `reference` body.
"""

from ctseg.phantom.phantom import Phantom
from ctseg.phantom.writers import write_dataset, write_dicom, write_images, write_nifti

__all__ = ["Phantom", "write_dataset", "write_dicom", "write_images", "write_nifti"]
