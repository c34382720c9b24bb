"""Show scores of networks as tables, and warnings."""

from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ctseg.datasets.mask_meaning import place_of_group
from ctseg.printable import count, printable

_MEANS = (
    "mean: over the classes in the reference or the mask; mean present: over those in the reference; both include "
    "background"
)


def show_results(results: Mapping[str, Mapping[str, Any]], console: Console) -> None:
    """A table per data set: a row each for IoU and Dice, a column for each class and each mean."""
    for name, result in results.items():
        whose = f" of {result['of']}" if "of" in result else ""
        learnt = result.get("learnt_from")
        which = f", {learnt} of them trained on" if learnt else f" ({result['split']})"
        what = printable(f"{name}: {count(result['slices'], 'slice')}{which}{whose}")
        table = Table(
            title=Text(what, style="table.title"), title_justify="left", caption=_MEANS, caption_justify="left"
        )
        table.add_column("")
        columns = sorted(result["iou"], key=place_of_group)  # a model file has them in alphabetical order
        for column in columns:
            # One word per line: on 80 columns, the table would cut long words rather than wrap short ones.
            heading = printable(column).replace("+", " +\n").replace("_", "\n")
            table.add_column(Text(heading), justify="right")
        for measure, title in (("iou", "IoU"), ("dice", "Dice")):
            values = [result[measure][column] for column in columns]
            table.add_row(title, *("-" if value is None else f"{value:.3f}" for value in values))
        console.print(table)


def warn(said: str, console: Console) -> None:
    """Print a warning."""
    console.print(Text(printable(f"warning: {said}")))


def warn_of_new_names(who: str, knows: Iterable[Mapping[str, Any]], names: Iterable[str], console: Console) -> None:
    """Warn of data sets with names that `who` did not learn from: patients are recognised by that name only."""
    known = sorted({str(described.get("name")) for described in knows})
    for name in names:
        if name not in known:
            warn(
                f"{who} knows no data set named {name}, only {', '.join(known) or 'none'}, so all its patients count "
                "as new; if it was trained on them under another name, restore that name in the folder or its "
                "dataset.json",
                console,
            )
