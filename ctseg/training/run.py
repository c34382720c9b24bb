"""A training run, from loaded data sets to a run folder: the fit, the temperature, the scores, curves and panels."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from ctseg.confidence import TEMPERATURES
from ctseg.datasets.dataset import Split
from ctseg.model import BEST
from ctseg.printable import count, printable
from ctseg.process.replacing import replace_with
from ctseg.training.recipe import Recipe
from ctseg.training.results import show_results, warn
from ctseg.training.run_folder import LAST
from ctseg.training.samples import Samples

if TYPE_CHECKING:
    from ctseg.training.lineage import Lineage

METRICS, CURVES, PANELS = "metrics.json", "curves.png", "panels.png"


def run(
    recipe: Recipe, loaded: Sequence[Samples], training: Mapping[str, Any], out: Path, device: Any,
    console: Console, lineage: "Lineage",
) -> None:  # fmt: skip
    """Fit the network of a recipe, calibrate and score its best epoch, and write all that into the run folder `out`."""
    from ctseg.training import checkpoint, report
    from ctseg.training.calibrate import calibration_error, collect_logits, fit_temperature
    from ctseg.training.fit import Fit, best_epoch
    from ctseg.training.lineage import inherited_scores
    from ctseg.training.predictor import final_scores

    console.print(f"{_describe(loaded)}, on {_name(device)}; recipe [bold]{recipe.preset}[/]")
    is_needed = recipe.start_share or not (out / LAST).is_file()  # a run that is continued has weights of its own
    first = lineage.first_network(loaded, recipe) if is_needed else None
    with report.FitProgress(console, recipe.epochs) as progress:
        fit = Fit(recipe, loaded, training, out, device, progress.on_step, progress.on_epoch, first)
        if fit.history:
            console.print(f"continuing after epoch {len(fit.history)}")
        history = fit.fit()
    best = checkpoint.load(out / BEST)
    results = final_scores(best.net, recipe, loaded, device) or inherited_scores(lineage)
    pixels = collect_logits(best.net.to(device), recipe.preparation, loaded, device)
    temperature = fit_temperature(pixels)
    if training.get("all_groups"):  # then the figures and the temperature of another network are the best available
        temperature = lineage.judged.temperature if lineage.judged else None
    elif temperature is None:
        warn(
            "no slice that is held out shows lung, by its mask or by the network: there is nothing to calibrate by, "
            "so a model file will give labels but no probabilities",
            console,
        )
    if pixels and temperature in TEMPERATURES:
        low, high = TEMPERATURES
        warn(
            f"the temperature is at a bound of the range tried, {low:g} to {high:g}, so the network's confidence is "
            f"not calibrated: expected_calibration_error in {out / METRICS} says how far off it is",
            console,
        )
    calibration = {one.name: calibration_error(one, temperature) for one in pixels} if temperature else {}
    checkpoint.save(replace(best, scores=results, temperature=temperature), out / BEST)
    metrics = {
        "best_epoch": best_epoch(history),
        "results": results,
        "temperature": temperature,
        "expected_calibration_error": calibration,
        "history": history,
    }
    replace_with(out / METRICS, json.dumps(metrics, indent=2).encode())
    show_results(results, console)
    report.draw_curves(history, out / CURVES)
    report.draw_panels(best.net, recipe, loaded, device, out / PANELS)
    told = f"the best checkpoint is {out / BEST}; next: ctseg export {out / BEST} --out model.onnx"
    console.print(Text(printable(told)))


def _describe(loaded: Sequence[Samples]) -> str:
    def many(split: Split) -> int:
        return sum(len(data.splits[split]) for data in loaded)

    return f"{count(many('train'), 'slice')} to train on, {many('val'):,} to validate, {many('test'):,} to test"


def _name(device: Any) -> str:
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"the CPU ({count(torch.get_num_threads(), 'thread')})"
