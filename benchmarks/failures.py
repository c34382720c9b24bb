"""Where the shipped model goes wrong, shown on phantoms: their truth is known, and they are nobody.

    python benchmarks/failures.py [--model fast] [--docs docs]

Draws docs/failures.png: for each kind of error the slice that has most of it, the mask beside the truth. Green lines go
round the pixels that are wrong.
"""

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from accuracy import CONSOLIDATION, GROUND_GLASS, LUNG, segment
from matplotlib.figure import Figure
from shared import read_picture

from ctseg.phantom import Phantom, write_dicom
from ctseg.reading import open_series
from ctseg_batch.outputs.overlay import as_shown, overlay

PHANTOMS = (
    Phantom(3, slices=40, disease=0.02),
    Phantom(4, slices=40, disease=0.15),
    Phantom(5, slices=40, disease=0.4),
)
ERRORS: Mapping[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "background called lung": lambda truth, mask: (truth == 0) & (mask >= LUNG),
    "consolidation missed": lambda truth, mask: (truth == CONSOLIDATION) & (mask == 0),
    "ground glass called normal lung": lambda truth, mask: (truth == GROUND_GLASS) & (mask == LUNG),
}


def main(
    model: Annotated[str, typer.Option(help="A shipped model's name or a file.")] = "fast",
    docs: Annotated[Path, typer.Option(help="The folder for failures.png.")] = Path("docs"),
) -> None:
    """Segment the phantoms and draw the worst slice of each kind."""
    worst: dict[str, tuple[int, np.ndarray, np.ndarray, np.ndarray]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for phantom in PHANTOMS:
            place = Path(folder) / str(phantom.seed)
            files = write_dicom(phantom, place / "scan", place / "truth")
            masks = segment(place / "scan", model, place / "out")
            (series,) = open_series(files).series
            for index, file in enumerate(series.files):
                truth = read_picture(place / "truth" / f"{file.stem}.png")
                mask = read_picture(masks / f"{file.name}.png")
                for name, is_wrong in ERRORS.items():
                    count = int(np.count_nonzero(is_wrong(truth, mask)))
                    if name not in worst or count > worst[name][0]:
                        worst[name] = (count, as_shown(series.read(index)), mask, truth)
    figure = Figure(figsize=(8, 4.1 * len(worst)), layout="constrained")
    for row, (name, (count, grey, mask, truth)) in zip(figure.subplots(len(worst), 2), worst.items(), strict=True):
        for axes, labels, title in zip(row, (mask, truth), (f"{name}: {count:,} pixels", "the truth"), strict=True):
            axes.imshow(cv2.cvtColor(overlay(grey, labels), cv2.COLOR_BGR2RGB))
            axes.contour(ERRORS[name](truth, mask), [0.5], colors="#00ff55", linewidths=1.0)
            axes.set_title(title, fontsize=10)
            axes.axis("off")
    figure.savefig(docs / "failures.png", dpi=80)
    print(docs / "failures.png")


if __name__ == "__main__":
    typer.run(main)
