"""How accurate `ctseg batch` is on patients that the model did not learn from, worked out from its masks.

    python benchmarks/accuracy.py DATA [--model light] [--json FILE]

DATA holds `medseg`, `covid_ct_seg` and `series` as docs/model-card.md describes them. Slices marked `val` are
copied out as plain images, so that nothing tells the command where they come from, segmented with its default
options, and the masks are scored here, by code that shares nothing with the package.
"""

import csv
import json
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from rich.console import Console
from rich.table import Table

LUNG, GROUND_GLASS, CONSOLIDATION = 1, 2, 3


def main(
    data: Annotated[Path, typer.Argument(help="The folder of the data sets.")],
    model: Annotated[str, typer.Option(help="A shipped model's name or a file.")] = "light",
    out: Annotated[Path | None, typer.Option("--json", help="Write the figures here, too.")] = None,
    series: Annotated[list[str] | None, typer.Option(help="Series to score.")] = None,
) -> None:
    """Print the figures of the model card."""
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        figures |= medseg_figures(validation_masks(data / "medseg", model, work / "a"))
        figures |= covid_ct_seg_figures(validation_masks(data / "covid_ct_seg", model, work / "b"))
        for name in series or ["covid_p001"]:
            figures |= series_figures(data / "series", name, model, work / name)
    table = Table(title=f"{model}: patients held back")
    table.add_column("figure")
    table.add_column("value", justify="right")
    for name, value in figures.items():
        table.add_row(name, f"{value:.3f}")
    Console().print(table)
    if out:
        out.write_text(json.dumps(figures, indent=2))


def segment(source: Path, model: str, out: Path) -> Path:
    """Run the command over a folder and name that of its masks."""
    command = shutil.which("ctseg", path=str(Path(sys.executable).parent)) or "ctseg"
    call = [command, "batch", str(source), "--out", str(out), "--model", model, "--quiet"]
    subprocess.run(call, check=True)
    return out / "masks"


def validation_masks(dataset: Path, model: str, work: Path) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Patient, truth and mask of each slice that the index marks `val`."""
    rows = [row for row in csv.DictReader((dataset / "index.csv").open()) if row["split"] == "val"]
    (work / "images").mkdir(parents=True)
    for row in rows:
        shutil.copy(dataset / "images" / row["file"], work / "images")
    masks = segment(work / "images", model, work / "out")

    def read(file: Path) -> np.ndarray:
        mask = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
        assert mask is not None, file
        return mask

    return [(row["patient"], read(dataset / "masks" / row["file"]), read(masks / row["file"])) for row in rows]


def medseg_figures(slices: list[tuple[str, np.ndarray, np.ndarray]]) -> dict[str, float]:
    """IoU and Dice pooled over the slices; value 4 of the truth (effusion) is background."""
    truth = np.concatenate([np.where(t == 4, 0, t).ravel() for _, t, _ in slices])
    mask = np.concatenate([m.ravel() for _, _, m in slices])
    names = {0: "background", LUNG: "normal lung", GROUND_GLASS: "ground glass", CONSOLIDATION: "consolidation"}
    iou = {name: overlap(truth == c, mask == c)[0] for c, name in names.items()}
    dice = {name: overlap(truth == c, mask == c)[1] for c, name in names.items()}
    return {
        **{f"medseg: IoU of {name}": value for name, value in iou.items()},
        "medseg: mean IoU": float(np.mean(list(iou.values()))),
        "medseg: Dice of ground glass": dice["ground glass"],
        "medseg: Dice of consolidation": dice["consolidation"],
        "medseg: Dice of lesion": overlap(truth >= GROUND_GLASS, mask >= GROUND_GLASS)[1],
    }


def covid_ct_seg_figures(slices: list[tuple[str, np.ndarray, np.ndarray]]) -> dict[str, float]:
    """Dice of each patient, pooled over his slices, and the mean over the patients."""
    by_patient = defaultdict(list)
    for patient, truth, mask in slices:
        by_patient[patient].append((truth, mask))
    lung, infection = [], []
    for pairs in by_patient.values():
        truth, mask = (np.concatenate([pair[side].ravel() for pair in pairs]) for side in (0, 1))
        lung.append(overlap(truth >= LUNG, mask >= LUNG)[1])
        infection.append(overlap(truth >= GROUND_GLASS, mask >= GROUND_GLASS)[1])
    return {
        "covid_ct_seg: Dice of lung, mean of patients": float(np.mean(lung)),
        "covid_ct_seg: Dice of infection, mean of patients": float(np.mean(infection)),
    }


def series_figures(folder: Path, name: str, model: str, work: Path) -> dict[str, float]:
    """The share of uninfected slices' lung called diseased, and how well the diseased area ranks the infected."""
    masks = segment(folder / name, model, work)
    infected, area, lung = [], [], []
    for row in csv.DictReader((folder / f"{name}.csv").open()):
        mask = cv2.imread(str(masks / f"{row['file']}.png"), cv2.IMREAD_UNCHANGED)
        assert mask is not None, row["file"]
        infected.append(row["infected"] == "1")
        area.append(np.count_nonzero(mask >= GROUND_GLASS))
        lung.append(np.count_nonzero(mask >= LUNG))
    ill, areas, lungs = np.array(infected), np.array(area, float), np.array(lung)
    figures = {
        f"{name}: % of the lung of uninfected slices called diseased": 100 * areas[~ill].sum() / lungs[~ill].sum()
    }
    if ill.any():
        # Mann-Whitney: the chance that an infected slice shows more disease than another one.
        above = areas[ill][:, None] - areas[~ill][None]
        figures[f"{name}: AUC of the diseased area for infected slices"] = float(np.mean(np.sign(above) / 2 + 0.5))
    return figures


def overlap(truth: np.ndarray, mask: np.ndarray) -> tuple[float, float]:
    """IoU and Dice of two sets of pixels."""
    both, either = np.count_nonzero(truth & mask), np.count_nonzero(truth | mask)
    return both / either, 2 * both / (both + either)


if __name__ == "__main__":
    typer.run(main)
