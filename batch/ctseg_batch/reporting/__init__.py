"""The report: the results of a run as one HTML file that needs no network.

`results` reads what the run left in OUT, and `choose` picks the scans and slices to show. `section` draws a scan
(`pictures`, `frontal`, `profile`, `regional`), `charts` and `agreement` all of them, on the same `canvas`; `overview`,
`table` and `facts` make the rest. `page` fills the templates. `build` does all of it.
"""

from ctseg.errors import require

REPORT_HTML = "report.html"
DEFAULT_PICTURES = 50

_MODULES, _EXTRA = ("jinja2", "matplotlib"), "report"


def require_report() -> None:
    """Raise MissingExtraError if the libraries for reports are not installed."""
    for module in _MODULES:
        require(module, _EXTRA)
