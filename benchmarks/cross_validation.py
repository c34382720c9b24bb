"""How accurate a recipe is when every patient with masks is held back once: fewer slices decide nothing alone.

    python benchmarks/cross_validation.py DATA --out RUNS [--folds 3] [OPTIONS OF ctseg train]

The patients of `medseg` and `covid_ct_seg` are dealt into folds of nearly as many slices. For each fold a network
learns from the others, and from the series but `covid_p001`; the weights of its last epoch, so that no slice scored
has chosen them, are exported, and what `ctseg batch` makes of the fold's own slices is scored as benchmarks/accuracy.py
does. The figures are of all folds together. Options that are unknown here go to `ctseg train`. A call that was stopped
goes on when it is made again.
"""

import csv
import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from accuracy import bootstrap, by_patient, covid_ct_seg_figures, masks_of, medseg_figures
from rich.console import Console
from rich.table import Table
from seed_recipe import run

SETS = {"medseg": medseg_figures, "covid_ct_seg": covid_ct_seg_figures}


def main(
    context: typer.Context,
    data: Annotated[Path, typer.Argument(help="The folder of the data sets.")],
    out: Annotated[Path, typer.Option(help="Where the folds, the runs and the model files go.")],
    folds: Annotated[int, typer.Option(min=2, max=6, help="How many networks to train.")] = 3,
    as_json: Annotated[Path | None, typer.Option("--json", help="Write the figures here, too.")] = None,
) -> None:
    """Deal, train, export, score."""
    patients: dict[str, list[np.ndarray]] = {name: [] for name in SETS}
    for fold in range(folds):
        work = out / f"fold{fold}"
        for name in SETS:
            lay_out(data / name, work / name, fold, folds)
        train(work, data / "series", context.args)
        model = work / "model.onnx"
        run("export", work / "run" / "last.pt", "--out", model, "--slices", work / "medseg" / "images", "--overwrite")
        for name in SETS:
            scored = work / "scored" / name
            shutil.rmtree(scored, ignore_errors=True)
            patients[name] += by_patient(masks_of(work / name, str(model), scored))
    figures: dict[str, float] = {}
    table = Table("figure", "value", "95 %", title=f"{folds} folds, every patient held back once")
    for name, of in SETS.items():
        intervals = bootstrap(of, patients[name])
        for figure, value in of(patients[name]).items():
            low, high = intervals[figure]
            table.add_row(figure, f"{value:.3f}", f"{low:.3f} to {high:.3f}")
            figures[figure] = value
    Console().print(table)
    if as_json:
        as_json.write_text(json.dumps(figures, indent=2))


def lay_out(dataset: Path, to: Path, fold: int, folds: int) -> None:
    """The data set again, by links, with an index that holds back the patients of a fold."""
    with (dataset / "index.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    sizes = Counter(row["patient"] for row in rows)
    # There and back again, the largest first, so that no fold gets the larger one of every round.
    turns = [*range(folds), *reversed(range(folds))]
    largest_first = sorted(sizes, key=lambda patient: (-sizes[patient], patient))
    held_back = {patient for place, patient in enumerate(largest_first) if turns[place % len(turns)] == fold}
    to.mkdir(parents=True, exist_ok=True)
    for kind in ("images", "masks"):
        if not (to / kind).exists():
            (to / kind).symlink_to((dataset / kind).resolve(), target_is_directory=True)
    shutil.copy(dataset / "dataset.json", to)
    with (to / "index.csv").open("w", newline="") as lines:
        index = csv.DictWriter(lines, list(rows[0]))
        index.writeheader()
        index.writerows({**row, "split": "val" if row["patient"] in held_back else "train"} for row in rows)


def train(work: Path, series: Path, options: list[str]) -> None:
    """Train a fold's network, or go on with it."""
    call: list[object] = [*(work / name for name in SETS), series, "--validation-group", "covid_p001", *options]
    resume = ["--resume"] if (work / "run" / "recipe.json").exists() else []
    run("train", *call, "--out", work / "run", *resume)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False)
    app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(main)
    app()
