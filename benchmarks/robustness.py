"""How much the masks of `ctseg batch` suffer when slices come cropped, turned, noisy, resized or in other windows.

    python benchmarks/robustness.py DATA [--model FILE] [--series covid_p001] [--json FILE]

DATA holds `medseg` and `series` as docs/model-card.md describes them. The slices of `medseg` that are marked `val` are
changed in each way and scored against their masks, changed alike; a series given as 8-bit images in several windows is
compared with its own masks from Hounsfield units, as they are and with `--window` where the command takes it.
"""

import csv
import json
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from accuracy import GROUND_GLASS, HELD_BACK, LUNG, check_held_back, overlap, segment
from rich.console import Console
from rich.table import Table
from shared import read_picture

from ctseg.errors import CallError
from ctseg.reading import open_series
from ctseg.window import as_window

Pair = tuple[np.ndarray, np.ndarray]
"""A slice and its true mask, or a mask and its true mask."""

WINDOWS = {
    "lung -600/1500": (-600, 1500),
    "narrow -750/700": (-750, 700),
    "wide 0/2000": (0, 2000),
    "full 1024/4096": (1024, 4096),
}
MARGIN = 8


def crop(grey: np.ndarray, truth: np.ndarray) -> Pair:
    """The bounding box of the lungs and a few pixels: no body wall in sight."""
    rows, columns = (np.flatnonzero((truth > 0).any(axis=axis)) for axis in (1, 0))
    box = tuple(slice(max(0, where[0] - MARGIN), where[-1] + 1 + MARGIN) for where in (rows, columns))
    return grey[box], truth[box]


def resized(factor: float) -> Callable[[np.ndarray, np.ndarray], Pair]:
    """Both, enlarged or made smaller."""

    def change(grey: np.ndarray, truth: np.ndarray) -> Pair:
        size = tuple(round(side * factor) for side in grey.shape[::-1])
        how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
        return cv2.resize(grey, size, interpolation=how), cv2.resize(truth, size, interpolation=cv2.INTER_NEAREST)

    return change


def curved(gamma: float) -> Callable[[np.ndarray, np.ndarray], Pair]:
    """Grey values raised to a power."""
    return lambda grey, truth: (np.rint(255 * (grey / 255.0) ** gamma).astype(np.uint8), truth)


def narrow_and_turned(grey: np.ndarray, truth: np.ndarray) -> Pair:
    """As the data are that this project began with: -1100 to -400 HU alone (of a lung window), turned by 45 degrees."""
    high, low = (255 * (hu + 1350) / 1500 for hu in (-400, -1100))
    narrow = np.rint(np.clip((grey - low) * (255 / (high - low)), 0, 255)).astype(np.uint8)
    side = grey.shape[0]
    turn = cv2.getRotationMatrix2D(((side - 1) / 2, (side - 1) / 2), 45, 1.0)
    return (
        cv2.warpAffine(narrow, turn, (side, side), flags=cv2.INTER_LINEAR),
        cv2.warpAffine(truth, turn, (side, side), flags=cv2.INTER_NEAREST),
    )


def noisy(grey: np.ndarray, truth: np.ndarray) -> Pair:
    """Gaussian noise of 5 % of the range."""
    noise = np.random.default_rng(0).normal(0, 0.05 * 255, grey.shape)
    return np.clip(np.rint(grey + noise), 0, 255).astype(np.uint8), truth


CHANGES: dict[str, Callable[[np.ndarray, np.ndarray], Pair]] = {
    "as it is": lambda grey, truth: (grey, truth),
    "cropped to the lungs": crop,
    "upside down": lambda grey, truth: (grey[::-1], truth[::-1]),
    "mirrored": lambda grey, truth: (grey[:, ::-1], truth[:, ::-1]),
    "turned by 90 degrees": lambda grey, truth: (np.rot90(grey), np.rot90(truth)),
    "gamma 0.7": curved(0.7),
    "gamma 1.4": curved(1.4),
    "noise of 5 %": noisy,
    "half the size": resized(0.5),
    "twice the size": resized(2.0),
    "JPEG of quality 60": lambda grey, truth: (grey, truth),
    "narrow window, turned by 45 degrees": narrow_and_turned,
}


def main(
    data: Annotated[Path, typer.Argument(help="The folder of the data sets.")],
    model: Annotated[str, typer.Option(help="A model file that has patients held back.")] = HELD_BACK,
    series: Annotated[str, typer.Option(help="The series to show in other windows.")] = "covid_p001",
    out: Annotated[Path | None, typer.Option("--json", help="Write the figures here, too.")] = None,
) -> None:
    """Print two tables: by change, and by window."""
    check_held_back(model, [data / "medseg"], data / "series", [series])
    with tempfile.TemporaryDirectory() as folder:
        changes = changed_figures(data / "medseg", model, Path(folder) / "changes")
        windows = window_figures(data / "series" / series, model, Path(folder) / "windows")
    console = Console()
    console.print(tabled(f"{Path(model).name}: medseg, mean IoU of the four classes", changes))
    console.print(tabled(f"{Path(model).name}: {series} in 8-bit windows, Dice against its masks from HU", windows))
    if out:
        out.write_text(json.dumps({"changes": changes, "windows": windows}, indent=2))


def changed_figures(dataset: Path, model: str, work: Path) -> dict[str, dict[str, float]]:
    """Mean IoU after each change, and what it lost."""
    truths: dict[str, dict[str, np.ndarray]] = {}
    for row in csv.DictReader((dataset / "index.csv").open()):
        if row["split"] != "val":
            continue
        grey, truth = (read_picture(dataset / kind / row["file"]) for kind in ("images", "masks"))
        truth = np.where(truth == 4, 0, truth)
        for name, change in CHANGES.items():
            ending = ".jpg" if "JPEG" in name else ".png"
            file = work / "slices" / name / Path(row["file"]).with_suffix(ending).name
            changed, truths.setdefault(name, {})[file.name] = change(grey, truth)
            write(file, changed, [cv2.IMWRITE_JPEG_QUALITY, 60] if ending == ".jpg" else [])
    masks = segment(work / "slices", model, work / "out")
    ious = {}
    for name, by_file in truths.items():
        pairs = [(truth, read_picture(masks / name / mask_name(file))) for file, truth in by_file.items()]
        ious[name] = mean_iou(pairs)
    plain = ious["as it is"]
    return {name: {"mean IoU": iou, "change": iou - plain} for name, iou in ious.items()}


def window_figures(series: Path, model: str, work: Path) -> dict[str, dict[str, float]]:
    """Dice of lung and of lesion in each window against the masks of the series itself."""
    own = segment(series, model, work / "own")
    files = sorted(own.rglob("*.png"))
    (found,) = open_series(sorted(series.iterdir())).series
    by_name = {source.name: index for index, source in enumerate(found.files)}
    for file in files:
        hu = found.read(by_name[file.name.removesuffix(".png")]).pixels.astype(np.float64)
        for name, (level, width) in WINDOWS.items():
            grey = np.clip((hu - (level - width / 2)) * (255 / width), 0, 255)
            write(work / "slices" / name.replace("/", " of ") / file.name, np.rint(grey).astype(np.uint8), [])
    figures = {}
    for name, window in WINDOWS.items():
        slices, given = work / "slices" / name.replace("/", " of "), ",".join(map(str, window))
        figures[name] = agreement(files, segment(slices, model, work / "as it is" / slices.name))
        with suppress(CallError):  # for one that is too narrow
            as_window(window, name)
            figures[f"{name}, told"] = agreement(
                files, segment(slices, model, work / "told" / slices.name, window=given)
            )
    return figures


def agreement(files: list[Path], masks: Path) -> dict[str, float]:
    """Dice of lung and of lesion between masks and those of the same names in a folder."""
    pairs = [(read_picture(file), read_picture(masks / file.name)) for file in files]
    own, mask = (np.concatenate([pair[side].ravel() for pair in pairs]) for side in (0, 1))
    return {
        "lung": overlap(own >= LUNG, mask >= LUNG)[1],
        "lesion": overlap(own >= GROUND_GLASS, mask >= GROUND_GLASS)[1],
    }


def mean_iou(pairs: list[Pair]) -> float:
    """Pooled over the slices, mean over the four classes."""
    truth, mask = (np.concatenate([pair[side].ravel() for pair in pairs]) for side in (0, 1))
    return float(np.mean([overlap(truth == c, mask == c)[0] for c in range(4)]))


def mask_name(file: str) -> str:
    """What the command calls the mask of a slice."""
    return file if file.endswith(".png") else f"{file}.png"


def write(file: Path, picture: np.ndarray, options: list[int]) -> None:
    """A picture, and the folders above it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(file), picture, options)


def tabled(title: str, figures: dict[str, dict[str, float]]) -> Table:
    """A row a key."""
    table = Table(title=title)
    table.add_column("")
    for column in next(iter(figures.values())):
        table.add_column(column, justify="right")
    for name, row in figures.items():
        table.add_row(name, *(f"{value:.3f}" for value in row.values()))
    return table


if __name__ == "__main__":
    typer.run(main)
