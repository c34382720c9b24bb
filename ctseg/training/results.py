"""What a person is told of networks: scores as a table, and what makes them doubtful."""

from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ctseg.classes import CLASSES
from ctseg.mask_meaning import classes_in
from ctseg.printable import printable

_MEANS = (
    "mean: of the classes that the reference or the mask holds; mean present: of those that the reference holds; "
    "both with background"
)


def show_results(results: Mapping[str, Mapping[str, Any]], console: Console) -> None:
    """A table a data set: a row for IoU and one for Dice, a column a class and one for each mean."""
    for name, result in results.items():
        whose = f" of {result['of']}" if "of" in result else ""
        learnt = result.get("learnt_from")
        which = f", {learnt} of them learnt from" if learnt else f" ({result['split']})"
        what = printable(f"{name}: {result['slices']} slices{which}{whose}")
        table = Table(
            title=Text(what, style="table.title"), title_justify="left", caption=_MEANS, caption_justify="left"
        )
        table.add_column("")
        columns = sorted(result["iou"], key=_place)  # a model file has them by the alphabet
        for column in columns:
            # A word a line: on 80 columns, a table would cut the longest to spare others the break.
            heading = printable(column).replace("+", " +\n").replace("_", "\n")
            table.add_column(Text(heading), justify="right")
        for measure, title in (("iou", "IoU"), ("dice", "Dice")):
            values = [result[measure][column] for column in columns]
            table.add_row(title, *("-" if value is None else f"{value:.3f}" for value in values))
        console.print(table)


def _place(column: str) -> int:
    """Of a column: where the class lies that it begins with, and behind them all for a mean."""
    return next((c.index for c in CLASSES if c.name in classes_in(column)), len(CLASSES))


def warn(said: str, console: Console) -> None:
    """A line on what goes on all the same."""
    console.print(Text(printable(f"warning: {said}")))


def warn_of_new_names(who: str, knows: Iterable[Mapping[str, Any]], names: Iterable[str], console: Console) -> None:
    """For data sets by whose name none goes that `who` learnt from: by it alone its patients are known again."""
    known = sorted({str(described.get("name")) for described in knows})
    for name in names:
        if name not in known:
            warn(
                f"{who} knows no data set named {name}, only {', '.join(known) or 'none'}, so all its patients count "
                "as new; if it learnt from them under another name, give that back to the folder or its dataset.json",
                console,
            )
