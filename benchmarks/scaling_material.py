"""What the benchmark of scaling works on: very many tiny files, and an OUT in which all of them were done before."""

import os
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import cv2
import numpy as np

from ctseg.phantom import Phantom
from ctseg.phantom.dicom import to_dicom
from ctseg.spacing import completed
from ctseg_batch.call import Call
from ctseg_batch.job import Job, open_job
from ctseg_batch.journal.past import Past
from ctseg_batch.journal.record import JournalFile
from ctseg_batch.outputs.slice_outputs import SLICE_WRITERS, LabelledSlice
from ctseg_batch.parts.part import Part
from ctseg_batch.parts.tally import Tally
from ctseg_batch.result import PartResult

IMAGES_A_FOLDER, FILES_A_SERIES = 1000, 100
SIDE = 16
LABELS = np.arange(SIDE * SIDE, dtype=np.uint8).reshape(SIDE, SIDE) % 4


def plant_images(folder: Path, count: int) -> None:
    """So many images in folders of 1000, no two of one name: a file for each folder, the others are links to it."""
    picture = cv2.imencode(".png", LABELS * 60)[1].tobytes()
    for number in range(count // IMAGES_A_FOLDER):
        fill(folder / f"patient {number}", [f"{number}-{index}.png" for index in range(IMAGES_A_FOLDER)], picture)


def plant_series(folder: Path, count: int) -> None:
    """So many DICOM files in folders of 100, a series each: links to the files of one small series."""
    phantom = Phantom(seed=0, slices=FILES_A_SERIES, size=SIDE)
    top = folder / "series 0"
    top.mkdir(parents=True)
    for index in range(FILES_A_SERIES):
        to_dicom(phantom, index, phantom.slice(index)[0]).save_as(top / f"{index}.dcm", enforce_file_format=True)
    for number in range(1, count // FILES_A_SERIES):
        home = folder / f"series {number}"
        home.mkdir()
        for file in sorted(top.iterdir()):
            os.link(file, home / file.name)


def note_as_done(call: Call) -> None:
    """Make OUT what a run leaves that has done it all, by the classes of a run, but for the network."""
    job = open_job(call)
    mask = SLICE_WRITERS["mask"].encode(LabelledSlice(LABELS))
    with job.run_folder.hold(print), job.run_folder.journal(job.root, job.settings, Past()) as journal:
        for part in parts(job, journal):
            home = job.run_folder.folder / SLICE_WRITERS["mask"].folder / Path(part.mask_names[0]).parent
            fill(home, [Path(name).name for name in part.mask_names], mask)
            journal.note(part.id, part.key, as_labelled(part))


def parts(job: Job, journal: JournalFile) -> Iterator[Part]:
    """What there is to do, which is all."""
    planner = job.planner(Past(), job.open_outputs(), journal)
    for piece in chain.from_iterable(map(planner.pieces, job.found.sites)):
        for step in planner.plan(piece):
            assert isinstance(step, Part)
            yield step


def as_labelled(part: Part) -> PartResult:
    """The figures of a part whose masks are all the same."""
    tally = Tally(part, None, "basic")
    for index in range(len(part.mask_names)):
        tally.add(index, LABELS)
    return tally.result(completed(part.scan.lengths_mm, None), part.scan.is_stack, "cpu", "fp32")


def fill(folder: Path, names: Sequence[str], content: bytes) -> None:
    """Files that are all the same: the first is written, the others are links to it."""
    folder.mkdir(parents=True, exist_ok=True)
    first, *others = names
    (folder / first).write_bytes(content)
    for name in others:
        os.link(folder / first, folder / name)
