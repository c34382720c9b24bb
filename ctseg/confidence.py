"""The confidence of the network in each pixel, as a calibrated probability."""

import numpy as np
import numpy.typing as npt

from ctseg.prepare import Restoration, resize

TEMPERATURES = (0.25, 4.0)
"""The range that a temperature is looked for in; one that is found at its end does not calibrate."""

Confidence = npt.NDArray[np.uint8]
"""(H, W): the probability of the winning class, in 1/255."""


def winning_probability(
    logits: npt.NDArray[np.float32] | npt.NDArray[np.float16], temperature: float
) -> npt.NDArray[np.float32]:
    """The softmax probability of the winning class, (H, W) in 0..1, from logits (classes, H, W).

    The logits are first divided by the `temperature`, which is fitted on slices held back so that 90 % of the pixels
    with probability 0.9 are right (Guo et al. 2017, "On calibration of modern neural networks").
    """
    wide = logits.astype(np.float32)
    behind = (wide - wide.max(axis=0)) / np.float32(temperature)
    probability: npt.NDArray[np.float32] = 1 / np.exp(behind).sum(axis=0)
    return probability


def restore_confidence(probability: npt.NDArray[np.float32], undo: Restoration) -> Confidence:
    """The map of the slice as it is stored from the probabilities (H, W) at the network's working size."""
    rows, columns = undo.resized
    within = np.ascontiguousarray(probability[:rows, :columns]) * np.float32(255)
    if undo.resized != undo.original:
        within = resize(within, undo.original)
    confidence: Confidence = np.rint(within).astype(np.uint8)
    return np.ascontiguousarray(undo.turn.stored(confidence))
