"""Draw the README's picture, of a patient who does not exist: `python docs/make_picture.py`."""

from pathlib import Path

import cv2
import numpy as np

from ctseg.phantom import Phantom
from ctseg.prepare import to_grey
from ctseg.scan import Slice
from ctseg.window import LUNG_WINDOW
from ctseg_batch import Segmenter
from ctseg_batch.outputs.overlay import overlay

PICTURE = Path(__file__).with_name("overview.jpg")
_SHOWN = (40, 54, 68)
_ROWS, _SIZE = slice(60, 452), (358, 274)


def main() -> None:
    """Three slices as they come, and below as the shipped model labels them."""
    phantom = Phantom(seed=3, slices=90, disease=0.25)
    hu = phantom.volume()[0]
    labels = Segmenter()(hu, phantom.spacing_mm).labels
    greys = [np.rint(to_grey(Slice(hu[index], "hu"), LUNG_WINDOW)).astype(np.uint8) for index in _SHOWN]
    grey = np.hstack([cv2.resize(picture[_ROWS], _SIZE, interpolation=cv2.INTER_AREA) for picture in greys])
    seen = np.hstack([cv2.resize(labels[index][_ROWS], _SIZE, interpolation=cv2.INTER_NEAREST) for index in _SHOWN])
    drawn = np.vstack([cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), overlay(grey.astype(np.uint8), seen.astype(np.uint8))])
    PICTURE.write_bytes(cv2.imencode(".jpg", drawn, (cv2.IMWRITE_JPEG_QUALITY, 82))[1].tobytes())


if __name__ == "__main__":
    main()
