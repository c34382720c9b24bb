"""Several networks as one, each of which may look at a slice and at its mirror images: the mean of what they say."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ctseg.confidence import TEMPERATURES
from ctseg.errors import CallError
from ctseg.model import WEIGHTS
from ctseg.training.checkpoint import Checkpoint
from ctseg.training.distill import MIRRORS
from ctseg.training.lineage import inherited_datasets
from ctseg.training.network_file import descent, open_network, weights_digest


class Ensemble(nn.Module):
    """The mean of the logits of some networks, each divided by its temperature, so that all are equally sure.

    Each network looks once for every entry of `mirrors`, the axes along which the slice is mirrored first.
    """

    def __init__(
        self, members: Sequence[nn.Module], temperatures: Sequence[float], mirrors: Sequence[Sequence[int]]
    ) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self._temperatures, self._mirrors = tuple(temperatures), tuple(mirrors)

    def forward(self, grey: Tensor) -> Tensor:
        """Grey (N, 1, H, W) to logits (N, classes, H, W)."""
        looks = torch.cat([_mirrored(grey, axes) for axes in self._mirrors]) if len(self._mirrors) > 1 else grey
        share = 1 / len(self.members)
        given = [net(looks) * (share / t) for net, t in zip(self.members, self._temperatures, strict=True)]
        together: Tensor = sum(given[1:], start=given[0])
        if len(self._mirrors) == 1:
            return together
        views = zip(together.chunk(len(self._mirrors)), self._mirrors, strict=True)
        return torch.stack([_mirrored(view, axes) for view, axes in views]).mean(dim=0)


def open_ensemble(files: Sequence[Path], *, is_mirrored: bool) -> Checkpoint:
    """The networks of some checkpoints or model files as one, with the data that any of them learnt from.

    A single one that is not mirrored is returned as it is. The mean gives probabilities if all of them do, with the
    temperature of a member where that is at a bound, so that it counts as uncalibrated, too. It has no scores, since
    those of its members do not hold for it. Raises ModelError, and CallError for networks that see slices differently,
    of which only some have a temperature, or that are the same.
    """
    found = [open_network(file) for file in files]
    first = found[0]
    if len(found) == 1 and not is_mirrored:
        return first
    for file, one in zip(files, found, strict=True):
        for what, theirs, ours in (
            ("preparation", one.recipe.preparation, first.recipe.preparation),
            ("clean-up", one.recipe.cleanup, first.recipe.cleanup),
        ):
            if theirs != ours:
                raise CallError(f"{file} uses another {what} of slices than {files[0]}: they can't be joined")
    digests = list(map(weights_digest, found))
    if len(set(digests)) < len(found):
        raise CallError("one of the networks is named twice: leave it out, since it would only count twice")
    temperatures = [one.temperature for one in found if one.temperature]
    is_calibrated = len(temperatures) == len(found)
    if temperatures and not is_calibrated:
        lacking = next(file for file, one in zip(files, found, strict=True) if not one.temperature)
        raise CallError(
            f"{lacking} is not calibrated but others are, so their logits have no common scale: take the best.pt of a "
            "run that has ended, one with --all-groups only if it had --figures-of"
        )
    remaining = next((one for one in temperatures if one in TEMPERATURES), 1.0)
    net = Ensemble(
        [one.net for one in found],
        [one / remaining for one in temperatures] if is_calibrated else [1.0] * len(found),
        MIRRORS if is_mirrored else MIRRORS[:1],
    )
    return replace(
        first,
        net=net.eval(),
        training={
            "datasets": _joined([one.training.get("datasets", ()) for one in found]),
            "members": [descent(one, file) for one, file in zip(found, files, strict=True)],
            "mirrored": is_mirrored,
            WEIGHTS: sha256("".join(digests).encode()).hexdigest(),
        },
        scores={},
        temperature=remaining if is_calibrated else None,
    )


def _joined(learnt: Sequence[Sequence[Mapping[str, Any]]]) -> list[Mapping[str, Any]]:
    """The data sets of all networks; those of a later one as far as they hold groups that the others do not."""
    joined: list[Mapping[str, Any]] = []
    for datasets in learnt:
        joined += inherited_datasets(datasets, joined)
    return joined


def _mirrored(images: Tensor, axes: Sequence[int]) -> Tensor:
    return images.flip(tuple(axes)) if axes else images
