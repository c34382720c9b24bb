"""Soft labels: the probabilities of a larger network for every slice, to be learnt from besides the masks.

They add what a mask leaves out: how certain a border is, and which of two classes a pixel is if the mask does not tell
them apart.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from mmap import mmap
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from ctseg.errors import ModelError
from ctseg.prepare import Preparation, prepare
from ctseg.training.network_file import descent, open_network
from ctseg.training.predictor import mixed_precision
from ctseg.training.samples import Sample, Samples

MIRRORS: tuple[tuple[int, ...], ...] = ((), (2,), (3,), (2, 3))
"""The axes to mirror a slice along, as it is first: the mean of what a network says of all is better than any one."""


@dataclass(frozen=True)
class Teacher:
    """One or more networks that were trained before; their soft labels are averaged.

    `datasets`: what they learnt from, as checkpoints and model files describe it. `provenance`: what a checkpoint notes
    of them.
    """

    nets: tuple[nn.Module, ...]
    preparation: Preparation
    datasets: tuple[Mapping[str, Any], ...]
    provenance: tuple[Mapping[str, Any], ...]
    device: torch.device

    def soft_labels(self, sample: Sample) -> npt.NDArray[np.uint8]:
        """The probability of each class in 1/255, (rows, columns, classes), at the teacher's working size."""
        grey, undo = prepare(sample.image, self.preparation)
        views = torch.cat([torch.from_numpy(grey).flip(mirror) for mirror in MIRRORS]).to(self.device)
        views = views.contiguous(memory_format=torch.channels_last)
        given = []
        for net in self.nets:
            with torch.inference_mode(), mixed_precision(self.device):
                probabilities = net(views).float().softmax(dim=1)
            given += [seen.flip([d - 1 for d in mirror]) for seen, mirror in zip(probabilities, MIRRORS, strict=True)]
        rows, columns = undo.resized
        mean = torch.stack(given).mean(dim=0)[:, :rows, :columns]
        return _off_the_heap((255 * mean).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy())


def _off_the_heap(soft_labels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """A copy in memory outside the heap.

    On the heap, these lasting arrays would lie between the networks' temporary ones and fragment it: it would grow by
    several megabytes per slice.
    """
    kept = np.frombuffer(mmap(-1, soft_labels.size), np.uint8).reshape(soft_labels.shape)
    kept[...] = soft_labels
    return kept


def open_teacher(files: Sequence[Path], device: torch.device) -> Teacher:
    """The networks of some checkpoints or model files; raises ModelError for a file that is neither."""
    found = [open_network(file) for file in files]
    how = found[0].recipe.preparation
    for file, one in zip(files, found, strict=True):
        if one.recipe.preparation != how:
            raise ModelError(
                f"{file} sees slices at another size or in another window than {files[0]}: they can't teach together"
            )
    return Teacher(
        nets=tuple(one.net.to(device) for one in found),
        preparation=how,
        datasets=tuple(described for one in found for described in one.training.get("datasets", ())),
        provenance=tuple(descent(one, file) for file, one in zip(files, found, strict=True)),
        device=device,
    )


def with_soft_labels(loaded: Sequence[Samples], teacher: Teacher) -> list[Samples]:
    """The data sets with the teacher's soft labels on each training slice."""
    result = []
    for data in loaded:
        train = tuple(replace(sample, soft_labels=teacher.soft_labels(sample)) for sample in data.splits["train"])
        result.append(replace(data, splits={**data.splits, "train": train}))
    return result
