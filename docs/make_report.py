"""Draw the pictures of the report's page, of patients who do not exist: `python docs/make_report.py`.

Needs the extras `report`, `surface` and `browser`, and a Chromium of the system.
"""

import shutil
import tempfile
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from playwright.sync_api import Browser, sync_playwright

from ctseg.phantom import Phantom
from ctseg.phantom.writers import write_dicom
from ctseg_batch.call import Call
from ctseg_batch.choices import MeasuresChoice
from ctseg_batch.run import run
from ctseg_batch.watcher import Watcher

DOCS = Path(__file__).parent
_WIDTH, _HEIGHT = 1280, 1270
_SCANS, _SLICES, _SIZE = 24, 30, 256
_SHOWN = 8  # a scan with much disease, of many slices
_GAP = 20


def main() -> None:
    """Two runs over the same phantoms, of basic and of full measures; of each, a part in the light and in the dark."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    with tempfile.TemporaryDirectory() as place, sync_playwright() as started:
        folder = Path(place)
        write_phantoms(folder)
        browser = started.chromium.launch(executable_path=chromium)
        basic, full = report(folder, "basic"), report(folder, "full")
        scan = f"#scan-{_SHOWN}"
        side_by_side(seen(browser, basic, "light", ""), seen(browser, basic, "dark", scan), DOCS / "report.png")
        parts = seen(browser, full, "light", scan), seen(browser, full, "dark", "#agreement")
        side_by_side(*parts, DOCS / "report-full.png")
        browser.close()


def write_phantoms(folder: Path) -> None:
    """Series with their truth; one has a gap, a slice of another can't be read."""
    disease = np.random.default_rng(0).gamma(1.2, 0.1, _SCANS).clip(0.01, 0.6)
    disease[_SHOWN] = 0.3
    for number in range(_SCANS):
        phantom = Phantom(number, 90 if number == _SHOWN else _SLICES, _SIZE, disease=float(disease[number]))
        name = f"phantom {number:02}"
        write_dicom(phantom, folder / "scans" / name, folder / "truth" / name)
    (folder / "scans" / "phantom 03" / f"{_GAP:04}.dcm").unlink()
    damaged = folder / "scans" / "phantom 05" / f"{_GAP:04}.dcm"
    damaged.write_bytes(damaged.read_bytes()[:-1000])


def report(folder: Path, measures: MeasuresChoice) -> Path:
    """Run and report."""
    out = folder / measures / "results"
    call = Call([folder / "scans"], out, truth=folder / "truth", measures=measures, device="cpu", report=True)
    run(call, Watcher())
    return out / "report.html"


def seen(browser: Browser, page: Path, scheme: Literal["light", "dark"], part: str) -> np.ndarray:
    """What a window shows of a page, from its top or from a part of it on: (H, W, 3)."""
    shown = browser.new_page(
        viewport={"width": _WIDTH, "height": _HEIGHT}, color_scheme=scheme, reduced_motion="reduce"
    )
    shown.goto(page.as_uri() + part)
    shown.wait_for_timeout(2000)  # pictures are drawn as they come into view
    picture = cv2.imdecode(np.frombuffer(shown.screenshot(), np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None, part
    return picture


def side_by_side(one: np.ndarray, other: np.ndarray, file: Path) -> None:
    """Both in one picture, a grey line between them."""
    line = np.full((one.shape[0], 24, 3), 128, np.uint8)
    whole = np.hstack([one, line, other])
    small = cv2.resize(whole, (1440, round(1440 * whole.shape[0] / whole.shape[1])), interpolation=cv2.INTER_AREA)
    file.write_bytes(cv2.imencode(".png", small, (cv2.IMWRITE_PNG_COMPRESSION, 9))[1].tobytes())


if __name__ == "__main__":
    main()
