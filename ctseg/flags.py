"""The flags of a scan: what makes its figures doubtful, in words.

The same words are used in summary.json, its tables and the report, which also explains each.
"""

import re
from collections.abc import Iterable

# Where the slices of a series lie.
GAP = "gap"
UNEVEN_SPACING = "uneven spacing"
FAR_APART = "slices far apart"
DUPLICATE_POSITIONS = "duplicate positions"
PARTS_MISSING = "parts missing"
SEVERAL_PATIENTS = "several patients"
SEVERAL_ACQUISITIONS = "several acquisitions"
IN_SEVERAL_FOLDERS = "other files of the series in another folder"

# What slices are ordered by if they have no positions.
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
"""The files do not say how their numbers become HU, or these can't be HU."""
COMPUTED = "projection or subtraction"
"""Some slices are computed from several (MIP, MinIP) or from several scans: no plain HU."""
LABEL_MAP = "looks like a label map"
"""It is probably a mask, not a scan."""
COLOURED = "colour turned grey"
"""Some pictures are in colour: CT is not."""

# What was found in them.
NO_LUNG_FOUND = "no lung found"
IMPLAUSIBLE_LUNG = "implausible lung volume"
CUT_OFF_AT_FIRST = "lungs cut off at the first slice"
CUT_OFF_AT_LAST = "lungs cut off at the last slice"
CUT_OFF_AT_SIDES = "lungs cut off at the sides"
NARROW = "narrow field of view"
"""There may be only one lung in it, and nobody knows which."""
NO_STACK = "too many images for a stack"

# What was made of them.


def failed(slices: str) -> str:
    """For slices of a stack that could not be read: `3 slices failed`."""
    return f"{slices} failed"


FAILED_ARE_BACKGROUND = "failed slices are background in nifti"


def no_output(kind: str, reason: str = "") -> str:
    """For an output that could not be made of a whole scan: `no nifti`, or `no nifti: ` and the reason."""
    return f"no {kind}: {reason}" if reason else f"no {kind}"


def lung_absent(lung: str) -> str:
    """For one of the two lungs: `no left lung`."""
    return f"no {lung} lung"


NOT_SCORED = "no reference"
"""For a scan of which no slice was compared: there is no score that this could make doubtful."""


SOME_SLICES = "some slices"
_NUMBER_OF_SLICES = re.compile(r"[\d,]+ slices?")


def without_number(flag: str) -> str:
    """A flag without its number of slices, so that scans which differ only in that are grouped."""
    return _NUMBER_OF_SLICES.sub(SOME_SLICES, flag)


def kind_of(flag: str) -> str:
    """A flag without its number of slices, and without a reason."""
    return without_number(flag).partition(": ")[0]


def order_among(found: Iterable[str]) -> str:
    """The flag that says what slices are ordered by; empty if there is none."""
    return next((flag for flag in found if flag.startswith(ORDER)), "")


_NO_DOUBTS = frozenset((NOT_SCORED, FAILED_ARE_BACKGROUND, no_output("nifti"), no_output("dicom-seg")))


def doubts_among(found: Iterable[str]) -> list[str]:
    """The flags that make figures of a scan doubtful, without those on its other outputs."""
    return [flag for flag in found if kind_of(flag) not in _NO_DOUBTS]


def no_truth_for(slices: str) -> str:
    """For slices that were not compared: `no reference for 3 slices`."""
    return f"no reference for {slices}"
