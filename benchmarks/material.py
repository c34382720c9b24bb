"""What the benchmark of speed works on: slices of phantoms, and the parts of the job that nobody gets around."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import imagecodecs
import numpy as np
from pydicom.encaps import encapsulate, get_frame
from pydicom.filereader import dcmread
from pydicom.uid import JPEGLosslessSV1

from ctseg.model import INPUT, OUTPUT, find_model
from ctseg.phantom import Phantom, write_images
from ctseg.phantom.dicom import to_dicom
from ctseg.prepare import prepare
from ctseg.reading import open_images, open_series
from ctseg.runtime import open_on_cpu
from ctseg_batch.outputs.slice_outputs import SLICE_WRITERS, LabelledSlice

SLICES_A_SERIES = 40


@dataclass(frozen=True)
class Material:
    """Folders of the same slices as PNGs and as DICOM series in JPEG Lossless."""

    png: Path
    dicom: Path


def make_material(folder: Path, series: int) -> Material:
    """Draw `series` phantoms of 40 slices of 512 x 512."""
    for seed in range(series):
        phantom = Phantom(seed=seed, slices=SLICES_A_SERIES, disease=0.1)
        write_images(phantom, folder / "png" / str(seed))
        (folder / "dicom" / str(seed)).mkdir(parents=True)
        for index in range(len(phantom)):
            dataset = to_dicom(phantom, index, phantom.slice(index)[0])
            pixels = np.frombuffer(dataset.PixelData, np.uint16).reshape(phantom.size, phantom.size)
            jpeg = bytes(imagecodecs.jpeg8_encode(pixels, lossless=True, bitspersample=16, predictor=1))
            dataset.PixelData = encapsulate([jpeg])
            dataset["PixelData"].VR = "OB"
            dataset.file_meta.TransferSyntaxUID = JPEGLosslessSV1
            dataset.save_as(folder / "dicom" / str(seed) / f"{index:03}.dcm", enforce_file_format=True)
    return Material(folder / "png", folder / "dicom")


class Parts:
    """The three parts of the job, each ready to be done alone, on all cores, for every slice of some files."""

    def __init__(self, files: Sequence[Path], model: str, workers: int) -> None:
        self._workers = workers
        self._files = files
        # The JPEGs inside DICOM files are found beforehand: to find them is not part of the bare decode.
        self._frames = [bytes(get_frame(dcmread(f).PixelData, 0, number_of_frames=1)) for f in files if is_dicom(f)]
        self._session, spec = open_on_cpu(find_model(model))
        scan = open_series(files).series[0] if self._frames else open_images(files)
        self._inputs = [prepare(scan.read(index), spec.preparation)[0] for index in range(SLICES_A_SERIES)]
        self._masks = [
            cv2.resize(self._session.run([OUTPUT], {INPUT: x})[0][0], (512, 512), interpolation=cv2.INTER_NEAREST)
            for x in self._inputs
        ]

    def rates(self) -> dict[str, float]:
        """Slices/s of each part alone."""
        ways: dict[str, Callable[[int], Any]] = {
            "network": lambda i: self._session.run([OUTPUT], {INPUT: self._inputs[i % SLICES_A_SERIES]}),
            "decode": self._decode,
            "encode": lambda i: SLICE_WRITERS["mask"].encode(LabelledSlice(self._masks[i % SLICES_A_SERIES])),
        }
        return {name: rate(do, len(self._files), self._workers) for name, do in ways.items()}

    def _decode(self, index: int) -> Any:
        """The bare decode: OpenCV's for PNG, libjpeg-turbo's for JPEG Lossless."""
        if self._frames:
            return imagecodecs.jpeg8_decode(self._frames[index])
        return cv2.imdecode(np.frombuffer(self._files[index].read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)


def is_dicom(file: Path) -> bool:
    """By its ending, which it was given here."""
    return file.suffix == ".dcm"


def rate(do: Callable[[int], Any], count: int, threads: int) -> float:
    """How often a second `do` is done, over `count` times on so many threads."""
    numbers = iter(range(count))

    def work() -> None:
        for number in numbers:
            do(number)

    pool = [threading.Thread(target=work) for _ in range(threads)]
    began = time.perf_counter()
    for thread in pool:
        thread.start()
    for thread in pool:
        thread.join()
    return count / (time.perf_counter() - began)
