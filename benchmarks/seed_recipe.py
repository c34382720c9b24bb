"""How accurate the recipe is that this project started from, on the slices that docs/model-card.md scores `fast` on.

    python benchmarks/seed_recipe.py DATA --out RUN [--canvas 256]

The `medseg` data of DATA are laid out as the recipe's own, `image/<patient>/<slice>.jpg` beside
`mask/<patient>/<slice>.png`, below RUN. `ctseg train --preset seed` learns from the patients marked `train`, `ctseg
export` makes a model file of it, and that is scored as benchmarks/accuracy.py scores the shipped one. A run that was
stopped goes on with the same call.
"""

import csv
import shutil
import subprocess
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from accuracy import EFFUSION, by_patient, masks_of, medseg_figures
from rich.console import Console
from rich.table import Table
from shared import ctseg, read_picture


def main(
    data: Annotated[Path, typer.Argument(help="The folder of the data sets.")],
    out: Annotated[Path, typer.Option(help="Where the layout, the run and the model file go.")],
    canvas: Annotated[int, typer.Option(help="Side of the slices in pixels; the recipe's own is 512.")] = 512,
    epochs: Annotated[int, typer.Option(help="The recipe's own number is 35.")] = 35,
) -> None:
    """Lay out, train, export, score."""
    held_back = lay_out(data / "medseg", out / "data")
    call = ["train", out / "data", "--out", out / "run", "--preset", "seed", "--canvas", canvas, "--epochs", epochs]
    call += [part for patient in held_back for part in ("--validation-group", patient)]
    run(*call, *(["--resume"] if (out / "run" / "recipe.json").exists() else []))
    model = out / "seed.onnx"
    run("export", out / "run" / "best.pt", "--out", model, "--slices", data / "medseg" / "images", "--overwrite")
    shutil.rmtree(out / "scored", ignore_errors=True)
    table = Table("figure", "value", title=f"the recipe `seed` at {canvas} x {canvas}: patients held back")
    for name, value in medseg_figures(by_patient(masks_of(data / "medseg", str(model), out / "scored"))).items():
        table.add_row(name, f"{value:.3f}")
    Console().print(table)


def lay_out(medseg: Path, out: Path) -> list[str]:
    """Write the recipe's own layout; effusion is background there. Returns the patients held back."""
    held_back = set()
    for row in csv.DictReader((medseg / "index.csv").open()):
        if row["split"] == "val":
            held_back.add(row["patient"])
        grey, mask = (read_picture(medseg / kind / row["file"]) for kind in ("images", "masks"))
        for kind, picture, ending in (("image", grey, ".jpg"), ("mask", np.where(mask == EFFUSION, 0, mask), ".png")):
            file = (out / kind / row["patient"] / row["file"]).with_suffix(ending)
            file.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(file), picture)
    return sorted(held_back)


def run(*arguments: object) -> None:
    """Run the command as a user does."""
    subprocess.run([ctseg(), *map(str, arguments)], check=True)


if __name__ == "__main__":
    typer.run(main)
