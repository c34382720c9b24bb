"""What the benchmarks share: the command that they run, and the pictures that it reads and writes."""

import shutil
import sys
from pathlib import Path

import cv2
import numpy as np


def ctseg() -> str:
    """The command beside this interpreter."""
    return shutil.which("ctseg", path=str(Path(sys.executable).parent)) or "ctseg"


def read_picture(file: Path) -> np.ndarray:
    """The pixels of a picture as they are stored, (H, W) or (H, W, channels); raises FileNotFoundError."""
    pixels = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise FileNotFoundError(file)
    return pixels
