"""The flags of a scan: what makes its figures doubtful, in words.

The same words stand in summary.json, in its tables and in the report, which also says what each means for the figures.
"""

from collections.abc import Iterable

# Where the slices of a series lie.
GAP = "gap"
UNEVEN_SPACING = "uneven spacing"
FAR_APART = "slices far apart"
DUPLICATE_POSITIONS = "duplicate positions"
PARTS_MISSING = "parts missing"
IN_SEVERAL_FOLDERS = "other files of the series in another folder"

# By what they are in order where positions don't tell.
ORDER = "order by "
BY_LOCATION = f"{ORDER}SliceLocation"
BY_NUMBER = f"{ORDER}InstanceNumber"
BY_NAME = f"{ORDER}file name"

# How slices are turned.
OBLIQUE = "oblique"
GANTRY_TILT = "gantry tilt"
MIXED_ORIENTATIONS = "mixed orientations"
UNKNOWN_ORIENTATION = "orientation unknown"
TWO_ORIENTATIONS = "two orientations"
SIDES_ASSUMED = "sides assumed"

# How large they are.
MIXED_SIZES = "mixed sizes"
MIXED_PIXEL_SPACING = "mixed pixel spacing"
TWO_SPACINGS = "two spacings"
DEFAULT_SPACING = "spacing may be a default"

# What their pixels are.
NOT_HU = "not rescaled to HU"
"""The files do not say how their numbers become HU, or those of a volume can be none."""
COMPUTED = "projection or subtraction"
"""Some slices are computed from several (MIP, MinIP) or from several scans: no plain HU."""
LABEL_MAP = "looks like a label map"
"""It is rather the mask of a scan."""
COLOURED = "colour turned grey"
"""Some pictures are in colour: CT is not."""

# What was found in them.
NO_LUNG_FOUND = "no lung found"
IMPLAUSIBLE_LUNG = "implausible lung volume"
CUT_OFF_AT_FIRST = "lungs cut off at the first slice"
CUT_OFF_AT_LAST = "lungs cut off at the last slice"
NO_STACK = "too many images for a stack"

# What was made of them.


def failed(slices: str) -> str:
    """Of some in a stack that could not be read: `3 slices failed`."""
    return f"{slices} failed"


FAILED_ARE_BACKGROUND = "failed slices are background in nifti"


def no_output(kind: str) -> str:
    """Of what could not be made of a whole scan: `no nifti`; why, follows after a colon."""
    return f"no {kind}"


def lung_absent(lung: str) -> str:
    """Of one of the two: `no left lung`."""
    return f"no {lung} lung"


NOT_SCORED = "no reference"
"""Of a scan of which nothing was compared: there is no score that it could make doubtful."""


_NO_DOUBTS = frozenset((NOT_SCORED, FAILED_ARE_BACKGROUND, no_output("nifti"), no_output("dicom-seg")))


def doubts_among(found: Iterable[str]) -> list[str]:
    """The flags of a scan that make any of its figures doubtful: not those on what else was made of it."""
    return [flag for flag in found if flag.partition(":")[0] not in _NO_DOUBTS]


def no_truth_for(slices: str) -> str:
    """Of some that were not compared: `no reference for 3 slices`."""
    return f"no reference for {slices}"
