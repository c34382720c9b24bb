"""The outputs of slices: mask, overlay, confidence, each kind in a folder below OUT."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from ctseg.classes import Labels
from ctseg.confidence import Confidence
from ctseg.turn import UPRIGHT, Turn
from ctseg_batch.layout import CONFIDENCE, MASKS, OVERLAYS
from ctseg_batch.outputs.overlay import Grey, overlay

# Masks are long runs of few values: RLE, no filter. Without a named filter, OpenCV 5 is four times slower once a level
# is given.
_PNG_OF_MASK = (
    cv2.IMWRITE_PNG_COMPRESSION, 1,
    cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE,
    cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_NONE,
)  # fmt: skip
_PNG_OF_PICTURE = (cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_SUB)


Need = Literal["grey", "confidence"]
"""What an output may need besides the labels."""


@dataclass(frozen=True, slots=True)
class LabelledSlice:
    """A slice that was labelled; if an output needs them, also its grey values on a screen and the confidence.

    All are as the slice is stored; `turn` is how it would stand upright.
    """

    labels: Labels
    grey: Grey | None = None
    confidence: Confidence | None = None
    turn: Turn = UPRIGHT


@dataclass(frozen=True, slots=True)
class SliceWriter:
    """A kind of output: its folder below OUT, the function that makes a slice's file, and what that needs."""

    folder: str
    encode: Callable[[LabelledSlice], bytes]
    needs: Need | None = None


def _mask(labelled: LabelledSlice) -> bytes:
    return _png(labelled.labels, _PNG_OF_MASK)


def _overlay(labelled: LabelledSlice) -> bytes:
    assert labelled.grey is not None
    return _png(overlay(labelled.grey, labelled.labels), _PNG_OF_PICTURE)


def _confidence(labelled: LabelledSlice) -> bytes:
    assert labelled.confidence is not None
    return _png(labelled.confidence, _PNG_OF_PICTURE)


SLICE_WRITERS: Mapping[str, SliceWriter] = {
    "mask": SliceWriter(MASKS, _mask),
    "overlay": SliceWriter(OVERLAYS, _overlay, needs="grey"),
    "confidence": SliceWriter(CONFIDENCE, _confidence, needs="confidence"),
}


def _png(picture: npt.NDArray[np.uint8], options: Sequence[int]) -> bytes:
    done, encoded = cv2.imencode(".png", picture, options)
    if not done:
        raise MemoryError(f"OpenCV could not encode a picture of {picture.shape}")
    return encoded.tobytes()
