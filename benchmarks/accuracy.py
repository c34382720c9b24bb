"""How accurate `ctseg batch` is on patients that the model did not learn from, worked out from its masks.

    python benchmarks/accuracy.py DATA [--model FILE] [--json FILE]

DATA holds `medseg`, `covid_ct_seg` and `series` as docs/model-card.md describes them. Slices marked `val` are
copied out as plain images, so that nothing tells the command where they come from, segmented with its default
options, and the masks are scored here, by code that shares nothing with the package; only whom a model learnt from is
told as the package tells it. Intervals (95 %) come from
drawing the patients again, with replacement: they are wide where the patients are few.

The shipped model learnt from all patients in its last runs. `held_back.onnx` was made alike, without those that are
scored here (docs/model-card.md). `--split train` scores it on those that it did learn from, for what is to be chosen by
them and not by the others.
"""

import csv
import json
import shutil
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import typer
from rich.console import Console
from rich.table import Table
from shared import ctseg, read_picture

from ctseg.datasets.learnt_groups import group_digest, learnt_groups

LUNG, GROUND_GLASS, CONSOLIDATION, EFFUSION = 1, 2, 3, 4
Split = Literal["val", "train"]
HELD_BACK = str(Path(__file__).with_name("held_back.onnx"))


def main(
    data: Annotated[Path, typer.Argument(help="The folder of the data sets.")],
    model: Annotated[str, typer.Option(help="A model file that has patients held back.")] = HELD_BACK,
    out: Annotated[Path | None, typer.Option("--json", help="Write the figures here, too.")] = None,
    series: Annotated[list[str] | None, typer.Option(help="Series to score.")] = None,
    split: Annotated[Split, typer.Option(help="The slices to score.")] = "val",
) -> None:
    """Print the figures of the model card."""
    scored = series or (["covid_p001"] if split == "val" else [])
    if split == "val":
        check_held_back(model, [data / "medseg", data / "covid_ct_seg"], data / "series", scored)
    figures: dict[str, float] = {}
    intervals: dict[str, tuple[float, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        for name, of, to in (("medseg", medseg_figures, "a"), ("covid_ct_seg", covid_ct_seg_figures, "b")):
            tables = by_patient(masks_of(data / name, model, work / to, split))
            figures |= of(tables)
            intervals |= bootstrap(of, tables)
        figures |= calibration_figures(data / "medseg", model, work / "a")
        for name in scored:
            figures |= series_figures(data / "series", name, model, work / name)
    whom = "held back" if split == "val" else "learnt from"
    table = Table(title=f"{Path(model).name}: patients {whom}")
    table.add_column("figure")
    table.add_column("value", justify="right")
    table.add_column("95 %", justify="right")
    for name, value in figures.items():
        low, high = intervals.get(name, (None, None))
        table.add_row(name, f"{value:.3f}", "" if low is None else f"{low:.3f} to {high:.3f}")
    Console().print(table)
    if out:
        out.write_text(json.dumps(figures, indent=2))


def segment(source: Path, model: str, out: Path, **options: str) -> Path:
    """Run the command over a folder and name that of its masks."""
    more = [part for name, value in options.items() for part in (f"--{name}", value)]
    call = [ctseg(), "batch", str(source), "--out", str(out), "--model", model, "--quiet", *more]
    subprocess.run(call, check=True)
    return out / "masks"


def check_held_back(model: str, datasets: Sequence[Path], folder: Path, series: Sequence[str]) -> None:
    """Refuse a model that learnt from patients whom it is scored on, itself or before: figures would be too good."""
    learnt = learnt_groups(inspected(model)["training"]["datasets"])
    scored = {(folder, name) for name in series}
    scored |= {(dataset, row["patient"]) for dataset in datasets for row in rows_of(dataset)}
    names = {d: json.loads((d / "dataset.json").read_text())["name"] for d in (folder, *datasets)}
    known = sum(group_digest(names[d], group) in learnt for d, group in scored)
    if known:
        raise typer.BadParameter(f"{model} learnt from {known} of the {len(scored)} patients here; {HELD_BACK} did not")


def rows_of(dataset: Path, split: Split = "val") -> list[dict[str, str]]:
    """The slices of the index that it marks so."""
    with (dataset / "index.csv").open() as lines:
        return [row for row in csv.DictReader(lines) if row["split"] == split]


@cache
def inspected(model: str) -> dict[str, Any]:
    """What a model file says of itself."""
    told = subprocess.run([ctseg(), "inspect", model, "--json"], check=True, capture_output=True, text=True).stdout
    described: dict[str, Any] = json.loads(told)
    return described


def masks_of(dataset: Path, model: str, work: Path, split: Split = "val") -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Patient, truth and mask of each slice of a split."""
    rows = rows_of(dataset, split)
    (work / "images").mkdir(parents=True)
    for row in rows:
        shutil.copy(dataset / "images" / row["file"], work / "images")
    masks = segment(work / "images", model, work / "out")

    return [
        (row["patient"], read_picture(dataset / "masks" / row["file"]), read_picture(masks / row["file"]))
        for row in rows
    ]


def by_patient(slices: list[tuple[str, np.ndarray, np.ndarray]]) -> list[np.ndarray]:
    """Pixels by true value (row) and predicted class (column), (4, 4), of each patient; effusion is background."""
    tables: dict[str, np.ndarray] = defaultdict(lambda: np.zeros((4, 4), np.int64))
    for patient, truth, mask in slices:
        truth = np.where(truth == EFFUSION, 0, truth)
        tables[patient] += np.bincount(4 * truth.ravel().astype(int) + mask.ravel(), minlength=16).reshape(4, 4)
    return list(tables.values())


def medseg_figures(patients: Sequence[np.ndarray]) -> dict[str, float]:
    """IoU and Dice pooled over all slices."""
    table = np.sum(patients, axis=0)
    names = {0: "background", LUNG: "normal lung", GROUND_GLASS: "ground glass", CONSOLIDATION: "consolidation"}
    iou = {name: agreement(table, [c])[0] for c, name in names.items()}
    return {
        **{f"medseg: IoU of {name}": value for name, value in iou.items()},
        "medseg: mean IoU": float(np.mean(list(iou.values()))),
        "medseg: Dice of ground glass": agreement(table, [GROUND_GLASS])[1],
        "medseg: Dice of consolidation": agreement(table, [CONSOLIDATION])[1],
        "medseg: Dice of lesion": agreement(table, [GROUND_GLASS, CONSOLIDATION])[1],
    }


def covid_ct_seg_figures(patients: Sequence[np.ndarray]) -> dict[str, float]:
    """Dice of each patient, pooled over the slices, and the mean over the patients; value 2 is any infection."""
    lung = [agreement(table, [LUNG, GROUND_GLASS, CONSOLIDATION])[1] for table in patients]
    infection = [agreement(table, [GROUND_GLASS, CONSOLIDATION])[1] for table in patients]
    return {
        "covid_ct_seg: Dice of lung, mean of patients": float(np.mean(lung)),
        "covid_ct_seg: Dice of infection, mean of patients": float(np.mean(infection)),
        "covid_ct_seg: area of lung / that of the masks, mean of patients": float(
            np.mean([table[:, LUNG:].sum() / table[LUNG:].sum() for table in patients])
        ),
    }


def agreement(table: np.ndarray, classes: list[int]) -> tuple[float, float]:
    """IoU and Dice of some classes taken as one."""
    both = table[np.ix_(classes, classes)].sum()
    sizes = table[classes].sum() + table[:, classes].sum()
    return (float(both / (sizes - both)), float(2 * both / sizes)) if sizes else (1.0, 1.0)


def bootstrap(
    of: Callable[[Sequence[np.ndarray]], dict[str, float]], patients: Sequence[np.ndarray], draws: int = 2000
) -> dict[str, tuple[float, float]]:
    """The 2.5th and the 97.5th percentile of each figure over so many draws of the patients."""
    rng = np.random.default_rng(0)
    drawn = [of([patients[i] for i in rng.integers(0, len(patients), len(patients))]) for _ in range(draws)]
    spread = {name: np.percentile([figures[name] for figures in drawn], [2.5, 97.5]) for name in drawn[0]}
    return {name: (float(low), float(high)) for name, (low, high) in spread.items()}


def calibration_figures(dataset: Path, model: str, work: Path) -> dict[str, float]:
    """The expected calibration error in 15 bins of sureness, where slice or mask show lung; none without logits."""
    if inspected(model)["temperature"] is None:
        return {}
    out = segment(work / "images", model, work / "sure", write="mask,confidence").parent
    gaps, count = np.zeros(15), 0
    for file in sorted((out / "masks").glob("*.png")):
        truth, mask, sure = (
            read_picture(f) for f in (dataset / "masks" / file.name, file, out / "confidence" / file.name)
        )
        truth = np.where(truth == EFFUSION, 0, truth)
        lung = (truth > 0) | (mask > 0)
        sure, right = sure[lung] / 255, truth[lung] == mask[lung]
        gaps += np.bincount(np.minimum((sure * 15).astype(int), 14), weights=sure - right, minlength=15)
        count += lung.sum()
    return {"medseg: expected calibration error": float(np.abs(gaps).sum() / count)}


def series_figures(folder: Path, name: str, model: str, work: Path) -> dict[str, float]:
    """The share of uninfected slices' lung called diseased, and how well the diseased area ranks the infected."""
    masks = segment(folder / name, model, work)
    infected, area, lung = [], [], []
    for row in csv.DictReader((folder / f"{name}.csv").open()):
        mask = read_picture(masks / f"{row['file']}.png")
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
