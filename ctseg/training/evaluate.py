"""`ctseg evaluate`: score a checkpoint or a model file on data sets with masks."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
import typer
from rich.console import Console

from ctseg.classes import Labels
from ctseg.cleanup import Cleanup
from ctseg.datasets.dataset import read_datasets
from ctseg.datasets.learnt_groups import group_digest, learnt_groups
from ctseg.errors import CallError, DatasetError, require
from ctseg.model import INPUT, OUTPUT
from ctseg.prepare import Preparation
from ctseg.process.output_console import OutputConsole
from ctseg.process.signals import uninterrupted
from ctseg.process.standard_output import standard_output
from ctseg.runtime import check_labels, open_on_cpu
from ctseg.scan import DOMAINS
from ctseg.training.checks import check_tells_apart, leaks
from ctseg.training.doubtful_data import doubtful_slices, joined_in_vain, missing_classes
from ctseg.training.network_file import find_network, is_model
from ctseg.training.results import show_results, warn, warn_of_new_names
from ctseg.training.samples import Sample, Samples, load_samples
from ctseg.training.score import Predict, figures_of, label

Choice = Literal["held-out", "train", "all"]


@dataclass(frozen=True)
class Candidate:
    """A network to be scored, from a checkpoint or a model file.

    `domains`: the values that it takes. `datasets`: what it learnt from, as its file describes them; `learnt`: digests
    of the groups.
    """

    predict: Predict
    preparation: Preparation
    cleanup: Cleanup
    domains: Collection[str]
    datasets: Sequence[Mapping[str, Any]]
    learnt: frozenset[str]

    def mask(self, sample: Sample) -> Labels:
        """The mask (H, W) of a sample at its own size."""
        return label(self.predict, sample, self.preparation, self.cleanup)

    def trained_on(self, sample: Sample) -> bool:
        """Whether the network learnt from a sample's group."""
        return group_digest(sample.dataset, sample.group) in self.learnt


def evaluate(
    model: Annotated[str, typer.Argument(help="Checkpoint (.pt), model file (.onnx), or name of a shipped model.")],
    datasets: Annotated[list[Path], typer.Argument(help="Data sets, as for `ctseg train`.", metavar="DATASET")],
    slices: Annotated[
        Choice,
        typer.Option(
            help="held-out: groups (patients) the model was not trained on; train: groups it was trained on; all: both."
        ),
    ] = "held-out",
    group: Annotated[
        list[str] | None, typer.Option(help="Only the slices of this group (patient); repeatable.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the scores as JSON on standard output.")] = False,
) -> None:
    """Score a checkpoint or a model file on data sets: IoU and Dice of each class, pooled over the slices.

    Example: ctseg evaluate fast data/mine
    """
    candidate = open_candidate(model)
    found = read_datasets(datasets)
    if strange := set(group or ()).difference(*(data.groups for data in found)):
        raise CallError(f"no data set here has the group {min(strange)!r}")
    console = Console(stderr=True, soft_wrap=True)
    if slices == "held-out":
        warn_of_new_names(model, candidate.datasets, [d.name for d in found], console)
    loaded = [load_samples(dataset, 0, None) for dataset in found]
    scored, left_out = _scored(loaded, candidate, slices, group or ())
    for doubt in (*left_out, *_doubts(loaded, candidate, scored, slices)):
        warn(doubt, console)
    results = {}
    for data, chosen in scored:
        learnt_from = sum(candidate.trained_on(sample) for sample in chosen)
        figures = figures_of(candidate.mask, slices, chosen, data.meaning)
        results[data.dataset.name] = {**figures, "learnt_from": learnt_from}
    with standard_output() as stream:
        if as_json:
            stream.write(json.dumps(results, indent=2) + "\n")
        else:
            show_results(results, OutputConsole(file=stream))


def open_candidate(name_or_file: str) -> Candidate:
    """A checkpoint by its ending .pt, else a model; raises ModelError."""
    file = find_network(name_or_file)
    if not is_model(file):
        with uninterrupted():
            require("torch", "train")
        return _from_checkpoint(file)
    session, spec = open_on_cpu(file)

    def predict(grey: npt.NDArray[np.float32]) -> Labels:
        (given,) = session.run([OUTPUT], {INPUT: grey})
        check_labels(given, grey, spec.name)
        labels: Labels = given[0]
        return labels

    return Candidate(predict, spec.preparation, spec.cleanup, spec.domains, *_learnt(spec.training))


def _scored(
    loaded: Sequence[Samples], candidate: Candidate, slices: Choice, groups: Collection[str]
) -> tuple[list[tuple[Samples, list[Sample]]], list[str]]:
    """The data sets with their samples to score, and why others have none; raises DatasetError if all have none."""
    scored, left_out = [], []
    for data in loaded:
        named = data.dataset.groups.intersection(groups)
        if groups and not named:
            continue
        try:
            check_tells_apart(data)
            scored.append((data, choose(data, candidate, slices, named)))
        except DatasetError as error:
            left_out.append(str(error))
    if not scored:
        raise DatasetError("; ".join(left_out))
    return scored, left_out


def choose(data: Samples, candidate: Candidate, slices: Choice, groups: Collection[str]) -> list[Sample]:
    """The samples that `slices` names, of the given groups; of all, if none is given.

    Raises DatasetError where there are none, or where their values are others than the model takes.
    """
    whose = ", ".join(sorted(groups)) or "it"
    labelled = [one for samples in data.splits.values() for one in samples if not groups or one.group in groups]
    if not labelled:
        raise DatasetError(
            f"{data.dataset.folder}: by their labels, all slices of {whose} may show disease anywhere: there is "
            "nothing to score"
        )
    wanted = [one for one in labelled if slices == "all" or candidate.trained_on(one) == (slices == "train")]
    if not wanted:
        why = "all of them: --slices all gives no independent figures" if slices == "held-out" else "none of them"
        raise DatasetError(
            f"{data.dataset.folder}: no slices of {whose} are {slices} for this model: it was trained on {why}"
        )
    for sample in wanted:
        if sample.image.domain not in candidate.domains:
            taken = " or ".join(DOMAINS[domain] for domain in candidate.domains)
            raise DatasetError(
                f"{sample.file} is in {DOMAINS[sample.image.domain]}, but this model takes {taken}: choose other slices"
            )
    return wanted


def _doubts(
    loaded: Sequence[Samples], candidate: Candidate, scored: Sequence[tuple[Samples, Sequence[Sample]]], slices: Choice
) -> Iterator[str]:
    """A line for everything that makes the scores doubtful."""
    for data, chosen in scored:
        yield from doubtful_slices(data, chosen)
        every = [sample for some in data.splits.values() for sample in some]
        yield from missing_classes(data, every, "its slices", "no score says how well this is found")
        yield from joined_in_vain(data)
    if slices == "held-out":
        everything = (one for data in loaded for some in (*data.splits.values(), data.unlabelled) for one in some)
        held_out = chain.from_iterable(chosen for _, chosen in scored)
        yield from leaks({"trained on": filter(candidate.trained_on, everything), "held out": held_out})


def _from_checkpoint(file: Path) -> Candidate:
    import torch

    from ctseg.training import checkpoint
    from ctseg.training.predictor import predictor

    found = checkpoint.load(file)
    predict = predictor(found.net, torch.device("cpu"))
    return Candidate(predict, found.recipe.preparation, found.recipe.cleanup, DOMAINS, *_learnt(found.training))


def _learnt(training: Mapping[str, Any]) -> tuple[Sequence[Mapping[str, Any]], frozenset[str]]:
    datasets = training.get("datasets", ())
    return datasets, learnt_groups(datasets)
