"""Runs with their list of slices, the command that reports on them, and the page taken apart."""

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pytest

from ctseg.cli import main

_VOID = frozenset({"meta", "img", "input", "br", "link", "hr"})
_CLASSES = ("background", "normal_lung", "ground_glass", "consolidation")


@dataclass
class Element:
    """An element of a page; `text` is all that stands in it."""

    tag: str
    attributes: Mapping[str, str]
    children: "list[Element | str]" = field(default_factory=list)

    def __getitem__(self, name: str) -> str:
        return self.attributes[name]

    def get(self, name: str, default: str = "") -> str:
        return self.attributes.get(name, default)

    @property
    def text(self) -> str:
        pieces = (child if isinstance(child, str) else child.text for child in self.children)
        return " ".join(" ".join(pieces).split())

    def walk(self) -> "Iterator[Element]":
        for child in self.children:
            if isinstance(child, Element):
                yield child
                yield from child.walk()

    def all(self, tag: str, **attributes: str) -> "list[Element]":
        """Those of a tag whose attributes hold these words; `class_` stands for class."""
        wanted = {name.rstrip("_").replace("_", "-"): word for name, word in attributes.items()}
        return [
            one
            for one in self.walk()
            if one.tag == tag and all(word in one.get(name).split() for name, word in wanted.items())
        ]

    def one(self, tag: str, **attributes: str) -> "Element":
        (only,) = self.all(tag, **attributes)
        return only

    def data(self, name: str) -> Any:
        """The JSON in the script of that id."""
        (content,) = self.one("script", id=name).children
        return json.loads(content)


class _Taker(HTMLParser):
    """Takes a page apart, and fails where elements don't close in the order in which they opened."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Element("", {})
        self._open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names), f"<{tag}> has an attribute twice: {names}"
        made = Element(tag, {name: value or "" for name, value in attrs})
        self._open[-1].children.append(made)
        if tag not in _VOID:
            self._open.append(made)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop().tag == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        self._open[-1].children.append(data)


def take_apart(html: str) -> Element:
    taker = _Taker()
    taker.feed(html)
    taker.close()
    return taker.root


class Left(NamedTuple):
    """How `ctseg report` left, and what it said."""

    status: int
    err: str


@pytest.fixture
def report(capsys: pytest.CaptureFixture[str]) -> Callable[..., Left]:
    """Call `ctseg report` in process as the console script does."""

    def called(*arguments: object) -> Left:
        with pytest.raises(SystemExit) as left:
            main(["report", *map(str, arguments)])
        said = capsys.readouterr()
        assert said.out == ""
        return Left(left.value.code or 0, said.err)

    return called


@pytest.fixture
def written() -> Callable[[Path], Element]:
    """Take the page apart that lies in an OUT."""
    return lambda out: take_apart((out / "report.html").read_text(encoding="utf-8"))


@pytest.fixture
def page(report: Callable[..., Left], written: Callable[[Path], Element]) -> Callable[..., Element]:
    """Report on an OUT and take the page apart."""

    def made(out: Path, *options: object) -> Element:
        left = report(out, *options)
        assert left.status == 0, left.err
        return written(out)

    return made


@pytest.fixture
def list_slices() -> Callable[..., Path]:
    """Write OUT/slices.csv from the masks there: `files` are the sources of each scan's slices in order, by mask.

    A slice without a mask counts as failed.
    """

    def listed(out: Path, files: Mapping[str, Mapping[str, str]]) -> Path:
        columns = ["scan", "slice", "source", "mask", "status", *_CLASSES, "lung_ml", "involvement_percent"]
        with (out / "slices.csv").open("w", encoding="utf-8", errors="surrogateescape", newline="") as lines:
            rows = csv.DictWriter(lines, columns, restval="")
            rows.writeheader()
            for scan, sources in files.items():
                for index, (mask, source) in enumerate(sources.items()):
                    labels = _mask(out / "masks" / mask)
                    counts = {} if labels is None else dict(zip(_CLASSES, _counts(labels), strict=True))
                    status = "failed" if labels is None else "ok"
                    rows.writerow(
                        {"scan": scan, "slice": index, "source": source, "mask": mask, "status": status, **counts}
                    )
        return out / "slices.csv"

    return listed


def _mask(file: Path) -> np.ndarray | None:
    return cv2.imdecode(np.frombuffer(file.read_bytes(), np.uint8), -1) if file.is_file() else None


def _counts(labels: np.ndarray) -> list[int]:
    return np.bincount(labels.ravel(), minlength=4).tolist()


@pytest.fixture
def lungs() -> np.ndarray:
    """Labels (6, 64, 64), feet first: a healthy right lung, and a left one of which the lower third is consolidated."""
    labels = np.zeros((6, 64, 64), np.uint8)
    labels[:, 16:48, 8:28] = 1
    labels[:, 16:48, 36:52] = 1
    labels[:2, 16:48, 36:52] = 3
    return labels


@pytest.fixture
def measured(
    batch: Callable[..., Any], save_volume: Callable[..., Path], lungs: np.ndarray, tmp_path: Path
) -> Callable[..., Path]:
    """The OUT of a run with full measures over the lungs, in voxels of 10 x 5 x 5 mm, and their truths.

    There is a truth for each number given: the left lung is consolidated in so many slices more than in the mask.
    """

    def run(*more: int) -> Path:
        for place, slices in enumerate(more):
            truth = lungs.copy()
            truth[2 : 2 + slices, 16:48, 36:52] = 3
            save_volume(tmp_path / f"in/{place}.nii", lungs, (10, 5, 5))
            save_volume(tmp_path / f"truth/{place}.nii", truth, truth=True)
        out: Path = batch(tmp_path / "in", measures="full", truth=tmp_path / "truth").out
        return out

    return run


@pytest.fixture
def summary_of() -> Callable[..., dict[str, Any]]:
    """A summary.json of scans that were never made: each a mapping of what is not usual about it."""

    def made(*scans: Mapping[str, Any], **run: Any) -> dict[str, Any]:
        usual = [{**_scan(place), **scan} for place, scan in enumerate(scans)]
        totals = {
            "scans": len(usual),
            "slices": sum(scan["slices"] for scan in usual),
            "failed_slices": sum(scan["failed_slices"] for scan in usual),
            "pixels": dict.fromkeys(_CLASSES, 0),
            **dict.fromkeys(("volumes_ml", "lung_ml", "involvement_percent", "iou", "dice", "agreement")),
        }
        model = {"name": "other", "version": "7", "precision": "fp32", "licence": "free", "sha256": "0" * 64}
        speed = {"slices": totals["slices"], "slices_per_second": 20.0, "wall_s": totals["slices"] / 20}
        return {
            "schema": 2, "version": "0.1.0", "model": model, "measures": "basic", "groups": None, "scans": usual,
            "totals": totals, "ignored": 0, "ignored_endings": {}, "skipped": [], "errors": [], "notes": [],
            "throughput": speed, "shard": None, "runs": None, **run,
        }  # fmt: skip

    return made


@pytest.fixture
def save_summary(tmp_path: Path) -> Callable[..., Path]:
    """Write a summary to an OUT of its own."""

    def saved(summary: Mapping[str, Any], name: str = "out") -> Path:
        out = tmp_path / name
        out.mkdir(exist_ok=True)
        (out / "summary.json").write_text(json.dumps(summary))
        return out

    return saved


def _scan(place: int) -> dict[str, Any]:
    """4 L of lung, a tenth of it ground glass, a twentieth consolidation."""
    pixels = {"background": 60_000, "normal_lung": 34_000, "ground_glass": 4_000, "consolidation": 2_000}
    return {
        "scan": f"scan {place}", "status": "ok", "slices": 40, "failed_slices": 0, "spacing_mm": [5.0, 0.7, 0.7],
        "window_hu": None, "pixels": pixels,
        "volumes_ml": {"normal_lung": 3400.0, "ground_glass": 400.0, "consolidation": 200.0},
        "lung_ml": 4000.0, "involvement_percent": 15.0, "mean_hu": None, "mass_g": None, "regions": None,
        "severity": None, "lesions": None, "iou": None,
        "dice": None, "confusion": None, "surface": None, "volume_error_ml": None, "flags": [], "device": "cpu",
        "precision": "fp32", "errors": [], "series": None, "patients_right": None, "left_out": [],
        "slice_weights": None, "weighted_confusion": None,
    }  # fmt: skip
