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
from ctseg.reading import open_images
from ctseg.runtime import open_on_cpu
from ctseg_batch.outputs import WRITERS, Seen

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
            dataset.PixelData = encapsulate([imagecodecs.ljpeg_encode(pixels, bitspersample=16)])
            dataset["PixelData"].VR = "OB"
            dataset.file_meta.TransferSyntaxUID = JPEGLosslessSV1
            dataset.save_as(folder / "dicom" / str(seed) / f"{index:03}.dcm", enforce_file_format=True)
    return Material(folder / "png", folder / "dicom")


class Parts:
    """The three parts of the job, each ready to be done alone, on all cores, for every slice of some files."""

    def __init__(self, files: Sequence[Path], model: str, workers: int) -> None:
        self._workers = workers
        self._files = files
        self._is_dicom = files[0].suffix == ".dcm"
        self._session, spec = open_on_cpu(find_model(model))
        pictures = [self._decoded(file) for file in files[:32]]
        sources = open_images(files[:32]) if not self._is_dicom else None
        self._inputs = [
            prepare(sources.read(i) if sources else _as_hu(p), spec.preparation)[0] for i, p in enumerate(pictures)
        ]
        self._masks = [
            cv2.resize(self._session.run([OUTPUT], {INPUT: x})[0][0], (512, 512), interpolation=cv2.INTER_NEAREST)
            for x in self._inputs
        ]

    def rates(self) -> dict[str, float]:
        """Slices/s of each part alone."""
        count = len(self._files)
        return {
            "network": self._rate(lambda i: self._session.run([OUTPUT], {INPUT: self._inputs[i % 32]}), count),
            "decode": self._rate(lambda i: self._decoded(self._files[i]), count),
            "encode": self._rate(lambda i: WRITERS["mask"].encode(Seen(self._masks[i % 32])), count),
        }

    def _rate(self, do: Callable[[int], Any], count: int) -> float:
        return rate(do, count, self._workers)

    def _decoded(self, file: Path) -> Any:
        """The bare decode: OpenCV's for PNG, libjpeg-turbo's for JPEG Lossless."""
        if not self._is_dicom:
            return cv2.imdecode(np.frombuffer(file.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
        return imagecodecs.jpeg8_decode(_frame(file))


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


_frames: dict[Path, bytes] = {}


def _frame(file: Path) -> bytes:
    """The JPEG inside a DICOM file, found once: to find it is no part of the bare decode."""
    if file not in _frames:
        _frames[file] = bytes(get_frame(dcmread(file).PixelData, 0, number_of_frames=1))
    return _frames[file]


def _as_hu(stored: np.ndarray) -> Any:
    from ctseg.scan import Slice

    return Slice((stored.astype(np.int32) - 1024).astype(np.int16), "hu")
