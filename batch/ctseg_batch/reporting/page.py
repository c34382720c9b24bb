"""The page: fill the templates, embed style and script, and allow nothing else."""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from rich.filesize import decimal

from ctseg.classes import LUNG
from ctseg.printable import count, printable
from ctseg_batch.figures.summary import Summary
from ctseg_batch.reporting.agreement import Agreement
from ctseg_batch.reporting.canvas import Chart
from ctseg_batch.reporting.facts import ModelFacts
from ctseg_batch.reporting.head import digest_of
from ctseg_batch.reporting.overview import Overview
from ctseg_batch.reporting.section import ScanSection
from ctseg_batch.reporting.table import Column, longest
from ctseg_batch.reporting.words import group_title, number, signed

# Rows in the page itself, for browsers without scripts; the script adds the others on scrolling.
_ROWS_AT_ONCE = 200
_SCRIPTS = ("theme.js", "names.js", "table.js", "detail.js", "flags.js", "charts.js", "profile.js", "print.js")


@dataclass(frozen=True)
class Page:
    """The data of the templates. `written`: the time of the summary; `pictured`: how many scans have pictures."""

    name: str
    summary: Summary
    written: datetime
    overview: Overview
    charts: tuple[Chart, ...]
    agreement: Agreement | None
    columns: tuple[Column, ...]
    table: Mapping[str, Any]
    sections: tuple[ScanSection, ...]
    models: tuple[ModelFacts, ...]
    pictured: int
    picture_bytes: int

    @property
    def digest(self) -> str:
        """The digest of the summary."""
        return digest_of(self.summary)

    @property
    def versions(self) -> str:
        """The ctseg that made the summary; those of the runs if several were joined."""
        runs = self.summary["runs"] or ()
        return self.summary["version"] or ", ".join(dict.fromkeys(run["version"] for run in runs))


def render(page: Page) -> str:
    """The whole page. Names and reasons are untrusted: they are escaped, and unprintable characters are spelt out."""
    environment = Environment(
        loader=PackageLoader("ctseg_batch.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_spelt_out,
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    environment.filters |= {"number": number, "signed": signed, "count": count, "size": decimal, "title": group_title}
    style, script = _style(page.table), "\n".join(_static(name) for name in _SCRIPTS)
    return environment.get_template("report.html").render(
        page=page,
        classes=LUNG,
        rows_at_once=_ROWS_AT_ONCE,
        profiles={one.index: one.profile.data for one in page.sections if one.profile},
        style=Markup(style),  # noqa: S704 - ours
        script=Markup(script),  # noqa: S704 - ours
        policy=_policy(style, script),
    )


def _style(table: Mapping[str, Any]) -> str:
    """The style sheet, with the colours of the classes and the widths of the texts in the table."""
    colours = "".join("--{}:#{:02x}{:02x}{:02x};".format(tissue.name, *tissue.colour) for tissue in LUNG)
    widths = "".join(f"--longest-{name}:{letters}ch;" for name, letters in longest(table).items())
    return f":root{{{colours}{widths}}}\n{_static('report.css')}"


def _policy(style: str, script: str) -> str:
    """The content security policy: show the page, run its own script, fetch nothing."""
    hashes = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style, script))
    return "default-src 'none'; img-src data:; style-src 'sha256-{}'; script-src 'sha256-{}'; base-uri 'none'".format(
        *hashes
    )


def _static(name: str) -> str:
    return files("ctseg_batch.reporting").joinpath("static", name).read_text(encoding="utf-8")


def _spelt_out(value: Any) -> Any:
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value
