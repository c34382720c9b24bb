"""Prove that a model file computes the same as the network that was exported."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import torch
from onnx import ModelProto
from torch import nn

from ctseg.classes import BACKGROUND, CLASSES
from ctseg.errors import ModelError
from ctseg.metrics import confusion, scores
from ctseg.model import INPUT, LOGITS, OUTPUT, Precision
from ctseg.phantom import Phantom
from ctseg.prepare import Preparation, prepare
from ctseg.runtime import session_on_cpu
from ctseg.scan import Slice

Batch = npt.NDArray[np.float32]
"""The network's input, (N, 1, H, W), grey 0..255."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The largest allowed difference of a logit, and the largest share (0..1) of pixels whose label may differ.

    `dice`: the least that a class must reach, since a rare one may be lost within that share.
    """

    logit: float
    label_share: float
    dice: float = 0.0

    def at(self, largest: float) -> "Limits":
        """The limits for a network whose logits go up to `largest`, with which rounding errors grow."""
        return replace(self, logit=self.logit * max(1.0, largest / _USUAL_LOGIT))


_USUAL_LOGIT = 16.0
"""The largest logit of a fully trained network; soon after the start it is ten times as large."""

_FEWEST_PIXELS = 500
"""Of a class that the network finds on fewer, the Dice says nothing."""

LIMITS: Mapping[Precision, Limits] = {
    "fp32": Limits(1e-3, 1e-4, 0.99),
    "fp16": Limits(0.25, 5e-3, 0.95),
    "int8": Limits(math.inf, 1e-2, 0.9),
}
"""The limits for each precision: float32 may differ only by the order of sums, float16 by rounding.

int8 rounds so coarsely that only its labels are compared.
"""


@dataclass(frozen=True, slots=True)
class Difference:
    """The difference of a model file from its network, over `slices` slices.

    `logit`: the largest absolute difference; `label_share`: the share (0..1) of pixels whose label differs;
    `lung_share`: the share that the network takes for lung. `largest`: how far its logits go from 0. `dice`: that of
    the file's labels with the network's, by the title of each class that the network finds on enough pixels.
    """

    slices: int
    logit: float
    label_share: float
    lung_share: float = 1.0
    largest: float = 0.0
    dice: Mapping[str, float] = field(default_factory=dict)

    def check(self, limits: Limits) -> None:
        """Raise ModelError if a limit is exceeded, or a logit is NaN."""
        if self.logit <= limits.logit and self.label_share <= limits.label_share:
            self._check_classes(limits)
            return
        if self.logit <= limits.logit == math.inf:
            raise ModelError(
                f"8 bits lose too much of the network: the label of {self.label_share:.4%} of the pixels differs (at "
                f"most {limits.label_share:.2%} is allowed); nothing was written. Give more real CT with --slices, "
                "or train longer"
            )
        raise ModelError(
            f"the exported graph is not the network: a logit differs by {self.logit:.2g} (at most "
            f"{limits.logit:.2g} is allowed), the label of {self.label_share:.2%} of the pixels (at most "
            f"{limits.label_share:.2%}); nothing was written"
        )

    def _check_classes(self, limits: Limits) -> None:
        for name, dice in self.dice.items():
            if dice < limits.dice:
                raise ModelError(
                    f"the file finds {name} elsewhere than the network (their Dice is {dice:.3f}, at least "
                    f"{limits.dice:g} is needed); nothing was written. In int8, give more real CT that shows it "
                    "with --slices, or train longer"
                )


def slice_batches(how: Preparation, given: Iterable[Slice]) -> Iterator[Batch]:
    """Slices, prepared as `how` says."""
    for source in given:
        yield prepare(source, how)[0]


def made_up_batches(how: Preparation) -> Iterator[Batch]:
    """Slices of a phantom; then batches and other sizes of noise, black and white."""
    phantom = Phantom(seed=0, slices=5)
    yield from slice_batches(how, (Slice(phantom.slice(index)[0], "hu") for index in (1, 2, 3)))
    random = np.random.default_rng(0)
    for count, rows, columns in ((1, 1, 1), (2, 2, 5), (3, 4, 3)):
        shape = (count, 1, rows * how.multiple, columns * how.multiple)
        yield random.uniform(0, 255, shape).astype(np.float32)
    black = np.zeros((1, 1, 2 * how.multiple, 2 * how.multiple), np.float32)
    yield np.concatenate([black, black + 255])


def measure(model: ModelProto, net: nn.Module, batches: Iterable[Batch]) -> Difference:
    """Run the file in onnxruntime on the CPU and the network in torch on the same batches."""
    session = session_on_cpu(model.SerializeToString())
    logits, largest, slices = [0.0], 0.0, 0
    counts = np.zeros((len(CLASSES), len(CLASSES)), np.int64)  # by the class of the network and of the file
    for batch in batches:
        with torch.inference_mode():
            expected = net(torch.from_numpy(batch)).numpy()
        labels, found = session.run([OUTPUT, LOGITS], {INPUT: batch})
        logits.append(float(np.abs(found.astype(np.float32) - expected).max()))
        largest = max(largest, float(np.abs(expected).max()))
        slices += len(batch)
        counts += confusion(expected.argmax(axis=1).astype(np.uint8), labels, len(CLASSES))
    found, pixels = counts.sum(axis=1), counts.sum()
    dice = scores(counts).dice
    return Difference(
        slices=slices,
        logit=float(np.max(logits)),  # NumPy's maximum, unlike Python's, is NaN if any value is
        label_share=float(1 - counts.trace() / pixels),
        lung_share=float(1 - found[BACKGROUND.index] / pixels),
        largest=largest,
        dice={one.title: dice[one.index] or 0.0 for one in CLASSES if found[one.index] >= _FEWEST_PIXELS},
    )
