"""The synthetic slices that the shipped model has learnt from beside real ones.

    python benchmarks/phantom_slices.py OUT

OUT becomes a data set for `ctseg train`: phantoms from healthy to half diseased, through the model's own window. All
but one of the diseased lungs that are real come as 8-bit pictures, so what other windows do to lesions is learnt from
these. Ground glass and consolidation are not distinguished: where a radiologist sees that border is not for a phantom
to say.
"""

import csv
import json
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from ctseg.phantom import Phantom, write_images

PATIENTS, SLICES, FIRST_SEED = 30, 10, 1000
DISEASE = (0.0, 0.03, 0.08, 0.15, 0.3, 0.5)
DESCRIBED = {
    "name": "phantoms",
    "images": "images",
    "masks": "masks",
    "index": "index.csv",
    "group": "patient",
    "mask_values": {
        "0": ["background"],
        "1": ["normal_lung"],
        "2": ["ground_glass", "consolidation"],
        "3": ["ground_glass", "consolidation"],
    },
}


def main(out: Annotated[Path, typer.Argument(help="The folder of the data set.")]) -> None:
    """Draw the phantoms and write the index, in which all of them train."""
    with ProcessPoolExecutor() as pool:
        names = list(pool.map(partial(draw, out), range(PATIENTS)))
    with (out / "index.csv").open("w", newline="") as lines:
        index = csv.writer(lines)
        index.writerow(["file", "patient", "split"])
        index.writerows((name, f"{patient:03d}", "train") for patient, files in enumerate(names) for name in files)
    (out / "dataset.json").write_text(json.dumps(DESCRIBED, indent=2))


def draw(out: Path, patient: int) -> list[str]:
    """Write one patient's slices and masks; returns the names of the files."""
    phantom = Phantom(seed=FIRST_SEED + patient, slices=SLICES, disease=DISEASE[patient % len(DISEASE)])
    stems = [f"{patient:03d}_{index}" for index in range(SLICES)]
    files = write_images(phantom, out / "images", truth=out / "masks", stems=stems)
    return [file.name for file in files]


if __name__ == "__main__":
    typer.run(main)
