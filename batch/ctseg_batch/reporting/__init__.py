"""The report: what a run found, as one HTML file that needs no network.

`results` reads what the run left in OUT, and `choose` picks the scans and slices to show. `parts` draws a scan
(`pictures`, `frontal`, `profile`, `regional`), `charts` and `agreement` all of them, on the same `canvas`; `overview`,
`table` and `facts` say the rest. `page` puts it into the templates. `build` is the whole way.
"""

from ctseg.errors import require

REPORT_HTML = "report.html"
DEFAULT_PICTURES = 50

_MODULES, _EXTRA = ("jinja2", "matplotlib"), "report"


def require_report() -> None:
    """Raise MissingExtraError where what reports are made with is not installed."""
    for module in _MODULES:
        require(module, _EXTRA)
