"""The colours of the page can be told from what they stand on, in the light and in the dark; paper shows all of it,
and what can be worked by mouse can be by keyboard."""

import re
from importlib.resources import files

import pytest

from ctseg.classes import LUNG

_CSS = files("ctseg_batch.reporting").joinpath("static", "report.css").read_text()
_PAIRS = dict(re.findall(r"--([\w-]+): light-dark\(([^)]+)\);", _CSS))


def colour(name, theme):
    return _PAIRS[name].split(", ")[theme == "dark"]


def contrast(one, other):
    """WCAG 2.2, relative luminance: https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio."""

    def luminance(colour):
        channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_what_the_standard_says_it_is():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("ground", ["paper", "raised", "accent-soft"])
@pytest.mark.parametrize("ink", ["ink", "accent", "ok", "partial", "failed", "muted"])
def test_text_can_be_read(theme, ground, ink):
    assert contrast(colour(ink, theme), colour(ground, theme)) >= 4.5


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("tissue", LUNG, ids=lambda tissue: tissue.name)
def test_each_class_stands_out_by_itself_or_by_its_edge(theme, tissue):
    fill = "#{:02x}{:02x}{:02x}".format(*tissue.colour)
    paper = colour("paper", theme)
    assert max(contrast(fill, paper), contrast(colour(f"{tissue.name}-edge", theme), paper)) >= 3


def test_what_is_folded_up_is_printed():
    (printed,) = re.findall(r"^@media print \{\n(.+?)^\}", _CSS, re.DOTALL | re.MULTILINE)
    hidden = [selectors for selectors, rule in re.findall(r"(.+?)\{(.+?)\}", printed) if "display: none" in rule]
    assert hidden
    assert not any("details" in selectors for selectors in hidden)


def test_bars_and_dots_are_reached_by_keyboard_and_seen_to_be():
    script = files("ctseg_batch.reporting").joinpath("static", "charts.js").read_text()
    for data, role in (("from", "button"), ("scan", "link")):
        assert re.search(rf'workable\(.*\b(bars|.*\[data-{data}\].*), "{role}", ', script)
        assert f".chart [data-{data}]:focus-visible {{" in _CSS
        assert f".chart [data-{data}][role] {{ cursor: pointer; }}" in _CSS
