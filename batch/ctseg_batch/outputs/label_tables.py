"""The names and colours of the labels, as ITK-SNAP and 3D Slicer load them."""

from collections.abc import Mapping

from ctseg.classes import BACKGROUND, CLASSES

ITK_SNAP_TABLE, SLICER_TABLE = "labels.txt", "labels.ctbl"


def label_tables() -> Mapping[str, bytes]:
    """Both tables by their files' names. ITK-SNAP: Segmentation, Import Label Descriptions; 3D Slicer: Add Data."""
    return {ITK_SNAP_TABLE: _itk_snap().encode(), SLICER_TABLE: _slicer().encode()}


def _itk_snap() -> str:
    """Index, red, green, blue, opacity, visible in slices and in 3-D, name."""
    lines = ["# ITK-SnAP Label Description File", "# IDX   -R-  -G-  -B-  -A--  VIS MSH  LABEL"]
    for tissue in CLASSES:
        red, green, blue = tissue.colour
        seen = int(tissue is not BACKGROUND)
        lines.append(
            f'{tissue.index:5d} {red:5d} {green:4d} {blue:4d} {seen:8d} {seen:2d} {seen:2d}    "{tissue.title}"'
        )
    return "\n".join(lines) + "\n"


def _slicer() -> str:
    """Index, name without spaces, red, green, blue, opacity."""
    rows = [(tissue.index, tissue.name, *tissue.colour, 255 * (tissue is not BACKGROUND)) for tissue in CLASSES]
    lines = ["# Color table file", f"# {len(CLASSES)} values", *(" ".join(map(str, row)) for row in rows)]
    return "\n".join(lines) + "\n"
