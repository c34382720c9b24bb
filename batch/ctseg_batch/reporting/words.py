"""The words of the report: numbers, flags explained, pictures described."""

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

import numpy as np

from ctseg import flags
from ctseg.classes import CLASSES, LESION, LUNG, Labels, TissueClass
from ctseg.flags import SOME_SLICES
from ctseg.lungs import LUNGS
from ctseg.measures import FAR_APART_MM, PLAUSIBLE_LUNG_ML
from ctseg.printable import count, decimals, printable
from ctseg.spacing import Spacing
from ctseg.turn import Side, Turn

DEPTH_ALT = "The whole lung seen through from the front, disease in colour"
UNKNOWN = "\N{EN DASH}"
SEVERITY_STEPS = "Each lung is graded from 0 (no disease) and 1 (below 5 %, even a speck) to 5 (above 75 %)."

_LOW, _HIGH = (f"{volume / 1000:g}" for volume in PLAUSIBLE_LUNG_ML)
_FLAGS: Mapping[str, str] = {
    flags.LABEL_MAP: "Its slices contain only a few distinct values, as masks do: if it is not CT, its figures "
    "mean nothing.",
    flags.COLOURED: "Images were in colour, which CT is not: if they are not plain slices, the figures mean nothing.",
    flags.NO_LUNG_FOUND: "There is no lung in any slice: it may not be a chest CT, or not one that the model can read.",
    flags.IMPLAUSIBLE_LUNG: f"The lungs hold less than {_LOW} or more than {_HIGH} litres: part of them may be "
    "missing, or something else was taken for lung.",
    flags.CUT_OFF_AT_FIRST: "The scan begins inside the lungs, at the foot end: volumes are too small.",
    flags.CUT_OFF_AT_LAST: "The scan ends inside the lungs, at the head end: volumes are too small.",
    flags.CUT_OFF_AT_SIDES: "The field of view cuts the lungs off: volumes are too small, percentages are of what is "
    "in view, and neither lung is measured by itself.",
    flags.NARROW: "The picture is too narrow for both lungs of an adult. Which ones are in view is not known, so "
    "neither is measured by itself.",
    flags.GAP: "Slices are missing in between, or lie farther apart than most: those on either side stand for what "
    "would be there.",
    flags.UNEVEN_SPACING: "The slices are not evenly spaced: each stands for half the way to its neighbours.",
    flags.FAR_APART: f"Slices are more than {FAR_APART_MM:g} mm apart: volumes, above all those of lesions, are rough.",
    flags.DUPLICATE_POSITIONS: "Several slices are at one position: each counts for its share of it.",
    flags.IN_SEVERAL_FOLDERS: "Another folder holds files of the same series: put them into one "
    "folder, or, if they are copies, leave one out; copies count twice in the totals.",
    flags.GANTRY_TILT: "Slices are shifted against each other, as by a tilted scanner, so a lesion in several "
    "slices may count as several.",
    flags.SEVERAL_ACQUISITIONS: "Slices of several acquisitions alternate, or do not share one frame of reference: if "
    "the patient breathed or moved in between, figures are of neither.",
    flags.SEVERAL_PATIENTS: "The files name several patients, though nothing else tells their slices apart: put "
    "those of each patient into a folder of their own.",
    flags.OBLIQUE: "The slices are not axial; the model was trained on axial ones.",
    flags.MIXED_ORIENTATIONS: "The slices are oriented differently: each is turned upright by its own header, "
    "but they may not lie pixel on pixel, which lesions and distances assume.",
    flags.MIXED_SIZES: "The slices have different numbers of pixels: if the smaller ones show as much, volumes by one "
    "spacing are wrong, and they count for less in percentages.",
    flags.MIXED_PIXEL_SPACING: "The pixels of some slices are larger than those of others: each slice counts with "
    "its own, and neither lesions nor distances are measured.",
    flags.TWO_SPACINGS: "The header gives two spacings: volumes follow its sform, other programs may follow its "
    "pixdim.",
    flags.DEFAULT_SPACING: "The voxels measure 1 mm each way and begin at 0, as when they are saved without a "
    "spacing, or the file is a picture without a thickness: if they are of another size, volumes are wrong, and slices "
    "may be mirrored or upside down.",
    flags.TWO_ORIENTATIONS: "The header gives two orientations: slices are turned by its sform, and may be mirrored "
    "or upside down.",
    flags.NOT_HU: "Nothing says that the values are Hounsfield units, or many are higher than any (as where signed "
    "numbers are said to be unsigned); they were taken as they are, or as grey values if none is as low as air.",
    flags.COMPUTED: "Slices are computed from several, as in a MIP or MinIP, or from two scans: their values are not "
    "plain Hounsfield units, and figures are off.",
    flags.PARTS_MISSING: "The scan is spread over several files, and some are missing: volumes are too small.",
    flags.UNKNOWN_ORIENTATION: "The file does not say which way is up: slices may be mirrored or upside down.",
    **{flags.lung_absent(lung): f"No {lung} lung was found: its figures are empty." for lung in LUNGS},
    flags.SIDES_ASSUMED: "The files do not say which side is which, or disagree: the patient's right is taken to be "
    "on the left, and slices to run from the feet up unless positions say otherwise. If they do not, upper and lower "
    "are exchanged.",
    flags.NO_STACK: "The folder holds more images than a scan has slices: regions are not measured.",
    flags.BY_LOCATION: "Some files don't give positions; the order of their slices follows SliceLocation.",
    flags.BY_NUMBER: "Some files don't give positions; unless others do, the slices are taken to be "
    "numbered from the head down. If they are not, upper and lower are exchanged.",
    flags.BY_NAME: "The files don't give positions; the slices are taken to be named from the feet up. If they "
    "are not, upper and lower are exchanged.",
    flags.NOT_SCORED: "It has no usable reference mask: it is not scored.",
    flags.no_truth_for(SOME_SLICES): "IoU and Dice rest on the other slices.",
    flags.failed(
        SOME_SLICES
    ): "They are missing from all figures: volumes are too small, unless there is a gap in their "
    "place, which the slices on either side fill.",
    flags.FAILED_ARE_BACKGROUND: "The label map of the whole scan is empty where a slice failed.",
    flags.no_output("nifti"): "There is no label map of the whole scan; masks and figures are not affected.",
    flags.no_output("dicom-seg"): "There is no DICOM Segmentation of the scan; masks and figures are not affected.",
}


def number(value: float | None, digits: int = 0) -> str:
    """`5,760`, `-812` with a true minus, `<0.1` for what is little but not nothing, or a dash for an unknown value."""
    return UNKNOWN if value is None else with_minus(decimals(value, digits))


def signed(value: float | None) -> str:
    """A difference to a tenth: `+12.0`, `-4.0` with a true minus, `0.0`, or a dash."""
    shown = None if value is None else round(value, 1)
    return f"+{number(shown, 1)}" if shown is not None and shown > 0 else number(shown, 1)


def with_minus(text: str) -> str:
    """A number with a minus as wide as a plus."""
    return text.replace("-", "\N{MINUS SIGN}")


def group_title(name: str) -> str:
    """A class or a group of classes as people write it: `ground glass + consolidation`."""
    return name.replace("_", " ").replace("+", " + ")


def explain(flag: str) -> str:
    """What a flag means for the scan's numbers; empty for an unknown one."""
    return _FLAGS.get(flags.kind_of(flag), "")


def status_told(status: str, flagged: Sequence[str]) -> str:
    """A scan's status; one that is done, but with doubts, says so: `ok, 2 flags`."""
    doubts = flags.doubts_among(flagged)
    return f"{status}, {count(len(doubts), 'flag')}" if status == "ok" and doubts else status


def slice_name(index: int, file: str) -> str:
    """`43`, as slices.csv counts; `43 (060.png)` of one that has a file to itself."""
    return f"{index} ({printable(PurePosixPath(file).name)})" if file else str(index)


def tile_alt(index: int, file: str, pixels: Sequence[int]) -> str:
    """The description of a slice in the montage."""
    return f"Slice {slice_name(index, file)}: {_shares(pixels)}"


def order_told(doubts: Sequence[str], spacing: Spacing | None, right: Side | None, *, is_series: bool) -> str:
    """The order of a scan's slices; images without positions are in the order of their names."""
    flagged = flags.order_among(doubts)
    if not flagged and right:
        return "from the feet to the head"
    if not flagged and is_series:
        return "by their positions, which are taken to run from the feet to the head"
    if not flagged and spacing:
        return "as they are stored, which is taken to be from the feet to the head"
    if flagged == flags.BY_NUMBER:  # which count from the head down, unless some positions tell
        return "in the order worked out from InstanceNumbers"
    return f"in the order of {flagged.removeprefix(flags.ORDER) or 'file name'}s"


def lungs_told(right: Side | None) -> str:
    """Which lung is where in a view from the front, by the side of the slices on which the patient's right is."""
    return "which lung is the right one is not known" if right is None else "right lung on the left"


def stored_told(right: Side) -> str:
    """A line on where the patient's right is in slices as stored."""
    side = f"at the {right}" if Turn.facing(right).transposed else f"on the {right}"
    return f"Its slices are shown as they are stored, with the patient's right {side}."


def missing_told(masks: int) -> str:
    """The note on masks that are missing or damaged."""
    its = "A mask of it is" if masks == 1 else f"{masks:,} masks of it are"
    return (
        f"{its} missing or damaged, so it is not shown from the front: the same call of ctseg batch makes what is "
        "missing again."
    )


def lost_told(many: int) -> str:
    """A line on what view and profile do not show of a DICOM series."""
    are, they_lie = ("is", "it lies") if many == 1 else ("are", "they lie")
    return f"{count(many, 'file')} that could not be read {are} missing from it; where {they_lie} is not known."


def plane_alt(line: str, labels: Labels, *, has_ct: bool, is_head_known: bool) -> str:
    """The description of the coronal plane, which is a `line` of each slice."""
    counts = [int(n) for n in np.bincount(labels.ravel(), minlength=len(CLASSES))]
    what = "CT with its classes" if has_ct else "classes"
    top = "head" if is_head_known else "last slice"
    return f"Coronal plane at {line}, {what}, {top} at the top: {_shares(counts)}"


def as_percent(share: float) -> str:
    """`0 %` and `100 %` only if exact, else to a tenth: `0.5 %`, `below 0.1 %`, `above 99.9 %`."""
    if share in (0, 100):
        return f"{share:.0f} %"
    return "below 0.1 %" if share < 0.1 else "above 99.9 %" if share > 99.9 else f"{share:.1f} %"


def _shares(pixels: Sequence[int]) -> str:
    lung = sum(pixels[tissue.index] for tissue in LUNG)
    if not lung:
        return "no lung"
    return f"of the lung in it, {' and '.join(_share(tissue, pixels[tissue.index], lung) for tissue in LESION)}"


def _share(tissue: TissueClass, part: int, whole: int) -> str:
    return f"{as_percent(100 * part / whole)} {tissue.title}"
