"""A chart as SVG for a page: with the colours of its theme, without styles of its own, with unique ids."""

import io
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from ctseg.classes import LUNG

_NAMESPACE = re.compile(r"^\{.*\}")
_FRACTION = re.compile(r"-?\d+\.\d+")
_REFERENCE = re.compile(r"#([\w-]+)(?=\)|$)")
_NO_TURN = re.compile(r"rotate\(-?0 .*")
_COORDINATES = frozenset({"d", "points", "x", "y", "width", "height", "transform"})
_DROPPED = frozenset({"font-family", "version", "style", "stroke-linejoin"})

# Placeholder colours that figures are drawn in; the page's style replaces them.
INK, MUTED, LINE, ACCENT, PAPER = "#010101", "#010102", "#010103", "#010104", "#010105"
FILLS = {tissue: f"#0201{tissue.index:02x}" for tissue in LUNG}
EDGES = {tissue: f"#0301{tissue.index:02x}" for tissue in LUNG}
_VARIABLES: Mapping[str, str] = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    LINE: "var(--line)",
    ACCENT: "var(--accent)",
    PAPER: "var(--paper)",
    **{colour: f"var(--{tissue.name})" for tissue, colour in FILLS.items()},
    **{colour: f"var(--{tissue.name}-edge)" for tissue, colour in EDGES.items()},
}


@dataclass(frozen=True, slots=True)
class Mark:
    """What a part of a figure carries on the page: a tooltip, and data for the script."""

    tip: str
    data: Mapping[str, str] = field(default_factory=dict)


def to_svg(figure: Figure, name: str, label: str, marks: Mapping[str, Sequence[Mark]]) -> str:
    """The figure as an `<svg>` whose ids begin with `name`; `marks` by gid, one for each item of a collection."""
    FigureCanvasSVG(figure)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    root = ET.fromstring(drawn.getvalue())  # noqa: S314 - matplotlib's own
    for element in root.iter():
        element.tag = _NAMESPACE.sub("", element.tag)
    for parent in list(root.iter()):
        for child in [child for child in parent if child.tag in ("metadata", "style")]:
            parent.remove(child)
    pointed_at = {target for element in root.iter() for _, target in _references(element)}
    for element in list(root.iter()):
        _mark(element, marks.get(element.get("id", ""), ()))
        if element.get("id") not in pointed_at:
            element.attrib.pop("id", None)
        attributes = {**element.attrib, **_declarations(element.get("style", ""))}
        element.attrib.clear()
        for key, value in attributes.items():
            if key not in _DROPPED and not _NO_TURN.match(value):
                element.set(_NAMESPACE.sub("", key), _adapted(key, value, name))
    del root.attrib["width"], root.attrib["height"]
    root.attrib |= {"class": "chart", "role": "img", "aria-label": label}
    return ET.tostring(root, encoding="unicode")


def _references(element: ET.Element) -> Iterator[tuple[str, str]]:
    """The attributes that refer to an id, each with the id."""
    for key, value in element.items():
        if key.endswith("href") or value.startswith("url("):
            yield from ((key, target) for target in _REFERENCE.findall(value))


def _mark(element: ET.Element, marks: Sequence[Mark]) -> None:
    """Give a part, or each item of a collection, its tooltip and data."""
    items = list(element.iter("use")) if len(marks) > 1 else [element]
    for item, mark in zip(items, marks, strict=False):
        ET.SubElement(item, "title").text = mark.tip
        for key, value in mark.data.items():
            item.set(f"data-{key}", value)


def _declarations(style: str) -> dict[str, str]:
    pairs = (one.partition(":") for one in style.split(";") if one.strip())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _adapted(key: str, value: str, name: str) -> str:
    """Coordinates to a tenth of a pixel, colours as the page names them, ids with the figure's name before them."""
    if key in _COORDINATES:
        return " ".join(_FRACTION.sub(_tenth, value).split())
    if key == "id":
        return f"{name}-{value}"
    if key.endswith("href") or value.startswith("url("):
        return value.replace("#", f"#{name}-")
    return _VARIABLES.get(value, value)


def _tenth(number: re.Match[str]) -> str:
    return f"{round(float(number[0]), 1):g}"
